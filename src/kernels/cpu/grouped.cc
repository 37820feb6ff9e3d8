#include "kernels/grouped.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cpu/gemm.h"

namespace fathom::cpu {
namespace {

// One piece of work: some rows of one group against some columns of its matrix. The cut depends on the shapes alone.
struct Piece {
  int64_t group, row, rows, column, columns;
};

// Large enough that packing a matrix block pays (packing is 1 / rows of the work), small enough to share among cores.
constexpr int64_t kPieceRows = 512;
constexpr int64_t kPieceColumns = 256;

std::vector<Piece> cut(std::span<const int32_t> group_sizes, int64_t width) {
  std::vector<Piece> out;
  int64_t start = 0;
  for (size_t e = 0; e < group_sizes.size(); ++e) {
    int64_t size = group_sizes[e];
    for (int64_t r = 0; r < size; r += kPieceRows) {
      for (int64_t c = 0; c < width; c += kPieceColumns) {
        out.push_back({static_cast<int64_t>(e), start + r, std::min(kPieceRows, size - r), c,
                       std::min(kPieceColumns, width - c)});
      }
    }
    start += size;
  }
  return out;
}

const void* at(const void* data, DType dtype, int64_t element) {
  return static_cast<const char*>(data) + element * byte_size(dtype);
}

// Runs a product whose result is of `dtype` at element `to` of `result`, rows `stride` apart.
void product_into(Gemm g, DType dtype, void* result, int64_t to, int64_t stride) {
  if (dtype == DType::kF32) {
    g.c = static_cast<float*>(result) + to;
    g.c_row = stride;
    return gemm(g);
  }
  thread_local std::vector<float> sums;
  sums.resize(static_cast<size_t>(g.m * g.n));
  g.c = sums.data();
  g.c_row = g.n;
  gemm(g);
  store_bf16(sums.data(), g.n, static_cast<uint16_t*>(result) + to, stride, g.m, g.n);
}

}  // namespace

void grouped_matmul(const GroupedMatmul& g, Parallel& parallel) {
  int64_t depth = g.transposed ? g.n : g.k;
  int64_t width = g.transposed ? g.k : g.n;
  std::vector<Piece> pieces = cut(g.group_sizes, width);
  parallel.run(static_cast<int64_t>(pieces.size()), [&](int64_t t) {
    const Piece& p = pieces[static_cast<size_t>(t)];
    int64_t matrix = p.group * g.n * g.k;
    Strided b = g.transposed ? Strided{at(g.weights, g.dtype, matrix + p.column), g.dtype, g.k, 1}
                             : Strided{at(g.weights, g.dtype, matrix + p.column * g.k), g.dtype, 1, g.k};
    product_into(
        {.m = p.rows, .n = p.columns, .k = depth, .a = {at(g.x, g.dtype, p.row * depth), g.dtype, depth, 1}, .b = b},
        g.dtype, g.y, p.row * width + p.column, width);
  });
  int64_t used = 0;
  for (int32_t s : g.group_sizes) used += s;
  std::memset(static_cast<char*>(g.y) + used * width * byte_size(g.dtype), 0,
              static_cast<size_t>((g.m - used) * width * byte_size(g.dtype)));
}

void grouped_outer(const GroupedOuter& g, Parallel& parallel) {
  std::vector<int64_t> starts{0};
  for (int32_t s : g.group_sizes) starts.push_back(starts.back() + s);
  int64_t across = (g.k + kPieceColumns - 1) / kPieceColumns;
  parallel.run(static_cast<int64_t>(g.group_sizes.size()) * across, [&](int64_t t) {
    int64_t e = t / across;
    int64_t column = t % across * kPieceColumns;
    int64_t start = starts[static_cast<size_t>(e)];
    product_into({.m = g.n,
                  .n = std::min(kPieceColumns, g.k - column),
                  .k = g.group_sizes[static_cast<size_t>(e)],
                  .a = {at(g.a, g.dtype, start * g.n), g.dtype, 1, g.n},
                  .b = {at(g.b, g.dtype, start * g.k + column), g.dtype, g.k, 1}},
                 g.dtype, g.w, e * g.n * g.k + column, g.k);
  });
}

}  // namespace fathom::cpu
