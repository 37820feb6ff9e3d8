#include <algorithm>

#include "checkpoint/zarr_reader.h"
#include "targets.h"

namespace fathom {
namespace {

// Any key holds the same chunk.
class OneChunk final : public KeyStore {
 public:
  explicit OneChunk(std::string_view bytes) : bytes_(bytes) {}
  std::optional<StoredBytes> find(const std::string&) const override {
    return StoredBytes{.path = "chunk", .size = static_cast<int64_t>(bytes_.size()), .held = bytes_};
  }

 private:
  std::string_view bytes_;
};

}  // namespace

void fuzz_zarr(std::string_view input) {
  const size_t end = std::min(input.find('\0'), input.size());
  const OneChunk keys(input.substr(std::min(end + 1, input.size())));
  const std::string_view text = input.substr(0, end);
  expect_error_at_most([&] {
    const bool is_v2 = text.find("\"chunks\"") != std::string_view::npos;
    const ZarrArray array = is_v2 ? parse_zarr2({"metadata"}, text) : parse_zarr3({"metadata"}, text);
    if (*checked_bytes(array.dtype, array.sizes) > kFuzzRead) return;
    const ArraySlice all{std::vector<int64_t>(array.sizes.size(), 0), array.sizes};
    read_zarr({.keys = &keys, .folder = "folder", .name = "w", .array = &array, .may_be_absent = true},
              std::span(&all, 1), [](const StoredPiece&) {});
  });
}

}  // namespace fathom
