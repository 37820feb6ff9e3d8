// Element types, their sizes and their spellings in StableHLO, NumPy and safetensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fathom {

enum class DType : uint8_t {
  kBool,
  kS8,
  kS16,
  kS32,
  kS64,
  kU8,
  kU16,
  kU32,
  kU64,
  kF8E4M3FN,
  kF8E5M2,
  kF16,
  kBF16,
  kF32,
  kF64
};

// Bytes of one element.
int64_t byte_size(DType dtype);
// StableHLO's spelling: "i1", "i32", "ui32", "bf16", "f32", "f8E4M3FN".
std::string_view mlir_name(DType dtype);
// The spelling of configuration keys and of zarr: "bool", "int32", "uint32", "bfloat16", "float32".
std::string_view name(DType dtype);
// The inverse of name(); nothing for a spelling it does not know.
std::optional<DType> parse_dtype(std::string_view name);

bool is_float(DType dtype);
// Signed or unsigned integers; not bool.
bool is_integer(DType dtype);

}  // namespace fathom
