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

void* at(void* data, DType dtype, int64_t element) { return static_cast<char*>(data) + element * byte_size(dtype); }

}  // namespace

void grouped_matmul(const GroupedMatmul& g, Parallel& parallel) {
  check_group_sizes(g.group_sizes, g.m);
  int64_t depth = g.transposed ? g.n : g.k;
  int64_t width = g.transposed ? g.k : g.n;
  std::vector<Piece> pieces = cut(g.group_sizes, width);
  parallel.run(static_cast<int64_t>(pieces.size()), [&](int64_t t) {
    const Piece& p = pieces[static_cast<size_t>(t)];
    int64_t matrix = p.group * g.n * g.k;
    // An empty matrix may have no memory at all.
    const void* b = depth == 0 ? nullptr : at(g.weights, g.dtype, matrix + p.column * (g.transposed ? 1 : g.k));
    gemm({.m = p.rows,
          .n = p.columns,
          .k = depth,
          .a = {at(g.x, g.dtype, p.row * depth), g.dtype, depth, 1},
          .b = g.transposed ? Strided{b, g.dtype, g.k, 1} : Strided{b, g.dtype, 1, g.k},
          .c = at(g.y, g.dtype, p.row * width + p.column),
          .c_dtype = g.dtype,
          .c_row = width});
  });
  int64_t used = 0;
  for (int32_t s : g.group_sizes) used += s;
  const int64_t rest = (g.m - used) * width;
  if (rest > 0) std::memset(at(g.y, g.dtype, used * width), 0, static_cast<size_t>(rest * byte_size(g.dtype)));
}

void grouped_outer(const GroupedOuter& g, Parallel& parallel) {
  check_group_sizes(g.group_sizes, g.m);
  std::vector<int64_t> starts{0};
  for (int32_t s : g.group_sizes) starts.push_back(starts.back() + s);
  // Wider pieces than above: every piece packs all of its group's a.
  constexpr int64_t kColumns = 2 * kPieceColumns;
  int64_t across = (g.k + kColumns - 1) / kColumns;
  parallel.run(static_cast<int64_t>(g.group_sizes.size()) * across, [&](int64_t t) {
    int64_t e = t / across;
    int64_t column = t % across * kColumns;
    int64_t start = starts[static_cast<size_t>(e)], size = g.group_sizes[static_cast<size_t>(e)];
    // Of a group without rows nothing is read: there may be no arrays at all.
    const void* a = size == 0 ? nullptr : at(g.a, g.dtype, start * g.n);
    const void* b = size == 0 ? nullptr : at(g.b, g.dtype, start * g.k + column);
    gemm({.m = g.n,
          .n = std::min(kColumns, g.k - column),
          .k = size,
          .a = {a, g.dtype, 1, g.n},
          .b = {b, g.dtype, g.k, 1},
          .c = at(g.w, g.dtype, e * g.n * g.k + column),
          .c_dtype = g.dtype,
          .c_row = g.k});
  });
}

}  // namespace fathom::cpu
