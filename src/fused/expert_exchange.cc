#include "fused/expert_exchange.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "graph/manual.h"

namespace fathom {
namespace {

Value column(Value x, std::string_view axis, int64_t i) { return squeeze(slice(x, axis, i, i + 1), axis); }

Value tokens_of(Value x) { return merge_axes(x, "b s", "tok"); }

}  // namespace

ExpertPlan::ExpertPlan(Value experts, Value weights, int64_t local_experts, ExchangeOptions options)
    : options_(std::move(options)), b_(experts.shape()[0]), s_(experts.shape()[1]), local_experts_(local_experts) {
  Graph& g = experts.graph();
  if (!options_.mesh_axes.empty()) peers_ = g.partition->devices(options_.mesh_axes);
  choices_ = experts.size("k");
  columns_ = std::min(choices_, local_experts_);
  experts_ = tokens_of(experts);
  tokens_ = experts_.size("tok");
  Value weights_by_token = tokens_of(weights);
  most_ = peers_ * tokens_ * columns_;
  const double mean = static_cast<double>(tokens_ * choices_);
  if (peers_ > 1 && options_.factor > 0 && options_.factor * mean < static_cast<double>(most_)) {
    bound(weights_by_token, std::max<int64_t>(static_cast<int64_t>(std::ceil(options_.factor * mean)), 1));
    return;
  }
  if (peers_ == 1) {
    order_rows(rename(experts_, "tok", "row"), rename(weights_by_token, "tok", "row"));
    return;
  }
  choose_places();
  Value filled = less(iota(g, DType::kS32, token_at_.shape(), "place"), broadcast(sent_, token_at_.shape()));
  Value ids = gather(experts_, token_at_, "tok");  // [peer place k]
  ids = select(broadcast(filled, ids.shape()), ids, -1);
  auto received = [&](Value x) {
    return merge_axes(all_to_all(x, "peer", "peer", options_.mesh_axes), "peer place", "row");
  };
  order_rows(received(ids), received(gather(weights_by_token, token_at_, "tok")));
}

// What is not there is told by its number: experts travel as numbers of this device's, dropped choices as -1.
void ExpertPlan::bound(Value weights, int64_t most) {
  most_ = most;
  bounded_.emplace(
      experts_,
      BoundedOptions{
          .mesh_axes = options_.mesh_axes, .ragged = options_.ragged, .local_experts = local_experts_, .most = most});
  place_ = bounded_->place();
  first_ = bounded_->first();
  order_rows(bounded_->send(select(bounded_->kept(), experts_, -1), -1), bounded_->send(weights));
}

// Tokens for one device keep their order: a token's place is the number of earlier tokens that go there as well.
void ExpertPlan::choose_places() {
  Value peer = experts_ / local_experts_;                       // [tok k]
  Value chosen = one_hot(peer, {"peer", peers_}, DType::kS32);  // [tok k peer]
  Value goes = reduce_max(chosen, "k");                         // [tok peer]
  Value place = cumsum(goes, "tok") - goes;                     // [tok peer]
  place_ = peer * tokens_ + reduce_sum(chosen * place, "peer");
  Shape pairs{experts_.shape()[0], experts_.shape()[1], {"j", choices_}};
  Value same = equal(broadcast(peer, pairs), broadcast(rename(peer, "k", "j"), pairs));
  Graph& g = experts_.graph();
  Value earlier = less(iota(g, DType::kS32, pairs, "j"), iota(g, DType::kS32, pairs, "k"));
  first_ = logical_not(reduce_or(logical_and(same, earlier), "j"));
  sent_ = reduce_sum(goes, "tok");
  token_at_ = rename(transpose(argsort(goes, "tok", true), "peer tok"), "tok", "place");
  if (options_.ragged) arriving_ = all_to_all(sent_, "peer", "peer", options_.mesh_axes);
}

// Where a device holds fewer experts than a token has choices, a row's columns are the experts here; else its choices.
void ExpertPlan::order_rows(Value experts, Value weights) {
  Graph& g = experts.graph();
  Value local = peers_ == 1 ? experts : experts - device_index(g, options_.mesh_axes) * local_experts_;
  Value slot_expert;  // [row col] s32; local_experts_ for a choice that is not of an expert here
  if (columns_ < choices_) {
    choice_in_column_ = one_hot(local, {"col", columns_}, DType::kS32);  // [row k col]
    slot_valid_ = greater(reduce_max(choice_in_column_, "k"), 0);
    slot_weights_ = reduce_sum(convert(choice_in_column_, DType::kF32) * weights, "k");
    slot_expert = iota(g, DType::kS32, slot_valid_.shape(), "col");
  } else {
    slot_expert = rename(local, "k", "col");
    slot_weights_ = rename(weights, "k", "col");
    slot_valid_ = logical_and(greater_equal(slot_expert, 0), less(slot_expert, local_experts_));
  }
  slot_expert = select(slot_valid_, slot_expert, local_experts_);
  sizes_ = reduce_sum(one_hot(slot_expert, {"e", local_experts_}, DType::kS32), "row col");
  slot_of_row_ = argsort(merge_axes(slot_expert, "row col", "m"), "m");
  row_of_slot_ = reshape(argsort(slot_of_row_, "m"), slot_expert.shape());
  if (slot_of_row_.size("m") > most_) slot_of_row_ = slice(slot_of_row_, "m", 0, most_);
  row_weights_ = gather(merge_axes(slot_weights_, "row col", "slot"), slot_of_row_, "slot");
}

// ---- between devices ----

// [peer place ...]: part i goes to device i; what comes back stands at its sender's number.
Value ExpertPlan::exchange(Value buffers, bool back) const {
  if (options_.ragged) return ragged_exchange(buffers, back);
  return all_to_all(buffers, "peer", "peer", options_.mesh_axes);
}

// Only the rows that are there travel; they land at the same places as with whole buffers, so that nothing else
// differs.
Value ExpertPlan::ragged_exchange(Value buffers, bool back) const {
  Graph& g = buffers.graph();
  const Shape& shape = buffers.shape();
  Value rows = merge_axes(buffers, "peer place", "row");
  Value at = iota(g, DType::kS32, Shape{{"peer", peers_}}, "peer") * tokens_;
  Value mine = broadcast(device_index(g, options_.mesh_axes) * tokens_, at.shape());
  RaggedExchange sizes{.input_offsets = at,
                       .send_sizes = back ? arriving_ : sent_,
                       .output_offsets = mine,
                       .receive_sizes = back ? sent_ : arriving_};
  return reshape(ragged_all_to_all(rows, zeros_like(rows), sizes, options_.mesh_axes), shape);
}

Value ExpertPlan::send(Value x) const {
  Value rows = tokens_of(x);
  if (peers_ == 1) return rename(rows, "tok", "row");
  if (bounded_) return bounded_->send(rows);
  return merge_axes(exchange(gather(rows, token_at_, "tok"), false), "peer place", "row");
}

namespace {

// `count` elements from `begin` on, those behind the last one 0; all without `begin`.
Value part_of(Value x, Value begin, int64_t count) {
  return begin ? dynamic_slice(pad(x, "m", 0, count), "m", begin, count) : x;
}

}  // namespace

Value ExpertPlan::rows_of(Value received, Value begin, int64_t count) const {
  return gather(received, part_of(slot_of_row_ / columns_, begin, count), "row");
}

Value ExpertPlan::row_weights(Value begin, int64_t count) const { return part_of(row_weights_, begin, count); }

Value ExpertPlan::sum_of_rows(Value rows, bool weighted) const {
  Value sum;
  // Column by column: all at once would be c times the received rows in float32.
  for (int64_t i = 0; i < columns_; ++i) {
    Value part = convert(gather(rows, column(row_of_slot_, "col", i), "m"), DType::kF32);
    if (weighted) part = part * column(slot_weights_, "col", i);
    part = select(broadcast(column(slot_valid_, "col", i), part.shape()), part, 0);
    sum = sum ? sum + part : part;
  }
  return sum;
}

// [row ...] -> [row ...]: each to where its token was sent from, as place_ counts.
Value ExpertPlan::returned(Value rows) const {
  if (bounded_) return rename(bounded_->send_back(rows), "sent", "row");
  return merge_axes(exchange(split_axis(rows, "row", {{"peer", peers_}, {"place", tokens_}}), true), "peer place",
                    "row");
}

// The same of few bytes a row, for which the whole buffers are sent.
Value ExpertPlan::in_whole_buffers(Value rows) const {
  Value buffers = split_axis(rows, "row", {{"peer", peers_}, {"place", tokens_}});
  return merge_axes(all_to_all(buffers, "peer", "peer", options_.mesh_axes), "peer place", "row");
}

Value ExpertPlan::kept() const { return bounded_ ? split_axis(bounded_->kept(), "tok", {b_, s_}) : Value(); }

Value ExpertPlan::collect(Value sums, DType dtype) const {
  if (peers_ == 1) return convert(split_axis(rename(sums, "row", "tok"), "tok", {b_, s_}), dtype);
  Value back = returned(convert(sums, dtype));
  Value sum;
  for (int64_t i = 0; i < choices_; ++i) {
    Value part = convert(gather(back, column(place_, "k", i), "row"), DType::kF32);  // [tok d]
    part = select(broadcast(column(first_, "k", i), part.shape()), part, 0);
    sum = sum ? sum + part : part;
  }
  return convert(split_axis(sum, "tok", {b_, s_}), dtype);
}

Value ExpertPlan::collect_weights(Value values) const {
  Value slots = select(slot_valid_, gather(values, row_of_slot_, "m"), 0);  // [row col]
  Value by_choice = choice_in_column_ ? reduce_sum(convert(choice_in_column_, DType::kF32) * slots, "col")
                                      : rename(slots, "col", "k");  // [row k]
  if (peers_ == 1) return split_axis(rename(by_choice, "row", "tok"), "tok", {b_, s_});
  Value back = bounded_ ? returned(by_choice) : in_whole_buffers(by_choice);
  // Choice i of a token stands in column i of the row that came back from its device.
  Value rows = gather(rename(back, "k", "j"), place_, "row");  // [tok k j]
  Graph& g = rows.graph();
  Value own = equal(iota(g, DType::kS32, rows.shape(), "k"), iota(g, DType::kS32, rows.shape(), "j"));
  Value by_token = reduce_sum(select(own, rows, 0), "j");
  if (bounded_) by_token = select(bounded_->kept(), by_token, 0);
  return split_axis(by_token, "tok", {b_, s_});
}

}  // namespace fathom
