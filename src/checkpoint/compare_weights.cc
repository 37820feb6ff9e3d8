#include "checkpoint/compare_weights.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/parallel_for.h"

namespace fathom {
namespace {

// What is held of each tensor at once. An Orbax array is read by all cores together, and no chunk should be decoded
// many times; tensors of safetensors files are compared beside one another.
constexpr int64_t kTensorBox = int64_t{1} << 20, kArrayBox = int64_t{64} << 20;

void split(const ArraySlice& box, size_t axis, int64_t width, int64_t bytes, std::vector<ArraySlice>& out) {
  if (axis == box.sizes.size() || box.elements() * width <= bytes) {
    out.push_back(box);
    return;
  }
  int64_t row = width;  // bytes of one index of this axis
  for (size_t i = axis + 1; i < box.sizes.size(); ++i) row *= box.sizes[i];
  const int64_t step = std::max<int64_t>(bytes / row, 1);
  for (int64_t at = 0; at < box.sizes[axis]; at += step) {
    ArraySlice part = box;
    part.start[axis] += at;
    part.sizes[axis] = std::min(step, box.sizes[axis] - at);
    split(part, axis + 1, width, bytes, out);
  }
}

struct Counted {
  int64_t count = 0;
  std::vector<int64_t> first;  // the place
};

Counted compare_boxes(const StoredTensor& tensor, int64_t box_bytes, const ReadBox& a, const ReadBox& b) {
  Counted out;
  const auto width = static_cast<size_t>(byte_size(tensor.dtype));
  std::vector<std::byte> left, right;
  for (const ArraySlice& box : boxes_of(tensor, box_bytes)) {
    const size_t bytes = static_cast<size_t>(box.elements()) * width;
    left.resize(std::max(left.size(), bytes));
    right.resize(left.size());
    a(box, std::span(left).first(bytes));
    b(box, std::span(right).first(bytes));
    if (std::memcmp(left.data(), right.data(), bytes) == 0) continue;
    for (size_t i = 0; i < bytes; i += width) {
      if (std::memcmp(left.data() + i, right.data() + i, width) == 0) continue;
      if (out.count++ > 0) continue;
      auto rest = static_cast<int64_t>(i / width);
      out.first = box.start;
      for (size_t axis = box.sizes.size(); axis-- > 0;) {
        out.first[axis] += rest % box.sizes[axis];
        rest /= box.sizes[axis];
      }
    }
  }
  return out;
}

std::optional<std::string> spoken(const StoredTensor& tensor, const Counted& counted) {
  if (counted.count == 0) return std::nullopt;
  return fmt::format("{} of {} elements differ, the first at [{}]", counted.count,
                     tensor.bytes / byte_size(tensor.dtype), fmt::join(counted.first, ", "));
}

// What names, types and shapes say.
std::optional<std::string> header_difference(const std::string& name, const StoredWeights& a, const StoredWeights& b) {
  const StoredTensor *left = a.find(name), *right = b.find(name);
  if (right == nullptr) return "only in " + a.path();
  if (left == nullptr) return "only in " + b.path();
  if (left->sizes != right->sizes) {
    return fmt::format("shape [{}] in {}, [{}] in {}", fmt::join(left->sizes, ", "), a.path(),
                       fmt::join(right->sizes, ", "), b.path());
  }
  if (left->type == right->type) return std::nullopt;
  return fmt::format("{} in {}, {} in {}", left->type, a.path(), right->type, b.path());
}

}  // namespace

std::vector<ArraySlice> boxes_of(const StoredTensor& tensor, int64_t bytes) {
  std::vector<ArraySlice> out;
  const ArraySlice whole{std::vector<int64_t>(tensor.sizes.size(), 0), tensor.sizes};
  if (whole.elements() > 0) split(whole, 0, byte_size(tensor.dtype), bytes, out);
  return out;
}

WeightsDifferences compare_weights(const StoredWeights& a, const StoredWeights& b) {
  std::set<std::string> names;
  for (const StoredWeights* weights : {&a, &b}) {
    for (const StoredTensor& tensor : weights->tensors()) names.insert(tensor.name);
  }
  const std::vector<std::string> all(names.begin(), names.end());
  std::vector<std::optional<std::string>> said(all.size());
  std::vector<int64_t> bytes(all.size());
  const bool is_orbax = a.format() == WeightsFormat::kOrbax || b.format() == WeightsFormat::kOrbax;
  auto compare = [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    said[at] = header_difference(all[at], a, b);
    if (said[at]) return;
    const StoredTensor &left = *a.find(all[at]), &right = *b.find(all[at]);
    auto read_a = [&](const ArraySlice& box, std::span<std::byte> out) { a.read(left, box, out); };
    auto read_b = [&](const ArraySlice& box, std::span<std::byte> out) { b.read(right, box, out); };
    said[at] = spoken(left, compare_boxes(left, is_orbax ? kArrayBox : kTensorBox, read_a, read_b));
    bytes[at] = left.bytes;
  };
  const auto count = static_cast<int64_t>(all.size());
  if (is_orbax) {
    for (int64_t i = 0; i < count; ++i) compare(i);
  } else {
    parallel_for(count, compare);
  }
  WeightsDifferences out;
  for (size_t i = 0; i < all.size(); ++i) {
    out.bytes += bytes[i];
    if (!said[i]) continue;
    if (++out.count <= static_cast<int64_t>(kListedDifferences)) out.lines.push_back(all[i] + ": " + *said[i]);
  }
  return out;
}

}  // namespace fathom
