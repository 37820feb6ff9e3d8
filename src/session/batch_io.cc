#include "session/batch_io.h"

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

#include "base/log.h"
#include "runtime/mesh_slice.h"

namespace fathom {
namespace {

// First row and number of rows of a piece.
using Rows = std::pair<int64_t, int64_t>;

// The pieces as one, if they stand in one piece without gaps.
std::optional<Rows> in_one_piece(const std::set<Rows>& pieces) {
  int64_t end = pieces.begin()->first;
  for (const Rows& piece : pieces) {
    if (piece.first != end) return std::nullopt;
    end += piece.second;
  }
  return Rows{pieces.begin()->first, end - pieces.begin()->first};
}

// Whether these rows are one of the equal shares of `rows` rows into pieces of `size`.
bool is_share(const std::optional<Rows>& own, int64_t size, int64_t rows) {
  return own && own->second == size && rows % size == 0 && own->first % size == 0;
}

}  // namespace

const ArgSpec& argument(const Signature& signature, std::string_view name) {
  auto at = std::ranges::find(signature.args, name, &ArgSpec::name);
  if (at == signature.args.end()) throw std::logic_error("the program takes no " + std::string(name));
  return *at;
}

RowShare row_share(const DeviceAssignment& assignment, const ArgSpec& batch) {
  const int64_t rows = batch.type.shape[0].size;
  const RowShare all{.first = 0, .rows = rows};
  auto rows_at = [&](int64_t position) {
    ArraySlice slice = slice_at(batch.type.shape.sizes(), batch.sharding, assignment.mesh(), position);
    return Rows{slice.start[0], slice.sizes[0]};
  };
  std::set<Rows> own_pieces;
  for (const DeviceAssignment::Local& local : assignment.addressable()) own_pieces.insert(rows_at(local.position));
  std::optional<Rows> own = in_one_piece(own_pieces);
  const int64_t size = own ? own->second : rows;
  std::map<int, std::set<Rows>> of_processes;
  for (size_t i = 0; i < assignment.devices().size(); ++i) {
    of_processes[assignment.devices()[i]->process_index].insert(rows_at(static_cast<int64_t>(i)));
  }
  bool even = is_share(own, size, rows);
  if (assignment.client()->process_count() > 1) {
    for (const auto& [process, pieces] : of_processes) even = even && is_share(in_one_piece(pieces), size, rows);
  }
  if (!even) {
    log_info("the mesh deals the rows of a batch to the processes unevenly: each reads all {} rows", rows);
    return all;
  }
  return {.first = own->first,
          .rows = size,
          .index = static_cast<int>(own->first / size),
          .count = static_cast<int>(rows / size)};
}

NamedArrays upload_batch(const ShardedArray::Assignment& assignment, const Signature& signature,
                         const BatchFields<HostArray>& batch, const RowShare& share) {
  NamedArrays out;
  for (const auto& field : batch.fields()) {
    const HostArray& rows = batch.*field.member;
    auto part = [&](ArraySlice slice) {
      slice.start[0] -= share.first;
      return cut(rows, slice);
    };
    out.emplace(field.name, ShardedArray::from_slices(assignment, layout_of(argument(signature, field.name)), part,
                                                      HostMemory::kZeroCopy));
  }
  return out;
}

ShardedArray upload_for_devices(const ShardedArray::Assignment& assignment, const ArgSpec& argument, int32_t value) {
  auto one = [&](const ArraySlice& slice) {
    HostArray out = HostArray::allocate(DType::kS32, slice.sizes);
    std::ranges::fill(out.mutable_view<int32_t>(), value);
    return out;
  };
  return ShardedArray::from_slices(assignment, layout_of(argument), one);
}

}  // namespace fathom
