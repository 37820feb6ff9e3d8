#include "convert/chunk_grid.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/array_slice.h"

namespace fathom {
namespace {

constexpr int64_t kMostBytes = int64_t{64} << 20;
constexpr int64_t kReaders = 128;
// Smaller chunks cost more as a place to look up than they save.
constexpr int64_t kLeastInnerBytes = 4096;

// The smallest number of equal parts of an axis that is at least `least_parts`.
int64_t parts_of_axis(int64_t size, int64_t least_parts) {
  for (int64_t parts = least_parts; parts <= size; ++parts) {
    if (size % parts == 0) return parts;
  }
  return size;
}

}  // namespace

ChunkGrid chunk_grid(const Param& param, const ParamArray& array, const PeerPlace& place) {
  ChunkGrid out{.chunk = place.sizes, .inner = {}};
  std::optional<size_t> embedding, first_long;
  std::vector<size_t> others;  // axes that may be cut where the chunk is too large
  for (size_t i = 0; i < place.axes.size(); ++i) {
    const std::string& axis = array.type.shape[place.axes[i]].name;
    if (axis == "l" || (param.routed && axis == "e")) {
      out.chunk[i] = 1;
      continue;
    }
    if (axis == "d") embedding = i;
    if (!first_long && place.sizes[i] >= kReaders) first_long = i;
    others.push_back(i);
  }
  const std::optional<size_t> split = embedding ? embedding : first_long;
  auto bytes = [&](const std::vector<int64_t>& sizes) { return element_count(sizes) * byte_size(array.type.dtype); };
  if (bytes(out.chunk) > kMostBytes) {
    // The longest axis beside the one that inner chunks split.
    if (others.size() > 1) std::erase(others, split.value_or(place.axes.size()));
    const size_t cut = *std::ranges::max_element(others, {}, [&](size_t i) { return out.chunk[i]; });
    const int64_t least = (bytes(out.chunk) + kMostBytes - 1) / kMostBytes;
    out.chunk[cut] /= parts_of_axis(out.chunk[cut], std::min(least, out.chunk[cut]));
  }
  out.inner = out.chunk;
  if (split) {
    const int64_t parts = std::gcd(out.chunk[*split], kReaders);
    if (bytes(out.chunk) / parts >= kLeastInnerBytes) out.inner[*split] /= parts;
  }
  return out;
}

}  // namespace fathom
