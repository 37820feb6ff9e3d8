#include "base/device_bytes.h"

namespace fathom {

int64_t device_bytes(const TensorType& type, const Sharding& sharding, const Mesh& mesh) {
  int64_t bytes = byte_size(type.dtype);
  for (int i = 0; i < type.shape.rank(); ++i) {
    int64_t parts = 1;
    if (!sharding.dims.empty()) {
      for (const std::string& axis : sharding.dims[static_cast<size_t>(i)]) parts *= Shape(mesh.axes).size(axis);
    }
    bytes *= (type.shape[i].size + parts - 1) / parts;
  }
  return bytes;
}

}  // namespace fathom
