#include "nn/sparse_attention.h"

#include <algorithm>

#include "fused/indexer_loss.h"
#include "fused/selected_attention.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

Value masked(Value scores, Value visible) { return select(broadcast(visible, scores.shape()), scores, abi::kMasked); }

// The formula of fused/indexer_loss.h, over the keys of `visible` [b s t].
Value plain_loss(const AttentionInputs& in, Value scores, Value visible) {
  Value q = stop_gradient(in.q), k = stop_gradient(in.k);
  Value target = reduce_mean(softmax(masked(dot(q, k, "w", {.out = DType::kF32}), visible), "t"), "h");
  target = target / (reduce_sum(target, "t") + kIndexerLossEpsilon);
  Value prediction = softmax(masked(scores, visible), "t");
  return reduce_sum(target * (log(target + kIndexerLossEpsilon) - log(prediction + kIndexerLossEpsilon)), "t");
}

SparseOut plain(const AttentionInputs& in, const IndexerInputs& index, const SparseOptions& o, Where where) {
  Value scores = indexer_scores(index, where);
  Value visible = visible_keys(in.segments, where);
  Value chosen = choice_of(scores, visible, o.top_k, where);
  SparseOut out{.context = plain_attention(in, o.attends_to_all ? visible : chosen, where), .loss = {}};
  if (o.loss) out.loss = plain_loss(in, scores, o.loss_over_all ? visible : chosen);
  return out;
}

SparseOut in_blocks(const AttentionInputs& in, const IndexerInputs& index, const SparseOptions& o, Where where) {
  Value segments = rename(in.segments, "s", "t", where);
  const int64_t heads = std::max(in.q.size("h"), index.q.size("hi"));
  const SelectionOptions options{.top_k = o.top_k, .block = queries_of_block(heads, in.k.size("t"))};
  const std::string tag = FlashOptions{}.tag;
  SparseOut out;
  std::optional<ChosenKeys> chosen;
  if (!o.attends_to_all) {
    chosen = ChosenKeys{.selection = indexer_selection(index, segments, options, where), .lse = {}};
    auto [context, lse] =
        selected_attention({in.q, in.k, in.v, segments}, index, chosen->selection, options, tag, where);
    out.context = context;
    chosen->lse = lse;
  } else {
    out.context = flash_attention(in.q, in.k, in.v, in.segments, {}, where);
  }
  if (!o.loss) return out;
  if (o.loss_over_all) chosen.reset();
  out.loss = indexer_loss(in.q, in.k, segments, index, chosen, options, where);
  return out;
}

}  // namespace

Value indexer_scores(const IndexerInputs& index, Where where) {
  Value products = dot(index.q, index.k, "di", {.out = DType::kF32}, where);  // [b s hi t]
  return reduce_sum(maximum(products, 0) * index.weights, "hi", where);
}

Value choice_of(Value scores, Value visible, int64_t count, Where where) {
  Value s = stop_gradient(scores, where);
  s = select(equal(s, 0), 0, s);  // one zero: -0 and 0 are equal scores
  const Shape all = s.shape();
  TopK best = top_k(masked(s, visible), "t", count, "n", where);
  auto last = [&](Value x) { return broadcast(squeeze(slice(x, "n", count - 1, count), "n"), all, where); };
  Value below = less(s, last(best.values));
  Value late =
      logical_and(equal(s, last(best.values)), greater(iota(s.graph(), DType::kS32, all, "t"), last(best.indices)));
  // By what is not chosen, so that a score that is no number is, and the loss says it.
  return logical_and(visible, logical_not(logical_or(below, late)));
}

SparseOut sparse_attention(const AttentionInputs& in, const IndexerInputs& index, const SparseOptions& options,
                           Where where) {
  return options.blockwise ? in_blocks(in, index, options, where) : plain(in, index, options, where);
}

}  // namespace fathom
