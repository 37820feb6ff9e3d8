// The part of an array that one device holds.
#pragma once

#include <cstdint>

#include "base/signature.h"

namespace fathom {

// Its bytes without padding; of axes that do not divide the largest part.
int64_t device_bytes(const TensorType& type, const Sharding& sharding, const Mesh& mesh);

}  // namespace fathom
