#include "runtime/sharded_array.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/huge_pages.h"

namespace fathom {
namespace {

[[noreturn]] void refuse(std::string_view call, const std::string& text) {
  throw PjrtError(PjrtCode::kInvalidArgument, std::string(call), text);
}

std::string to_string(const ArrayLayout& layout) {
  std::vector<std::string> dims;
  for (const auto& d : layout.sharding.dims) dims.push_back(d.empty() ? "-" : fmt::format("{}", fmt::join(d, "x")));
  if (layout.sharding.replicated())
    return fmt::format("{}[{}] on every device", name(layout.dtype), fmt::join(layout.sizes, " "));
  return fmt::format("{}[{}] over ({})", name(layout.dtype), fmt::join(layout.sizes, " "), fmt::join(dims, ", "));
}

// Equal layouts may spell "replicated" in two ways.
bool same(const ArrayLayout& a, const ArrayLayout& b) {
  bool shardings = a.sharding == b.sharding || (a.sharding.replicated() && b.sharding.replicated());
  return a.dtype == b.dtype && a.sizes == b.sizes && shardings;
}

void check_arguments(const Signature& signature, const std::vector<ShardedArray*>& arguments) {
  if (arguments.size() != signature.args.size()) {
    refuse("execute",
           fmt::format("the program takes {} arguments, {} are given", signature.args.size(), arguments.size()));
  }
  for (size_t i = 0; i < arguments.size(); ++i) {
    const ArgSpec& spec = signature.args[i];
    if (arguments[i]->empty()) {
      refuse("execute", fmt::format("argument {} ({}) is empty: it was donated or moved away", i, spec.name));
    }
    ArrayLayout wanted = layout_of(spec);
    if (!same(arguments[i]->layout(), wanted)) {
      refuse("execute", fmt::format("argument {} ({}) must be {}, not {}", i, spec.name, to_string(wanted),
                                    to_string(arguments[i]->layout())));
    }
  }
}

// Where each device of the executable stands among the addressable ones.
std::vector<size_t> shard_of_device(const Executable& executable, const DeviceAssignment& assignment) {
  std::vector<size_t> out;
  const auto& local = assignment.addressable();
  for (const Device* device : executable.devices()) {
    auto at = std::find_if(local.begin(), local.end(), [&](const auto& l) { return l.device->id == device->id; });
    if (at == local.end()) {
      refuse("execute", fmt::format("the program runs on device {}, which the arrays do not lie on", device->id));
    }
    out.push_back(static_cast<size_t>(at - local.begin()));
  }
  if (out.size() != local.size()) {
    refuse("execute", fmt::format("the program runs on {} devices of this process, the arrays lie on {}", out.size(),
                                  local.size()));
  }
  return out;
}

// A slice and which of the addressable devices hold it.
struct HeldSlice {
  ArraySlice slice;
  std::vector<size_t> holders;
};

// The different slices of this process, in mesh order.
std::vector<HeldSlice> held_slices(const DeviceAssignment& assignment, const ArrayLayout& layout) {
  std::vector<HeldSlice> out;
  std::map<ArraySlice, size_t> found;
  const auto& local = assignment.addressable();
  for (size_t i = 0; i < local.size(); ++i) {
    ArraySlice slice = slice_at(layout.sizes, layout.sharding, assignment.mesh(), local[i].position);
    auto [at, fresh] = found.try_emplace(slice, out.size());
    if (fresh) out.push_back({std::move(slice), {}});
    out[at->second].holders.push_back(i);
  }
  return out;
}

}  // namespace

ArrayLayout layout_of(const ArgSpec& spec) { return {spec.type.dtype, spec.type.shape.sizes(), spec.sharding}; }
ArrayLayout layout_of(const ResultSpec& spec) { return {spec.type.dtype, spec.type.shape.sizes(), spec.sharding}; }

ShardedArray::ShardedArray(Assignment assignment, ArrayLayout layout, std::vector<Buffer> shards)
    : assignment_(std::move(assignment)), layout_(std::move(layout)), shards_(std::move(shards)) {
  if (shards_.size() != assignment_->addressable().size()) {
    refuse("ShardedArray", fmt::format("{} buffers for the {} devices of this process", shards_.size(),
                                       assignment_->addressable().size()));
  }
}

ShardedArray ShardedArray::from_host(const Assignment& assignment, const HostArray& whole, const Sharding& sharding,
                                     HostMemory memory) {
  return from_slices(
      assignment, {whole.dtype(), whole.sizes(), sharding}, [&](const ArraySlice& slice) { return cut(whole, slice); },
      memory);
}

ShardedArray ShardedArray::from_slices(const Assignment& assignment, const ArrayLayout& layout, const MakeSlice& make,
                                       HostMemory memory) {
  const auto& local = assignment->addressable();
  std::vector<Buffer> shards(local.size());
  for (const auto& [slice, holders] : held_slices(*assignment, layout)) {
    HostArray part = make(slice);
    if (part.dtype() != layout.dtype || part.sizes() != slice.sizes) {
      refuse("ShardedArray::from_slices",
             fmt::format("a slice of {}[{}] was made as {}[{}]", name(layout.dtype), fmt::join(slice.sizes, " "),
                         name(part.dtype()), fmt::join(part.sizes(), " ")));
    }
    for (size_t i : holders) shards[i] = Buffer::from_host(assignment->client(), part, *local[i].device, memory);
  }
  return {assignment, layout, std::move(shards)};
}

ShardedArray ShardedArray::filled(const Assignment& assignment, const ArrayLayout& layout, const FillSlices& fill) {
  const auto& local = assignment->addressable();
  const std::vector<HeldSlice> held = held_slices(*assignment, layout);
  std::vector<Buffer> shards(local.size());
  std::vector<HostArray> hosts;
  std::vector<SliceMemory> memory;
  for (const auto& [slice, holders] : held) {
    // The memory of the slice's first holder where it can be written to, else the host's.
    Buffer& first = shards[holders.front()];
    auto own = Buffer::uninitialized(assignment->client(), layout.dtype, slice.sizes, *local[holders.front()].device);
    if (own) {
      first = std::move(*own);
      auto* data = static_cast<std::byte*>(const_cast<void*>(first.device_pointer()));
      hosts.emplace_back(layout.dtype, slice.sizes, data, nullptr);
      memory.push_back({slice, data});
    } else {
      hosts.push_back(HostArray::allocate(layout.dtype, slice.sizes));
      memory.push_back({slice, hosts.back().mutable_data()});
    }
  }
  for (size_t s = 0; s < memory.size(); ++s) prefer_huge_pages(memory[s].data, static_cast<size_t>(hosts[s].bytes()));
  fill(memory);
  for (size_t s = 0; s < held.size(); ++s) {
    const bool in_place = !shards[held[s].holders.front()].empty();
    for (size_t i : std::span(held[s].holders).subspan(in_place ? 1 : 0)) {
      shards[i] = Buffer::from_host(assignment->client(), hosts[s], *local[i].device);
      if (in_place) shards[i].ready_event().await();  // the first holder's memory may be donated from now on
    }
  }
  return {assignment, layout, std::move(shards)};
}

ArraySlice ShardedArray::slice(size_t i) const {
  return slice_at(layout_.sizes, layout_.sharding, assignment_->mesh(), assignment_->addressable()[i].position);
}

std::vector<size_t> ShardedArray::first_copies() const {
  const Mesh& mesh = assignment_->mesh();
  std::set<ArraySlice> seen;
  std::vector<size_t> out;
  size_t next = 0;  // of the addressable devices, which stand in mesh order
  for (int64_t position = 0; next < shards_.size(); ++position) {
    const bool fresh = seen.insert(slice_at(layout_.sizes, layout_.sharding, mesh, position)).second;
    if (assignment_->addressable()[next].position != position) continue;
    if (fresh) out.push_back(next);
    ++next;
  }
  return out;
}

bool ShardedArray::complete() const {
  std::set<ArraySlice> distinct;
  for (size_t i = 0; i < shards_.size(); ++i) distinct.insert(slice(i));
  return static_cast<int64_t>(distinct.size()) == count_slices(layout_.sharding, assignment_->mesh());
}

void ShardedArray::require_shards(std::string_view call) const {
  if (empty()) {
    throw PjrtError(PjrtCode::kFailedPrecondition, std::string(call),
                    "the array is empty: it was donated or moved away");
  }
}

HostArray ShardedArray::to_host() const {
  require_shards("ShardedArray::to_host");
  if (count_slices(layout_.sharding, assignment_->mesh()) == 1) return shards_.front().to_host();
  if (!complete()) {
    throw PjrtError(PjrtCode::kFailedPrecondition, "ShardedArray::to_host",
                    fmt::format("{}: devices of other processes hold a part of it; a process can fetch only its own "
                                "slices",
                                to_string(layout_)));
  }
  std::map<ArraySlice, HostCopy> copies;
  for (size_t i = 0; i < shards_.size(); ++i) {
    ArraySlice at = slice(i);
    if (!copies.contains(at)) copies.emplace(std::move(at), shards_[i].to_host_async());
  }
  HostArray whole = HostArray::allocate(layout_.dtype, layout_.sizes);
  for (const auto& [at, copy] : copies) {
    copy.done.await();
    if (copy.array.sizes() != at.sizes) {
      refuse("ShardedArray::to_host", fmt::format("{}: a device holds [{}] where [{}] belongs", to_string(layout_),
                                                  fmt::join(copy.array.sizes(), " "), fmt::join(at.sizes, " ")));
    }
    paste(whole, at, copy.array);
  }
  return whole;
}

HostCopy ShardedArray::first_shard_async() const {
  require_shards("ShardedArray::first_shard_async");
  return shards_.front().to_host_async();
}

ShardedExecution execute(const Executable& executable, const Signature& signature,
                         const ShardedArray::Assignment& assignment, const std::vector<ShardedArray*>& arguments) {
  check_arguments(signature, arguments);
  std::vector<size_t> shard_of = shard_of_device(executable, *assignment);
  std::vector<std::vector<Buffer*>> lists;
  for (size_t shard : shard_of) {
    std::vector<Buffer*>& list = lists.emplace_back();
    for (ShardedArray* argument : arguments) list.push_back(&argument->shards()[shard]);
  }
  ExecuteOptions options;
  for (size_t i = 0; i < signature.args.size(); ++i) {
    if (signature.args[i].donated_to) options.donated.push_back(static_cast<int>(i));
  }
  Execution run = executable.execute_sharded(lists, options);
  ShardedExecution out{.results = {}, .done = std::move(run.done)};
  for (size_t r = 0; r < signature.results.size(); ++r) {
    std::vector<Buffer> shards(shard_of.size());
    for (size_t d = 0; d < shard_of.size(); ++d) shards[shard_of[d]] = std::move(run.outputs[d][r]);
    out.results.emplace_back(assignment, layout_of(signature.results[r]), std::move(shards));
  }
  return out;
}

}  // namespace fathom
