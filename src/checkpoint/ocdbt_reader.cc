// The B+tree of an OCDBT database, read whole: keys are few (one a chunk), values stay where they are.
#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "checkpoint/byte_stream.h"
#include "checkpoint/key_store.h"
#include "checkpoint/ocdbt_format.h"

namespace fathom {
namespace {

// What a database may ask for. The largest checkpoints known have some 100,000 keys; a tree whose nodes are named again
// and again must not become an endless one.
constexpr int64_t kMaxManifestBytes = int64_t{64} << 20;
constexpr int64_t kMaxNodeBytes = int64_t{1} << 30;
constexpr size_t kMaxKeys = size_t{1} << 22;
constexpr size_t kMaxKeyBytes = size_t{256} << 20;  // of all keys
constexpr int64_t kMaxNodes = int64_t{1} << 16;
constexpr int64_t kMaxTreeBytes = int64_t{2} << 30;  // of all nodes, decoded

// The decoded body of a manifest or node, with errors that name its file.
class Body {
 public:
  Body(const std::string& path, int64_t frame, std::string bytes)
      : path_(path), frame_(frame), bytes_(std::move(bytes)) {}

  [[noreturn]] void fail(std::string_view what) const {
    throw FormatError(path_, frame_, fmt::format("OCDBT: {} (byte {} of its content)", what, at_));
  }
  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) fail("cut short");
    const std::string_view out = std::string_view(bytes_).substr(at_, count);
    at_ += count;
    return out;
  }
  uint8_t byte() { return static_cast<uint8_t>(take(1)[0]); }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t b = byte();
      if (shift == 63 && b > 1) break;
      value |= uint64_t{b & 0x7fU} << shift;
      if ((b & 0x80U) == 0) return value;
    }
    fail("a number of more than 64 bits");
  }
  // A number of things of which each takes a byte at least, so that lists of them are no larger than the file.
  size_t count() {
    const uint64_t n = varint();
    if (n > bytes_.size() - at_) fail(fmt::format("{} entries do not fit into it", n));
    return static_cast<size_t>(n);
  }
  std::vector<uint64_t> varints(size_t count) {
    std::vector<uint64_t> out;
    out.reserve(count);
    for (size_t i = 0; i < count; ++i) out.push_back(varint());
    return out;
  }
  void end() const {
    if (at_ != bytes_.size()) fail(fmt::format("{} bytes are left over", bytes_.size() - at_));
  }

 private:
  const std::string& path_;
  int64_t frame_;
  std::string bytes_;
  size_t at_ = 0;
};

// Strings that share beginnings with those before them; `lengths[i]` is what entry i adds to the `shared[i - 1]` bytes.
std::vector<std::string> shared_strings(Body& body, const std::vector<uint64_t>& shared,
                                        const std::vector<uint64_t>& lengths) {
  std::vector<std::string> out;
  size_t bytes = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    std::string text;
    if (i > 0) {
      if (shared[i - 1] > out[i - 1].size()) body.fail("a name shares more with the one before it than that has");
      text = out[i - 1].substr(0, shared[i - 1]);
    }
    text += body.take(lengths[i]);
    bytes += text.size();
    if (bytes > kMaxKeyBytes) body.fail("its names take more than 256 MiB");
    out.push_back(std::move(text));
  }
  return out;
}

std::vector<std::string> file_table(Body& body) {
  const size_t n = body.count();
  const std::vector<uint64_t> shared = body.varints(n == 0 ? 0 : n - 1);
  const std::vector<uint64_t> lengths = body.varints(n);
  body.varints(n);  // how much of each is the base path: the whole counts
  std::vector<std::string> files = shared_strings(body, shared, lengths);
  for (const std::string& file : files) {
    if (!stays_in_folder(file)) body.fail(fmt::format("it names the file '{}', which is not in the folder", file));
  }
  return files;
}

// The body of a frame. `limit` is for its decoded bytes.
std::string open_frame(const StoredBytes& frame, uint32_t magic, int64_t limit) {
  auto fail = [&](std::string_view what) {
    throw FormatError(frame.path, frame.offset, fmt::format("OCDBT: {}", what));
  };
  if (frame.size < static_cast<int64_t>(kOcdbtHeadBytes + 2 + kOcdbtChecksumBytes)) fail("cut short");
  const std::string bytes = frame.text(limit + 1024);  // what does not shrink is a little longer compressed
  const std::string_view all = bytes;
  uint32_t found = 0;
  for (size_t i = 0; i < kOcdbtLengthPlace; ++i) found = found << 8 | static_cast<uint8_t>(all[i]);
  if (found != magic) fail(fmt::format("no {} begins here", magic == kOcdbtManifestMagic ? "manifest" : "node"));
  const uint64_t length = little_endian(all.substr(kOcdbtLengthPlace, kOcdbtHeadBytes - kOcdbtLengthPlace));
  if (length != all.size()) fail(fmt::format("it is {} bytes long, not the {} that it says", all.size(), length));
  const std::string_view content = all.substr(0, all.size() - kOcdbtChecksumBytes);
  if (little_endian(all.substr(content.size())) != crc32c(content)) fail("its bytes do not have its checksum");
  const auto version = static_cast<uint8_t>(all[kOcdbtHeadBytes]);
  const auto compression = static_cast<uint8_t>(all[kOcdbtHeadBytes + 1]);
  if (version != kOcdbtVersion) fail(fmt::format("version {} of the format is not known", version));
  if (compression > kOcdbtZstd) fail(fmt::format("compression {} is not known", compression));
  const auto head = static_cast<int64_t>(kOcdbtHeadBytes) + 2;
  const int64_t size = frame.size - head - static_cast<int64_t>(kOcdbtChecksumBytes);
  if (compression == kOcdbtUncompressed) return bytes.substr(static_cast<size_t>(head), static_cast<size_t>(size));
  auto stream = zstd_stream(stored_stream(frame.part(head, size)), frame);
  return read_all(*stream, frame, limit);
}

// A version's root, or a child of an interior node.
struct NodePlace {
  std::string file;
  uint64_t offset = 0, length = 0;
  int height = 0;
  std::string prefix;  // of the keys below
};

struct Value {
  uint32_t file = 0;  // of the list of files; unless inline
  bool is_inline = false;
  int64_t offset = 0, size = 0;
  std::string bytes;  // inline
};

class OcdbtKeys final : public KeyStore {
 public:
  explicit OcdbtKeys(std::string folder) : folder_(std::move(folder)) {
    std::vector<NodePlace> open = {read_manifest()};
    while (!open.empty()) {  // the first child on top: keys come in their order
      const NodePlace place = std::move(open.back());
      open.pop_back();
      if (place.length == kOcdbtNoRoot) continue;
      read_node(place, open);
    }
  }

  std::optional<StoredBytes> find(const std::string& key) const override {
    auto it = std::ranges::lower_bound(keys_, key);
    if (it == keys_.end() || *it != key) return std::nullopt;
    const Value& value = values_[static_cast<size_t>(it - keys_.begin())];
    if (value.is_inline) {
      return StoredBytes{
          .path = join_path(folder_, kOcdbtManifest) + ": key '" + key + "'", .size = value.size, .held = value.bytes};
    }
    return in_file(files_[value.file], static_cast<uint64_t>(value.offset), static_cast<uint64_t>(value.size));
  }

 private:
  // Bytes of a file of the folder, which must have them.
  StoredBytes in_file(const std::string& name, uint64_t offset, uint64_t size) const {
    const StoredBytes file = open_files_.file(join_path(folder_, name));
    const auto bytes = static_cast<uint64_t>(file.size);
    if (offset > bytes || size > bytes - offset) {
      throw FormatError(
          file.path, file.size,
          fmt::format("the file ends here, but {} names {} bytes from byte {} on", kOcdbtManifest, size, offset));
    }
    return file.part(static_cast<int64_t>(offset), static_cast<int64_t>(size));
  }

  NodePlace read_manifest() {
    const StoredBytes file = open_files_.file(join_path(folder_, kOcdbtManifest));
    Body body(file.path, 0, open_frame(file, kOcdbtManifestMagic, kMaxManifestBytes));
    body.take(kOcdbtUuidBytes);
    if (uint64_t kind = body.varint(); kind != kOcdbtSingleManifest) {
      body.fail(fmt::format("manifests of kind {} (numbered ones) are not read", kind));
    }
    body.varint();
    node_bytes_ = static_cast<int64_t>(std::min<uint64_t>(body.varint(), kMaxNodeBytes));
    body.byte();
    if (uint64_t compression = body.varint(); compression == kOcdbtZstd) {
      body.take(4);
    } else if (compression != kOcdbtUncompressed) {
      body.fail(fmt::format("compression {} is not known", compression));
    }
    const std::vector<std::string> files = file_table(body);
    const size_t n = body.count();
    if (n == 0) body.fail("it has no version");
    body.varints(n);  // generations
    const std::string_view heights = body.take(n);
    const std::vector<uint64_t> file_of = body.varints(n), offsets = body.varints(n), lengths = body.varints(n);
    // Counts of keys and bytes, times, and older versions follow: the last entry of this list is the current one.
    NodePlace root{.offset = offsets.back(), .length = lengths.back(), .height = static_cast<uint8_t>(heights.back())};
    if (root.offset == kOcdbtNoRoot && root.length == kOcdbtNoRoot) return root;
    if (file_of.back() >= files.size()) body.fail("the root is in a file that it does not list");
    root.file = files[file_of.back()];
    return root;
  }

  void read_node(const NodePlace& place, std::vector<NodePlace>& open) {
    const StoredBytes frame = in_file(place.file, place.offset, place.length);
    std::string content = open_frame(frame, kOcdbtNodeMagic, node_bytes_);
    tree_bytes_ += static_cast<int64_t>(content.size());
    Body body(frame.path, frame.offset, std::move(content));
    if (++nodes_ > kMaxNodes || tree_bytes_ > kMaxTreeBytes)
      body.fail("the tree is too large: does it lead in circles?");
    if (int height = body.byte(); height != place.height) {
      body.fail(fmt::format("a node of height {} stands where one of {} should", height, place.height));
    }
    const std::vector<std::string> files = file_table(body);
    const size_t n = body.count();
    if (n == 0) body.fail("a node without entries");
    const std::vector<uint64_t> shared = body.varints(n - 1), lengths = body.varints(n);
    const std::vector<uint64_t> common = place.height > 0 ? body.varints(n) : std::vector<uint64_t>();
    std::vector<std::string> keys = shared_strings(body, shared, lengths);
    if (place.height > 0) {
      read_interior(body, place, files, common, keys, open);
    } else {
      read_leaf(body, place, files, keys);
    }
    body.end();
  }

  static void read_interior(Body& body, const NodePlace& place, const std::vector<std::string>& files,
                            const std::vector<uint64_t>& common, const std::vector<std::string>& keys,
                            std::vector<NodePlace>& open) {
    const size_t n = keys.size();
    const std::vector<uint64_t> file_of = body.varints(n), offsets = body.varints(n), lengths = body.varints(n);
    for (int column = 0; column < 3; ++column) body.varints(n);  // counts of keys, of tree bytes, of indirect bytes
    for (size_t i = n; i-- > 0;) {
      if (file_of[i] >= files.size()) body.fail("a child is in a file that the node does not list");
      if (common[i] > keys[i].size()) body.fail("children share more of their keys than the first has");
      open.push_back(
          {files[file_of[i]], offsets[i], lengths[i], place.height - 1, place.prefix + keys[i].substr(0, common[i])});
    }
  }

  void read_leaf(Body& body, const NodePlace& place, const std::vector<std::string>& files,
                 const std::vector<std::string>& keys) {
    const size_t n = keys.size();
    const std::vector<uint64_t> lengths = body.varints(n);
    const std::string_view kinds = body.take(n);
    const auto indirect = static_cast<size_t>(std::ranges::count(kinds, static_cast<char>(kOcdbtIndirect)));
    const std::vector<uint64_t> file_of = body.varints(indirect), offsets = body.varints(indirect);
    for (size_t i = 0, k = 0; i < n; ++i) {
      std::string key = place.prefix + keys[i];
      if (!keys_.empty() && key <= keys_.back()) body.fail("key '" + key + "' stands twice, or out of order");
      key_bytes_ += key.size();
      if (keys_.size() >= kMaxKeys || key_bytes_ > kMaxKeyBytes) body.fail("more keys than a checkpoint has");
      if (lengths[i] > static_cast<uint64_t>(INT64_MAX)) body.fail("the length of a value is not one");
      Value value{.size = static_cast<int64_t>(lengths[i])};
      if (kinds[i] == static_cast<char>(kOcdbtIndirect)) {
        if (file_of[k] >= files.size())
          body.fail("value of key '" + key + "' is in a file that the node does not list");
        if (offsets[k] > static_cast<uint64_t>(INT64_MAX)) body.fail("the offset of a value is not one");
        value.file = file_number(files[file_of[k]]);
        value.offset = static_cast<int64_t>(offsets[k++]);
      } else if (kinds[i] == static_cast<char>(kOcdbtInline)) {
        value.is_inline = true;
        value.bytes = body.take(lengths[i]);
      } else {
        body.fail("the value of key '" + key + "' is of a kind that is not known");
      }
      keys_.push_back(std::move(key));
      values_.push_back(std::move(value));
    }
  }

  uint32_t file_number(const std::string& name) {
    auto [it, is_new] = file_numbers_.try_emplace(name, static_cast<uint32_t>(files_.size()));
    if (is_new) files_.push_back(name);
    return it->second;
  }

  std::string folder_;
  OpenFiles open_files_;
  int64_t node_bytes_ = 0, nodes_ = 0, tree_bytes_ = 0;
  size_t key_bytes_ = 0;
  std::vector<std::string> files_;
  std::map<std::string, uint32_t> file_numbers_;
  std::vector<std::string> keys_;  // sorted
  std::vector<Value> values_;      // of the keys
};

}  // namespace

std::unique_ptr<const KeyStore> open_ocdbt(const std::string& folder) { return std::make_unique<OcdbtKeys>(folder); }

}  // namespace fathom
