// An OCDBT database: the manifest, and the nodes of the B+tree that says where the value of each key lies. The format
// is that of TensorStore's driver "ocdbt".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/ocdbt_format.h"

namespace fathom {

struct OcdbtValue {
  std::string key;
  std::string bytes = {};  // the value itself, where it lies in no file: at most kOcdbtMaxInlineBytes
  int file = -1;           // number of its data file; negative: none
  int64_t offset = 0;
  int64_t length = 0;
};

// A data file: its path is base + name. Readers take the base for the folder of a database of its own.
struct OcdbtFile {
  std::string base;  // "ocdbt.process_0/"
  std::string name;  // "d/0123"
};

struct OcdbtOptions {
  std::string node_file;                        // "d/4567": where the nodes are going to lie
  std::string uuid;                             // 16 bytes
  uint64_t commit_time = 0;                     // nanoseconds since 1970
  int64_t max_node_bytes = kOcdbtMaxNodeBytes;  // of a node before it is compressed
  int64_t max_node_entries = int64_t{1} << 20;  // TensorStore refuses more
};

struct OcdbtDatabase {
  std::string nodes;     // content of the node file
  std::string manifest;  // content of manifest.ocdbt
};

// At least one value; no key twice.
OcdbtDatabase encode_ocdbt(std::vector<OcdbtValue> values, const std::vector<OcdbtFile>& files,
                           const OcdbtOptions& options);

}  // namespace fathom
