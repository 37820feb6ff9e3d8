#include "base/dtype.h"

namespace fathom {
namespace {

struct Row {
  DType dtype;
  int64_t bytes;
  std::string_view mlir;
  std::string_view name;
};

constexpr Row kRows[] = {
    {DType::kBool, 1, "i1", "bool"},
    {DType::kS8, 1, "i8", "int8"},
    {DType::kS16, 2, "i16", "int16"},
    {DType::kS32, 4, "i32", "int32"},
    {DType::kS64, 8, "i64", "int64"},
    {DType::kU8, 1, "ui8", "uint8"},
    {DType::kU16, 2, "ui16", "uint16"},
    {DType::kU32, 4, "ui32", "uint32"},
    {DType::kU64, 8, "ui64", "uint64"},
    {DType::kF8E4M3FN, 1, "f8E4M3FN", "float8_e4m3fn"},
    {DType::kF8E5M2, 1, "f8E5M2", "float8_e5m2"},
    {DType::kF16, 2, "f16", "float16"},
    {DType::kBF16, 2, "bf16", "bfloat16"},
    {DType::kF32, 4, "f32", "float32"},
    {DType::kF64, 8, "f64", "float64"},
};

constexpr bool rows_follow_the_enum() {
  for (size_t i = 0; i < std::size(kRows); ++i) {
    if (static_cast<size_t>(kRows[i].dtype) != i) return false;
  }
  return true;
}
static_assert(rows_follow_the_enum());

const Row& row(DType dtype) { return kRows[static_cast<size_t>(dtype)]; }

}  // namespace

int64_t byte_size(DType dtype) { return row(dtype).bytes; }
std::string_view mlir_name(DType dtype) { return row(dtype).mlir; }
std::string_view name(DType dtype) { return row(dtype).name; }

std::optional<DType> parse_dtype(std::string_view name) {
  for (const Row& r : kRows) {
    if (r.name == name) return r.dtype;
  }
  return std::nullopt;
}

bool is_float(DType dtype) { return dtype >= DType::kF8E4M3FN; }
bool is_integer(DType dtype) { return dtype >= DType::kS8 && dtype <= DType::kU64; }

}  // namespace fathom
