#include "checkpoint/ocdbt_writer.h"

#include <zstd.h>

#include <numeric>
#include <set>
#include <stdexcept>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "checkpoint/ocdbt_format.h"

namespace fathom {
namespace {

constexpr int kZstdLevel = 0;  // zstd's own choice

void append_varint(std::string& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to.push_back(static_cast<char>(value | 0x80));
  to.push_back(static_cast<char>(value));
}

std::string compressed(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const size_t n = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), kZstdLevel);
  if (ZSTD_isError(n) != 0) throw std::runtime_error(std::string("zstd: ") + ZSTD_getErrorName(n));
  out.resize(n);
  return out;
}

// Magic number, length of the whole, version, compression, body, checksum of all before it.
std::string framed(uint32_t magic, std::string_view body) {
  const std::string packed = compressed(body);
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(magic >> shift));
  std::string head;
  append_varint(head, kOcdbtVersion);
  append_varint(head, kOcdbtZstd);
  append_little_endian(out, out.size() + sizeof(uint64_t) + head.size() + packed.size() + sizeof(uint32_t), 8);
  out += head + packed;
  append_little_endian(out, crc32c(out), 4);
  return out;
}

size_t shared_prefix(std::string_view a, std::string_view b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

// Lengths of what neighbours share (from the second on), lengths of the rests, and, where another column stands between
// them, `middle`; then the rests themselves.
void append_texts(std::string& to, const std::vector<std::string_view>& texts, std::string_view middle) {
  std::vector<size_t> shared(texts.size(), 0);
  for (size_t i = 1; i < texts.size(); ++i) {
    shared[i] = shared_prefix(texts[i - 1], texts[i]);
    append_varint(to, shared[i]);
  }
  for (size_t i = 0; i < texts.size(); ++i) append_varint(to, texts[i].size() - shared[i]);
  to += middle;
  for (size_t i = 0; i < texts.size(); ++i) to += texts[i].substr(shared[i]);
}

// Where a node lies, and what hangs on it.
struct Subtree {
  std::string first_key;
  int64_t offset = 0, length = 0;  // in the node file
  uint64_t keys = 0, tree_bytes = 0, indirect_bytes = 0;
};

class TreeEncoder {
 public:
  TreeEncoder(const std::vector<OcdbtFile>& files, const OcdbtOptions& options) : options_(options) {
    paths_.reserve(files.size() + 1);
    for (const OcdbtFile& file : files) paths_.push_back({file.base + file.name, file.base.size()});
    paths_.push_back({options.node_file, 0});
  }

  Subtree root(const std::vector<OcdbtValue>& values, int& height) {
    std::vector<Subtree> level = leaves(values);
    for (height = 0; level.size() > 1;) level = interior(level, ++height);
    return level.front();
  }
  std::string take_nodes() { return std::move(nodes_); }
  // A table of the node file alone.
  void append_node_file(std::string& to) const { append_files(to, {node_file()}); }

 private:
  struct Path {
    std::string text;
    size_t base;  // length
  };

  int node_file() const { return static_cast<int>(paths_.size()) - 1; }

  // Count, the paths, how much of each is base.
  void append_files(std::string& to, const std::vector<int>& files) const {
    std::vector<std::string_view> texts;
    std::string bases;
    for (int file : files) {
      texts.emplace_back(paths_[static_cast<size_t>(file)].text);
      append_varint(bases, paths_[static_cast<size_t>(file)].base);
    }
    append_varint(to, files.size());
    append_texts(to, texts, bases);
  }

  // An upper bound of what an entry adds to a node: its numbers (varints), its key and its value or its file's path.
  int64_t room(const OcdbtValue& value) const {
    constexpr int64_t kNumbers = 64;
    const size_t file = value.file < 0 ? 0 : paths_[static_cast<size_t>(value.file)].text.size();
    return kNumbers + static_cast<int64_t>(value.key.size() + value.bytes.size() + file);
  }
  int64_t room(const Subtree& subtree) const {
    constexpr int64_t kNumbers = 96;
    return kNumbers + static_cast<int64_t>(subtree.first_key.size());
  }

  // Parts of `items` that each fit into a node, of at least `least` items but for the last.
  template <class Item>
  std::vector<std::span<const Item>> nodes_of(const std::vector<Item>& items, size_t least) const {
    std::vector<std::span<const Item>> out;
    size_t begin = 0;
    int64_t filled = 0;
    for (size_t i = 0; i < items.size(); ++i) {
      const size_t count = i - begin;
      const bool full =
          filled + room(items[i]) > options_.max_node_bytes || static_cast<int64_t>(count) >= options_.max_node_entries;
      if (full && count >= least) {
        out.emplace_back(items.data() + begin, count);
        begin = i;
        filled = 0;
      }
      filled += room(items[i]);
    }
    out.emplace_back(items.data() + begin, items.size() - begin);
    return out;
  }

  Subtree add_node(std::string_view body, Subtree subtree) {
    const std::string node = framed(kOcdbtNodeMagic, body);
    subtree.offset = static_cast<int64_t>(nodes_.size());
    subtree.length = static_cast<int64_t>(node.size());
    subtree.tree_bytes += node.size();
    nodes_ += node;
    return subtree;
  }

  std::vector<Subtree> leaves(const std::vector<OcdbtValue>& values) {
    std::vector<Subtree> out;
    for (std::span<const OcdbtValue> part : nodes_of(values, 1)) out.push_back(leaf(part));
    return out;
  }

  Subtree leaf(std::span<const OcdbtValue> values) {
    std::set<int> used;
    for (const OcdbtValue& value : values) {
      if (value.file >= 0) used.insert(value.file);
    }
    std::vector<int> files(used.begin(), used.end());
    std::sort(files.begin(), files.end(), [&](int a, int b) { return path(a) < path(b); });
    std::vector<size_t> number(paths_.size());
    for (size_t i = 0; i < files.size(); ++i) number[static_cast<size_t>(files[i])] = i;

    Subtree subtree{.first_key = values.front().key, .keys = values.size()};
    std::vector<std::string_view> keys;
    std::string lengths, kinds, file_numbers, offsets, inlined;
    for (const OcdbtValue& value : values) {
      keys.emplace_back(value.key);
      kinds.push_back(static_cast<char>(value.file < 0 ? kOcdbtInline : kOcdbtIndirect));
      if (value.file < 0) {
        append_varint(lengths, value.bytes.size());
        inlined += value.bytes;
        continue;
      }
      append_varint(lengths, static_cast<uint64_t>(value.length));
      append_varint(file_numbers, number[static_cast<size_t>(value.file)]);
      append_varint(offsets, static_cast<uint64_t>(value.offset));
      subtree.indirect_bytes += static_cast<uint64_t>(value.length);
    }
    std::string body(1, '\0');  // height
    append_files(body, files);
    append_varint(body, values.size());
    append_texts(body, keys, "");
    return add_node(body + lengths + kinds + file_numbers + offsets + inlined, std::move(subtree));
  }

  std::vector<Subtree> interior(const std::vector<Subtree>& children, int height) {
    std::vector<Subtree> out;
    for (std::span<const Subtree> part : nodes_of(children, 2)) out.push_back(interior_node(part, height));
    return out;
  }

  Subtree interior_node(std::span<const Subtree> children, int height) {
    Subtree subtree{.first_key = children.front().first_key};
    std::vector<std::string_view> keys;
    std::string files, offsets, lengths, key_counts, tree_bytes, indirect_bytes;
    for (const Subtree& child : children) {
      keys.emplace_back(child.first_key);
      append_varint(files, 0);
      append_varint(offsets, static_cast<uint64_t>(child.offset));
      append_varint(lengths, static_cast<uint64_t>(child.length));
      append_varint(key_counts, child.keys);
      append_varint(tree_bytes, child.tree_bytes);
      append_varint(indirect_bytes, child.indirect_bytes);
      subtree.keys += child.keys;
      subtree.tree_bytes += child.tree_bytes;
      subtree.indirect_bytes += child.indirect_bytes;
    }
    std::string body(1, static_cast<char>(height));
    append_files(body, {node_file()});
    append_varint(body, children.size());
    // Children keep their keys whole: none of a key is left to the parent.
    append_texts(body, keys, std::string(children.size(), '\0'));
    return add_node(body + files + offsets + lengths + key_counts + tree_bytes + indirect_bytes, std::move(subtree));
  }

  const std::string& path(int file) const { return paths_[static_cast<size_t>(file)].text; }

  const OcdbtOptions& options_;
  std::vector<Path> paths_;  // of the data files, and of the node file last
  std::string nodes_;
};

std::string manifest_body(const TreeEncoder& tree, const Subtree& root, int height, const OcdbtOptions& options) {
  std::string body = options.uuid;
  append_varint(body, kOcdbtSingleManifest);
  append_varint(body, kOcdbtMaxInlineBytes);
  append_varint(body, static_cast<uint64_t>(options.max_node_bytes));
  body.push_back(static_cast<char>(kOcdbtVersionTreeArityLog2));
  append_varint(body, kOcdbtZstd);
  append_little_endian(body, kZstdLevel, sizeof(int32_t));
  tree.append_node_file(body);
  // One version, the first, column by column.
  append_varint(body, 1);
  append_varint(body, 1);
  body.push_back(static_cast<char>(height));
  append_varint(body, 0);  // the file of its root
  append_varint(body, static_cast<uint64_t>(root.offset));
  append_varint(body, static_cast<uint64_t>(root.length));
  append_varint(body, root.keys);
  append_varint(body, root.tree_bytes);
  append_varint(body, root.indirect_bytes);
  append_little_endian(body, options.commit_time, sizeof(uint64_t));
  append_varint(body, 0);  // nodes of the tree of older versions
  return body;
}

}  // namespace

OcdbtDatabase encode_ocdbt(std::vector<OcdbtValue> values, const std::vector<OcdbtFile>& files,
                           const OcdbtOptions& options) {
  if (values.empty() || options.uuid.size() != kOcdbtUuidBytes)
    throw std::invalid_argument("OCDBT: no values, or no uuid");
  std::sort(values.begin(), values.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  for (size_t i = 1; i < values.size(); ++i) {
    if (values[i].key == values[i - 1].key) throw std::invalid_argument("OCDBT: key '" + values[i].key + "' twice");
  }
  TreeEncoder tree(files, options);
  int height = 0;
  const Subtree root = tree.root(values, height);
  std::string manifest = framed(kOcdbtManifestMagic, manifest_body(tree, root, height, options));
  return {.nodes = tree.take_nodes(), .manifest = std::move(manifest)};
}

}  // namespace fathom
