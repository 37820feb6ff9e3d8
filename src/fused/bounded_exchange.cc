#include "fused/bounded_exchange.h"

#include <algorithm>

#include "graph/manual.h"

namespace fathom {
namespace {

// How many stand before each along the axis.
Value before(Value counts, std::string_view axis) { return cumsum(counts, axis) - counts; }

}  // namespace

BoundedExchange::BoundedExchange(Value experts, BoundedOptions options)
    : options_(std::move(options)),
      peers_(experts.graph().partition->devices(options_.mesh_axes)),
      tokens_(experts.size("tok")),
      choices_(experts.size("k")),
      me_(device_index(experts.graph(), options_.mesh_axes)) {
  choose_kept(experts);
  lay_out();
}

// A choice is taken when fewer than `most` choices of the same device stand before it: those of earlier devices of the
// group, and the earlier ones here.
void BoundedExchange::choose_kept(Value experts) {
  Graph& g = experts.graph();
  Value peer = experts / options_.local_experts;
  Value all = one_hot(peer, {"peer", peers_}, DType::kS32);  // [tok k peer]
  Value flat = merge_axes(all, "tok k", "choice");
  Value counts = all_gather(expand(reduce_sum(flat, "choice"), "src"), "src", options_.mesh_axes);  // [src peer]
  Value earlier = less(iota(g, DType::kS32, counts.shape(), "src"), broadcast(me_, counts.shape()));
  Value position = before(flat, "choice") + reduce_sum(select(earlier, counts, 0), "src");
  position = reduce_sum(split_axis(flat * position, "choice", {{"tok", tokens_}, {"k", choices_}}), "peer");
  kept_ = less(position, options_.most);
  chosen_ = select(broadcast(kept_, all.shape()), all, 0);
}

void BoundedExchange::lay_out() {
  Value goes = reduce_max(chosen_, "k");                                      // [tok peer]
  Value sent = reduce_sum(goes, "tok");                                       // [peer]
  Value counts = all_gather(expand(sent, "src"), "src", options_.mesh_axes);  // [src peer]
  // From each device to this one, and where they stand here.
  Value arriving = rename(dynamic_index(counts, "peer", me_), "src", "peer");
  const int64_t rows = std::min(peers_ * tokens_, options_.most), most_sent = tokens_ * std::min(choices_, peers_);
  there_ = {.from = before(sent, "peer"),
            .count = sent,
            .into = before(arriving, "peer"),
            .expected = arriving,
            .into_there = dynamic_index(before(counts, "src"), "src", me_),
            .arriving = "row",
            .rows = rows};
  back_ = {.from = there_.into,
           .count = arriving,
           .into = there_.from,
           .expected = sent,
           .into_there = rename(dynamic_index(before(counts, "peer"), "peer", me_), "src", "peer"),
           .arriving = "sent",
           .rows = most_sent};

  Value place = before(goes, "tok") + there_.from;  // [tok peer]
  place_ = reduce_sum(chosen_ * place, "peer");
  Value earlier = reduce_sum(chosen_ * before(chosen_, "k"), "peer");  // [tok k]: choices of the same device
  first_ = logical_and(kept_, equal(earlier, 0));
  Value by_peer = merge_axes(transpose(goes, "peer tok"), "peer tok", "sent");
  token_of_row_ = remainder(slice(argsort(by_peer, "sent", true), "sent", 0, most_sent), tokens_);
}

Value BoundedExchange::send(Value by_token, double fill) const {
  return travel(gather(by_token, token_of_row_, "tok"), there_, fill);
}

Value BoundedExchange::send_back(Value rows) const { return travel(rows, back_, 0); }

Value BoundedExchange::travel(Value x, const Way& way, double fill) const {
  const bool narrow = x.shape()[1] == Axis{"k", choices_};  // a few bytes for each choice
  if (!options_.ragged || narrow) return travel_in_parts(x, way, fill);
  std::vector<Axis> axes(x.shape().begin(), x.shape().end());
  axes[0] = {way.arriving, way.rows};
  const RaggedExchange rows{.input_offsets = way.from,
                            .send_sizes = way.count,
                            .output_offsets = way.into_there,
                            .receive_sizes = way.expected};
  return ragged_all_to_all(x, constant(x.graph(), fill, {x.dtype(), Shape(std::move(axes))}), rows, options_.mesh_axes);
}

// Where rows cannot be sent in any number, and for narrow ones: T places for each pair of devices.
Value BoundedExchange::travel_in_parts(Value x, const Way& way, double fill) const {
  Graph& g = x.graph();
  const std::string leaving = x.shape()[0].name;
  const Shape parts{{"peer", peers_}, {"place", tokens_}};
  Value at = iota(g, DType::kS32, parts, "place") + broadcast(way.from, parts);
  Value sent = gather(x, minimum(at, x.size(leaving) - 1), leaving);  // [peer place ...]
  Value received = merge_axes(all_to_all(sent, "peer", "peer", options_.mesh_axes), "peer place", leaving);
  // Row r is of the device before whose rows' end it stands.
  const Shape rows{{way.arriving, way.rows}, {"peer", peers_}};
  Value row = iota(g, DType::kS32, rows, way.arriving);
  Value end = broadcast(way.into + way.expected, rows);
  Value inside = logical_and(less(row, end), greater_equal(row, broadcast(way.into, rows)));
  Value place = row - broadcast(way.into, rows) + iota(g, DType::kS32, rows, "peer") * tokens_;
  Value out = gather(received, reduce_sum(select(inside, place, 0), "peer"), leaving);
  return select(broadcast(reduce_or(inside, "peer"), out.shape()), out, fill);
}

}  // namespace fathom
