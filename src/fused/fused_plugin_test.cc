#include <gmock/gmock.h>

#include <numeric>

#include "../tests/support/run_graph.h"
#include "fused/flash_attention.h"
#include "fused/grouped_matmul.h"
#include "fused/grouped_matmul_gpu.h"
#include "fused/moe_permute.h"
#include "graph/grad/gradients.h"

namespace fathom {

static void PrintTo(const EmitOptions& options, std::ostream* out) { *out << name(options.target.hardware); }

namespace {

// The CPU's composed references, and the forms for GPUs, which are plain StableHLO too.
const EmitOptions kForms[] = {{.target = {.hardware = Hardware::kCpu, .kernels = {}}},
                              {.target = {.hardware = Hardware::kGpu, .kernels = {}}}};

// ---- grouped products ----

struct Groups {
  std::vector<int32_t> sizes;
  int64_t rows() const { return std::accumulate(sizes.begin(), sizes.end(), int64_t{0}); }
};

// Empty groups at the start, in the middle and at the end; one group much larger than a tile; odd sizes; a single row.
const Groups kCases[] = {{{0, 5, 0, 3, 1, 0}}, {{0, 0, 700, 1}}, {{1}}, {{13, 17, 19, 23, 29}}, {{0, 0, 0, 2}}};

// y[i] = w[group of i] x[i], or its transpose, in double precision.
std::vector<float> grouped_by_hand(const Groups& g, const HostArray& x, const HostArray& w, bool transposed) {
  const int64_t n = w.sizes()[1], k = w.sizes()[2], in = transposed ? n : k, out = transposed ? k : n;
  auto xs = x.view<float>(), ws = w.view<float>();
  std::vector<float> y;
  int64_t row = 0;
  for (size_t e = 0; e < g.sizes.size(); ++e) {
    for (int32_t r = 0; r < g.sizes[e]; ++r, ++row) {
      for (int64_t o = 0; o < out; ++o) {
        double sum = 0;
        for (int64_t i = 0; i < in; ++i) {
          int64_t at = static_cast<int64_t>(e) * n * k + (transposed ? i * k + o : o * k + i);
          sum += static_cast<double>(xs[static_cast<size_t>(row * in + i)]) *
                 static_cast<double>(ws[static_cast<size_t>(at)]);
        }
        y.push_back(static_cast<float>(sum));
      }
    }
  }
  return y;
}

class GroupedMatmul : public testing::TestWithParam<EmitOptions> {};

TEST_P(GroupedMatmul, EqualsAProductPerGroup) {
  for (const Groups& c : kCases) {
    for (bool transposed : {false, true}) {
      const int64_t e = static_cast<int64_t>(c.sizes.size()), n = 7, k = 10;
      Shape xs{{"m", c.rows()}, {"in", transposed ? n : k}};
      Shape ws = transposed ? Shape{{"e", e}, {"in", n}, {"out", k}} : Shape{{"e", e}, {"out", n}, {"in", k}};
      auto g = std::make_unique<Graph>();
      Value x = g->arg("x", {DType::kF32, xs}), w = g->arg("w", {DType::kF32, ws});
      Value sizes = g->arg("sizes", {DType::kS32, Shape{{"e", e}}});
      g->root().results = {grouped_matmul(x, w, sizes, {.transposed = transposed})};
      HostArray xv = random_floats(xs, 1), wv = random_floats(ws, 2);
      auto y = run_graph(std::move(g), {xv, wv, integers(Shape{{"e", e}}, c.sizes)}, GetParam());
      HostArray want =
          floats(Shape{{"m", c.rows()}, {"out", transposed ? k : n}}, grouped_by_hand(c, xv, wv, transposed));
      EXPECT_LT(max_difference(y[0], want), 1e-5);
    }
  }
}

// The same product from plain ops: every matrix for every row, one chosen by a mask.
Value masked_matmul(Value x, Value w, Value group_of_row) {
  Value all = dot(x, w, "in");  // [m e out]
  Value mask = one_hot(group_of_row, {"e", w.size("e")}, DType::kF32);
  return reduce_sum(all * mask, "e");
}

TEST_P(GroupedMatmul, GradientsEqualThoseOfTheMaskedProduct) {
  for (const Groups& c : kCases) {
    const int64_t e = static_cast<int64_t>(c.sizes.size());
    Shape xs{{"m", c.rows()}, {"in", 10}}, ws{{"e", e}, {"out", 7}, {"in", 10}}, ys{{"m", c.rows()}, {"out", 7}};
    auto g = std::make_unique<Graph>();
    Value x = g->arg("x", {DType::kF32, xs}), w = g->arg("w", {DType::kF32, ws}), dy = g->arg("dy", {DType::kF32, ys});
    Value sizes = g->arg("sizes", {DType::kS32, Shape{{"e", e}}});
    Value group = g->arg("group", {DType::kS32, Shape{{"m", c.rows()}}});
    auto fused = gradients(reduce_sum(grouped_matmul(x, w, sizes) * dy, ""), {x, w});
    auto plain = gradients(reduce_sum(masked_matmul(x, w, group) * dy, ""), {x, w});
    g->root().results = {fused[0], fused[1], plain[0], plain[1]};
    std::vector<int32_t> groups;
    for (int32_t i = 0; i < e; ++i)
      groups.insert(groups.end(), static_cast<size_t>(c.sizes[static_cast<size_t>(i)]), i);
    auto d = run_graph(std::move(g),
                       {random_floats(xs, 1), random_floats(ws, 2), random_floats(ys, 3),
                        integers(Shape{{"e", e}}, c.sizes), integers(Shape{{"m", c.rows()}}, groups)},
                       GetParam());
    EXPECT_LT(max_difference(d[0], d[2]), 1e-5);
    EXPECT_LT(max_difference(d[1], d[3]), 1e-4);  // sums over up to 700 rows
  }
}

// The tiles' results of large matrices are made for some columns at a time, so that they do not fill a GPU's memory.
TEST(TiledOuter, GivesTheSameBitsPieceByPiece) {
  const Groups c = kCases[3];
  const Axis groups{"e", static_cast<int64_t>(c.sizes.size())};
  const Shape as{{"m", c.rows()}, {"n", 48}}, bs{{"m", c.rows()}, {"k", 5}};
  auto g = std::make_unique<Graph>();
  Value a = g->arg("a", {DType::kF32, as}), b = g->arg("b", {DType::kF32, bs});
  Value sizes = g->arg("sizes", {DType::kS32, Shape{groups}});
  g->root().results = {tiled_outer(a, b, sizes), tiled_outer(a, b, sizes, 1)};
  int scans = 0;
  for (const Node* node : g->root().nodes()) scans += node->op == Op::kScan ? 1 : 0;
  EXPECT_EQ(scans, 1);
  auto out = run_graph(std::move(g), {random_floats(as, 1), random_floats(bs, 2), integers(Shape{groups}, c.sizes)});
  EXPECT_EQ(max_difference(out[0], out[1]), 0);
}

std::string form_name(const testing::TestParamInfo<EmitOptions>& info) {
  return std::string(name(info.param.target.hardware));
}
INSTANTIATE_TEST_SUITE_P(Forms, GroupedMatmul, testing::ValuesIn(kForms), form_name);

TEST(GroupedMatmulShapes, RefusesWhatDoesNotFit) {
  Graph g;
  Value x = g.arg("x", {DType::kF32, Shape{{"m", 4}, {"k", 3}}}),
        w = g.arg("w", {DType::kF32, Shape{{"e", 2}, {"n", 5}, {"k", 6}}});
  Value sizes = g.arg("sizes", {DType::kS32, Shape{{"e", 2}}});
  EXPECT_THAT([&] { grouped_matmul(x, w, sizes); },
              ::testing::ThrowsMessage<GraphError>(::testing::HasSubstr("contracted axis is 'k' of 3")));
}

// ---- movements of rows ----

TEST(MoePermute, SendsRowsThereAndBackAndSumsTheirGradients) {
  const Axis tok{"tok", 3}, k{"k", 2}, d{"d", 2}, m{"m", 6};
  auto g = std::make_unique<Graph>();
  Value x = g->arg("x", {DType::kF32, Shape{tok, d}}), weights = g->arg("dz", {DType::kF32, Shape{tok, k, d}});
  RowOrder order{g->arg("slot_of_row", {DType::kS32, Shape{m}}), g->arg("row_of_slot", {DType::kS32, Shape{tok, k}})};
  Value rows = rows_of_tokens(x, order);
  Value slots = slots_of_rows(rows, order);
  g->root().results = {rows, slots, gradients(reduce_sum(slots * weights, ""), {x})[0]};
  auto out =
      run_graph(std::move(g), {floats(Shape{tok, d}, {1, 2, 3, 4, 5, 6}),
                               floats(Shape{tok, k, d}, {1, 10, 2, 20, 3, 30, 4, 40, 5, 50, 6, 60}),
                               integers(Shape{m}, {5, 0, 3, 1, 4, 2}), integers(Shape{tok, k}, {1, 3, 5, 2, 4, 0})});
  EXPECT_EQ(max_difference(out[0], floats(Shape{m, d}, {5, 6, 1, 2, 3, 4, 1, 2, 5, 6, 3, 4})), 0);
  EXPECT_EQ(max_difference(out[1], floats(Shape{tok, k, d}, {1, 2, 1, 2, 3, 4, 3, 4, 5, 6, 5, 6})), 0);
  EXPECT_EQ(max_difference(out[2], floats(Shape{tok, d}, {3, 30, 7, 70, 11, 110})), 0);
}

// ---- attention ----

// Softmax over the keys j <= i of the same segment, from plain ops.
Value plain(Value q, Value k, Value v, Value segments) {
  Graph& g = q.graph();
  Shape all{q.shape()[0], q.shape()[1], k.shape()[1]};
  Value causal = less_equal(iota(g, DType::kS32, all, "t"), iota(g, DType::kS32, all, "s"));
  Value same = equal(broadcast(segments, all), broadcast(rename(segments, "s", "t"), all));
  Value scores = dot(q, k, "w");
  scores = select(broadcast(logical_and(causal, same), scores.shape()), scores, -1e30);
  return transpose(dot(softmax(scores, "t"), v, "t"), "b s h u");
}

class FlashAttention : public testing::TestWithParam<EmitOptions> {};
INSTANTIATE_TEST_SUITE_P(Forms, FlashAttention, testing::ValuesIn(kForms), form_name);

struct FlashCase {
  int64_t length, block;
};

TEST_P(FlashAttention, EqualsPlainAttentionForwardAndBackward) {
  // Lengths that the block divides and does not, one block, a block longer than the row, a row of one; the last is
  // longer than the blocks of 512 queries that GPUs take.
  for (FlashCase c : {FlashCase{16, 4}, {13, 4}, {7, 16}, {1, 8}, {33, 32}, {24, 24}, {520, 260}}) {
    const Axis b{"b", 2}, s{"s", c.length}, t{"t", c.length}, h{"h", 3}, w{"w", 6}, u{"u", 5};
    auto g = std::make_unique<Graph>();
    Value q = g->arg("q", {DType::kF32, Shape{b, s, h, w}}), k = g->arg("k", {DType::kF32, Shape{b, t, h, w}});
    Value v = g->arg("v", {DType::kF32, Shape{b, t, h, u}}), d = g->arg("d", {DType::kF32, Shape{b, s, h, u}});
    Value segments = g->arg("segments", {DType::kS32, Shape{b, s}});
    Value blockwise = flash_attention(q, k, v, segments, {.block = c.block});
    Value composed = plain(q, k, v, segments);
    auto d_blockwise = gradients(reduce_sum(blockwise * d, ""), {q, k, v});
    auto d_composed = gradients(reduce_sum(composed * d, ""), {q, k, v});
    g->root().results = {blockwise, composed};
    for (int i = 0; i < 3; ++i) {
      g->root().results.push_back(d_blockwise[static_cast<size_t>(i)]);
      g->root().results.push_back(d_composed[static_cast<size_t>(i)]);
    }
    // Row 0: two documents and padding; row 1: one document.
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < 2 * c.length; ++i) {
      int64_t at = i % c.length;
      ids.push_back(i >= c.length ? 1 : at < c.length / 3 ? 1 : at < c.length - 2 ? 2 : 0);
    }
    auto out = run_graph(
        std::move(g),
        {random_floats(Shape{b, s, h, w}, 1), random_floats(Shape{b, t, h, w}, 2), random_floats(Shape{b, t, h, u}, 3),
         random_floats(Shape{b, s, h, u}, 4), integers(Shape{b, s}, ids)},
        GetParam());
    for (size_t i = 0; i < out.size(); i += 2) {
      EXPECT_LT(max_difference(out[i], out[i + 1]), 1e-5)
          << "length " << c.length << ", block " << c.block << ", " << i / 2;
    }
  }
}

TEST_P(FlashAttention, LargeScoresDoNotOverflow) {
  const Axis b{"b", 1}, s{"s", 8}, t{"t", 8}, h{"h", 1}, w{"w", 4}, u{"u", 4};
  auto g = std::make_unique<Graph>();
  Value q = g->arg("q", {DType::kF32, Shape{b, s, h, w}}), k = g->arg("k", {DType::kF32, Shape{b, t, h, w}});
  Value v = g->arg("v", {DType::kF32, Shape{b, t, h, u}});
  Value segments = g->arg("segments", {DType::kS32, Shape{b, s}});
  Value out = flash_attention(q, k, v, segments, {.block = 4});
  g->root().results = {out, plain(q, k, v, segments)};
  auto r = run_graph(std::move(g),
                     {random_floats(Shape{b, s, h, w}, 1, 60), random_floats(Shape{b, t, h, w}, 2, 60),
                      random_floats(Shape{b, t, h, u}, 3), integers(Shape{b, s}, {1, 1, 1, 1, 1, 1, 1, 1})},
                     GetParam());
  EXPECT_LT(max_difference(r[0], r[1]), 1e-5);
}

}  // namespace
}  // namespace fathom
