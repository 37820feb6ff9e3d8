// Sparse attention in blocks of queries against its plain form, whose derivative is that of plain operations.
#include <gmock/gmock.h>

#include "../tests/support/kernels.h"
#include "../tests/support/run_graph.h"
#include "graph/grad/gradients.h"
#include "nn/sparse_attention.h"

namespace fathom {
namespace {

struct SparseCase {
  const char* name;
  int64_t length, top_k;
  int64_t heads = 3, index_heads = 4, index_dim = 6;
  bool attends_to_all = false, loss_over_all = false;
};
void PrintTo(const SparseCase& c, std::ostream* out) { *out << c.name; }

const SparseCase kCases[] = {{"short", 13, 4},
                             {"one_key", 9, 1},
                             {"all_but_one", 8, 7},
                             {"odd_heads", 21, 5, 1, 3, 5},
                             {"several_blocks", 150, 32},
                             {"warmup_dense", 17, 4, 3, 4, 6, true, true},
                             {"warmup_sparse", 140, 9, 2, 2, 4, false, true}};

struct Built {
  std::unique_ptr<Graph> graph = std::make_unique<Graph>();
  AttentionInputs in;
  IndexerInputs index;
  Value d_out, d_loss;
  std::vector<HostArray> values;
};

// Row 0: two documents and padding; row 1: one document.
HostArray two_rows_of_segments(const Shape& shape, int64_t length) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < 2 * length; ++i) {
    const int64_t at = i % length;
    ids.push_back(i >= length ? 1 : at < length / 3 ? 1 : at < length - 2 ? 2 : 0);
  }
  return integers(shape, ids);
}

Built build(const SparseCase& c) {
  Built out;
  const Axis b{"b", 2}, s{"s", c.length}, t{"t", c.length}, h{"h", c.heads}, w{"w", 6}, u{"u", 5};
  const Axis hi{"hi", c.index_heads}, di{"di", c.index_dim};
  uint32_t seed = 0;
  auto arg = [&](const char* name, const Shape& shape) {
    out.values.push_back(random_floats(shape, ++seed));
    return out.graph->arg(name, {DType::kF32, shape});
  };
  out.in = {.q = arg("q", Shape{b, s, h, w}),
            .k = arg("k", Shape{b, t, h, w}),
            .v = arg("v", Shape{b, t, h, u}),
            .segments = {}};
  out.index = {
      .q = arg("iq", Shape{b, s, hi, di}), .k = arg("ik", Shape{b, t, di}), .weights = arg("iw", Shape{b, s, hi})};
  out.d_out = arg("d_out", Shape{b, s, h, u});
  out.d_loss = arg("d_loss", Shape{b, s});
  out.in.segments = out.graph->arg("segments", {DType::kS32, Shape{b, s}});
  out.values.push_back(two_rows_of_segments(Shape{b, s}, c.length));
  return out;
}

// Output, loss and all gradients.
std::vector<HostArray> run(const SparseCase& c, bool blockwise, const EmitOptions& options) {
  Built made = build(c);
  SparseOut out = sparse_attention(made.in, made.index,
                                   {.top_k = c.top_k,
                                    .blockwise = blockwise,
                                    .attends_to_all = c.attends_to_all,
                                    .loss = true,
                                    .loss_over_all = c.loss_over_all});
  Value context = transpose(out.context, "b s h u");
  Value total = reduce_sum(context * made.d_out, "") + reduce_sum(out.loss * made.d_loss, "");
  made.graph->root().results = {context, out.loss};
  for (Value d : gradients(total, {made.in.q, made.in.k, made.in.v, made.index.q, made.index.k, made.index.weights})) {
    made.graph->root().results.push_back(d);
  }
  return run_graph(std::move(made.graph), made.values, options);
}

class SparseAttention : public testing::TestWithParam<SparseCase> {};
INSTANTIATE_TEST_SUITE_P(Cases, SparseAttention, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(SparseAttention, InBlocksEqualsThePlainForm) {
  static const char* const kResults[] = {"context", "loss", "d q", "d k", "d v", "d index q", "d index k", "d weights"};
  EmitOptions kernels = with_kernels(*test_client());
  const auto plain = run(GetParam(), false, {});
  for (const EmitOptions& options : {EmitOptions{}, kernels}) {
    const auto blocks = run(GetParam(), true, options);
    for (size_t i = 0; i < plain.size(); ++i) {
      EXPECT_LT(max_difference(plain[i], blocks[i]), 2e-5)
          << kResults[i] << (options.require_kernels ? " by the kernels" : " by the composed form");
    }
  }
}

// Where no head fires every score is 0, and more keys are equal than are kept.
TEST(SparseAttentionTies, TheEarliestOfEqualKeysIsKept) {
  const Axis b{"b", 1}, s{"s", 6}, t{"t", 6}, h{"h", 1}, w{"w", 1}, u{"u", 1}, hi{"hi", 2}, di{"di", 1};
  for (bool blockwise : {false, true}) {
    auto g = std::make_unique<Graph>();
    AttentionInputs in{g->arg("q", {DType::kF32, Shape{b, s, h, w}}), g->arg("k", {DType::kF32, Shape{b, t, h, w}}),
                       g->arg("v", {DType::kF32, Shape{b, t, h, u}}), g->arg("segments", {DType::kS32, Shape{b, s}})};
    IndexerInputs index{g->arg("iq", {DType::kF32, Shape{b, s, hi, di}}), g->arg("ik", {DType::kF32, Shape{b, t, di}}),
                        g->arg("iw", {DType::kF32, Shape{b, s, hi}})};
    SparseOut out = sparse_attention(in, index, {.top_k = 2, .blockwise = blockwise});
    g->root().results = {transpose(out.context, "b s h u")};
    // Keys score 0, but for key 3, whose score is 1 where the weight is positive and -1 in the last row, where it is
    // negative: there the first two of the zeros stay. Equal attention scores: the mean of the values kept.
    auto got = run_graph(
        std::move(g),
        {floats(Shape{b, s, h, w}, {0, 0, 0, 0, 0, 0}), floats(Shape{b, t, h, w}, {1, 1, 1, 1, 1, 1}),
         floats(Shape{b, t, h, u}, {1, 2, 4, 8, 16, 32}), integers(Shape{b, s}, {1, 1, 1, 1, 1, 1}),
         floats(Shape{b, s, hi, di}, {1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1}),
         floats(Shape{b, t, di}, {0, 0, 0, 1, 0, 0}), floats(Shape{b, s, hi}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, 1})});
    EXPECT_LT(max_difference(got[0], floats(Shape{b, s, h, u}, {1, 1.5, 1.5, 4.5, 4.5, 1.5})), 1e-6)
        << "blockwise " << blockwise;
  }
}

}  // namespace
}  // namespace fathom
