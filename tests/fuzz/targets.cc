#include "targets.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "checkpoint/ocdbt_testing.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/zarr_reader.h"
#include "data/documents.h"
#include "tokenizer/tokenizer.h"

namespace fathom {
namespace {

// Arrays and documents of more bytes are not read: a file may announce them, and the reader of a model knows better.
constexpr int64_t kRead = int64_t{16} << 20;

const TemporaryFolder& folder() {
  static const TemporaryFolder folder;
  return folder;
}

void read_safetensors(std::string_view input) {
  const std::string path = folder().write("x.safetensors", input);
  for (bool map : {true, false}) {
    auto file = SafetensorsFile::open(path, {.map = map});
    for (const std::string& name : file->names()) file->tensor(name);
  }
}

// Any key but the metadata's holds the same chunk.
class OneChunk final : public KeyStore {
 public:
  explicit OneChunk(std::string_view bytes) : bytes_(bytes) {}
  std::optional<StoredBytes> find(const std::string&) const override {
    return StoredBytes{.path = "chunk", .size = static_cast<int64_t>(bytes_.size()), .held = bytes_};
  }

 private:
  std::string_view bytes_;
};

// Metadata, a zero byte, and what every chunk holds.
void read_zarr_array(std::string_view input) {
  const size_t end = std::min(input.find('\0'), input.size());
  const OneChunk keys(input.substr(std::min(end + 1, input.size())));
  const std::string_view text = input.substr(0, end);
  const bool is_v2 = text.find("\"chunks\"") != std::string_view::npos;
  const ZarrArray array = is_v2 ? parse_zarr2({"metadata"}, text) : parse_zarr3({"metadata"}, text);
  if (*checked_bytes(array.dtype, array.sizes) > kRead) return;
  const ArraySlice all{std::vector<int64_t>(array.sizes.size(), 0), array.sizes};
  read_zarr({.keys = &keys, .folder = "folder", .name = "w", .array = &array, .may_be_absent = true},
            std::span(&all, 1), [](const StoredPiece&) {});
}

// A byte that says how long the manifest is, the bodies of a manifest and of a file "d/n" of one node: frames and
// checksums are made for them, which no bytes would have by chance.
void read_ocdbt(std::string_view input) {
  if (input.empty()) return;
  const size_t length = std::min<size_t>(static_cast<uint8_t>(input[0]), input.size() - 1);
  folder().write("ocdbt/d/n", ocdbt_frame(kOcdbtNodeMagic, input.substr(1 + length)));
  folder().write("ocdbt/manifest.ocdbt", ocdbt_frame(kOcdbtManifestMagic, input.substr(1, length)));
  const auto keys = open_ocdbt(folder() / "ocdbt");
  for (const char* key : {"a", "w/zarr.json", "w/c/0"}) {
    if (const std::optional<StoredBytes> value = keys->find(key)) value->text(kRead);
  }
}

void read_tokenizer(std::string_view input) {
  const auto tokenizer = Tokenizer::load(folder().write("tokenizer.json", input));
  const std::vector<int32_t> ids =
      tokenizer->encode("def f(x):\n  return 1234567 * x  # \xc3\xa9\xf0\x9f\x98\x80<|end|>");
  tokenizer->decode(ids);
}

void read_parquet(std::string_view input) {
  const std::string path = folder().write("x.parquet", input);
  const std::unique_ptr<DocumentSource> source = open_parquet({path}, {.cache_bytes = kRead});
  const int64_t documents = std::min<int64_t>(source->size(), 100);
  for (int64_t i = 0; i < documents; ++i) source->text(i);
}

template <void (*read)(std::string_view)>
void run(std::string_view input) {
  try {
    read(input);
  } catch (const Error&) {
  }
}

constexpr FuzzTarget kTargets[] = {{"safetensors", run<read_safetensors>},
                                   {"zarr", run<read_zarr_array>},
                                   {"ocdbt", run<read_ocdbt>},
                                   {"tokenizer", run<read_tokenizer>},
                                   {"parquet", run<read_parquet>}};

}  // namespace

std::span<const FuzzTarget> fuzz_targets() { return kTargets; }

}  // namespace fathom
