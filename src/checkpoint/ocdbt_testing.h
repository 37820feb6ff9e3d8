// OCDBT databases made for tests, of any bytes.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/temporary_folder.h"
#include "checkpoint/ocdbt_format.h"

namespace fathom {

inline std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 128; value >>= 7) out.push_back(static_cast<char>(value | 128));
  out.push_back(static_cast<char>(value));
  return out;
}

inline std::string varints(const std::vector<uint64_t>& values) {
  std::string out;
  for (uint64_t value : values) out += varint(value);
  return out;
}

// A manifest or node around a body, which stands in it as it is; `compression` is only said.
inline std::string ocdbt_frame(uint32_t magic, std::string_view body, uint64_t compression = kOcdbtUncompressed) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(magic >> shift));
  append_little_endian(out, kOcdbtHeadBytes + 2 + body.size() + kOcdbtChecksumBytes, 8);
  out += varint(kOcdbtVersion) + varint(compression);
  out += body;
  append_little_endian(out, crc32c(out), 4);
  return out;
}

inline std::string ocdbt_files(const std::vector<std::string>& files) {
  std::string out = varint(files.size()), text;
  for (size_t i = 1; i < files.size(); ++i) out += varint(0);
  for (const std::string& file : files) {
    out += varint(file.size());
    text += file;
  }
  for (size_t i = 0; i < files.size(); ++i) out += varint(0);
  return out + text;
}

// Body of a manifest whose only version has its root at a place of a file.
inline std::string ocdbt_manifest_body(const std::string& file, uint64_t offset, uint64_t length, int height = 0) {
  std::string out(kOcdbtUuidBytes, '\1');
  out += varints({kOcdbtSingleManifest, kOcdbtMaxInlineBytes, kOcdbtMaxNodeBytes});
  out.push_back(static_cast<char>(kOcdbtVersionTreeArityLog2));
  out += varint(kOcdbtUncompressed) + ocdbt_files({file});
  out += varints({1, 1});
  out.push_back(static_cast<char>(height));
  out += varints({0, offset, length, 0, 0, 0});
  append_little_endian(out, 0, 8);
  return out + varint(0);
}

// Body of a leaf that holds every value itself.
inline std::string ocdbt_leaf_body(const std::map<std::string, std::string>& values) {
  std::string out(1, '\0'), keys, bytes, kinds;
  out += ocdbt_files({}) + varint(values.size());
  for (size_t i = 1; i < values.size(); ++i) out += varint(0);
  std::vector<uint64_t> lengths, sizes;
  for (const auto& [key, value] : values) {
    out += varint(key.size());
    keys += key;
    sizes.push_back(value.size());
    kinds.push_back(static_cast<char>(kOcdbtInline));
    bytes += value;
  }
  return out + keys + varints(sizes) + kinds + bytes;
}

struct OcdbtChild {
  std::string key;
  uint64_t common = 0;  // of its keys' beginnings, that they are stored without
  std::string file;
  uint64_t offset = 0, length = 0;
};

// Body of an interior node.
inline std::string ocdbt_interior_body(int height, const std::vector<OcdbtChild>& children) {
  std::string out(1, static_cast<char>(height)), keys;
  std::vector<std::string> files;
  std::vector<uint64_t> lengths, common, numbers, offsets, sizes;
  const std::vector<uint64_t> zeros(children.size(), 0);
  for (const OcdbtChild& child : children) {
    numbers.push_back(files.size());
    files.push_back(child.file);
    lengths.push_back(child.key.size());
    common.push_back(child.common);
    keys += child.key;
    offsets.push_back(child.offset);
    sizes.push_back(child.length);
  }
  out += ocdbt_files(files) + varint(children.size());
  out += varints(std::vector<uint64_t>(children.size() - 1, 0)) + varints(lengths) + varints(common) + keys;
  return out + varints(numbers) + varints(offsets) + varints(sizes) + varints(zeros) + varints(zeros) + varints(zeros);
}

// A database of one leaf in a folder.
inline void write_ocdbt(const TemporaryFolder& folder, const std::map<std::string, std::string>& values) {
  const std::string leaf = ocdbt_frame(kOcdbtNodeMagic, ocdbt_leaf_body(values));
  folder.write("d/leaf", leaf);
  folder.write(kOcdbtManifest, ocdbt_frame(kOcdbtManifestMagic, ocdbt_manifest_body("d/leaf", 0, leaf.size())));
}

}  // namespace fathom
