// Per-device code: a region in which every device of the mesh works on its own part, with collectives between them.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "graph/ops.h"
#include "graph/partition.h"

namespace fathom {

// Runs `body` on the local parts of the operands, split as `in` says; its results are parts of values split as `out`
// says, over every axis of the graph's mesh. Refuses differentiation: the op that makes such a region has a VJP of its
// own.
std::vector<Value> manual(Graph& g, const std::vector<Value>& operands, std::vector<Sharding> in,
                          std::vector<Sharding> out,
                          const std::function<std::vector<Value>(std::span<const Value>)>& body,
                          Where w = Where::current());

// Collectives over the devices along `mesh_axes` (outermost first); x itself when there are none.

// The parts of all devices joined along the axis.
Value all_gather(Value x, std::string_view axis, const std::vector<std::string>& mesh_axes, Where w = Where::current());
// The sum over the devices, on each of them.
Value all_reduce(Value x, const std::vector<std::string>& mesh_axes, Where w = Where::current());
// The sum over the devices, each keeping its part of the axis.
Value reduce_scatter(Value x, std::string_view axis, const std::vector<std::string>& mesh_axes,
                     Where w = Where::current());
// Part i of `split` goes to device i; what is received is joined along `join`.
Value all_to_all(Value x, std::string_view split, std::string_view join, const std::vector<std::string>& mesh_axes,
                 Where w = Where::current());
// To the next device of the group, from the last one to the first.
Value ring_shift(Value x, const std::vector<std::string>& mesh_axes, Where w = Where::current());
// Where the rows of each device of the group stand; all [peer] s32.
struct RaggedExchange {
  Value input_offsets;   // of the rows to send to each device, in x
  Value send_sizes;      // how many
  Value output_offsets;  // where they go in that device's result
  Value receive_sizes;   // how many come from each device
};
// Rows of x (first axis) to every device of the group, into a copy of `into`. TPU only.
Value ragged_all_to_all(Value x, Value into, const RaggedExchange& rows, const std::vector<std::string>& mesh_axes,
                        Where w = Where::current());
// s32: this device's position along the mesh axes.
Value device_index(Graph& g, const std::vector<std::string>& mesh_axes, Where w = Where::current());

}  // namespace fathom
