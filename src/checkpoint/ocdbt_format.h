// Bytes of an OCDBT database (TensorStore's "optionally-cooperative distributed B+tree"), as Orbax writes it: a
// manifest that names the root of a B+tree whose leaves say where each key's value lies.
//
// Manifests and nodes stand in one kind of frame: the magic number (4 bytes, highest first); the length of the whole
// frame (8 bytes, lowest first); a varint version; a varint compression; the body, compressed as that says; and the
// CRC-32C of all before it (4 bytes, lowest first). A varint is LEB128 without sign.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fathom {

inline constexpr uint32_t kOcdbtManifestMagic = 0x0cdb3a2a;
inline constexpr uint32_t kOcdbtNodeMagic = 0x0cdb20de;
inline constexpr uint64_t kOcdbtVersion = 0;
inline constexpr uint64_t kOcdbtUncompressed = 0;
inline constexpr uint64_t kOcdbtZstd = 1;
// Magic number, length, one byte each of version and compression, checksum.
inline constexpr size_t kOcdbtLengthPlace = 4;
inline constexpr size_t kOcdbtHeadBytes = 12;
inline constexpr size_t kOcdbtChecksumBytes = 4;

// The body of a manifest: uuid; manifest kind; most bytes of an inline value; most bytes of a decoded node; log2 of the
// version tree's arity (one byte); compression of the nodes (where zstd, its level follows in 4 bytes); table of data
// files; list of versions; list of version-tree nodes. Numbers are varints unless said otherwise.
inline constexpr size_t kOcdbtUuidBytes = 16;
inline constexpr uint64_t kOcdbtSingleManifest = 0;
inline constexpr uint64_t kOcdbtMaxInlineBytes = 1024;
inline constexpr uint64_t kOcdbtMaxNodeBytes = 100'000'000;
inline constexpr uint8_t kOcdbtVersionTreeArityLog2 = 4;
// Offset and length of a version's root that is missing: the database is empty.
inline constexpr uint64_t kOcdbtNoRoot = UINT64_MAX;

// How a leaf holds a value.
inline constexpr uint8_t kOcdbtInline = 0;
inline constexpr uint8_t kOcdbtIndirect = 1;

inline constexpr std::string_view kOcdbtManifest = "manifest.ocdbt";

}  // namespace fathom
