// Arrays that lie over the devices of a mesh, of which a process may see only some.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "runtime/buffer.h"
#include "runtime/device_assignment.h"
#include "runtime/executable.h"
#include "runtime/mesh_slice.h"

namespace fathom {

// Element type, sizes of the whole and how it is split.
struct ArrayLayout {
  DType dtype = DType::kF32;
  std::vector<int64_t> sizes = {};
  Sharding sharding = {};

  friend bool operator==(const ArrayLayout&, const ArrayLayout&) = default;
};
ArrayLayout layout_of(const ArgSpec& spec);
ArrayLayout layout_of(const ResultSpec& spec);

// One Buffer for each device of this process, in mesh order. Move-only; default, moved-from and donated ones are empty.
class ShardedArray {
 public:
  using Assignment = std::shared_ptr<const DeviceAssignment>;
  // Makes the elements of one slice.
  using MakeSlice = std::function<HostArray(const ArraySlice&)>;

  // Fills the memory of all slices.
  using FillSlices = std::function<void(std::span<const SliceMemory>)>;

  ShardedArray() = default;
  // Takes over buffers, one for each addressable device. Throws PjrtError for another number.
  ShardedArray(Assignment assignment, ArrayLayout layout, std::vector<Buffer> shards);

  // Uploads what this process holds of `whole`. Views of it go to the device as they are (see Buffer::from_host); its
  // memory is kept alive as long as the plugin may read it.
  static ShardedArray from_host(const Assignment& assignment, const HostArray& whole, const Sharding& sharding = {},
                                HostMemory memory = HostMemory::kCopy);
  // The same without a whole array: `make` is called once for each different slice of this process, in mesh order, and
  // what it gives is let go before the next call (the plugin may keep it until the transfer is done).
  static ShardedArray from_slices(const Assignment& assignment, const ArrayLayout& layout, const MakeSlice& make,
                                  HostMemory memory = HostMemory::kCopy);

  // The same, all different slices of this process at once: what they have in common is read once. On the CPU the
  // memory is the device's own and no copy is made; elsewhere it is the host's until the transfer is done.
  static ShardedArray filled(const Assignment& assignment, const ArrayLayout& layout, const FillSlices& fill);

  bool empty() const { return shards_.empty() || shards_.front().empty(); }
  const ArrayLayout& layout() const { return layout_; }
  const Assignment& assignment() const { return assignment_; }
  // In the order of assignment()->addressable().
  std::vector<Buffer>& shards() { return shards_; }
  const std::vector<Buffer>& shards() const { return shards_; }
  // What addressable()[i] holds.
  ArraySlice slice(size_t i) const;
  // The shards of this process that no device before theirs holds in the mesh: over all processes every element comes
  // once.
  std::vector<size_t> first_copies() const;
  // Whether the devices of this process hold every element.
  bool complete() const;

  // The whole array. Throws PjrtError when devices of other processes hold a part of it.
  HostArray to_host() const;
  // The first device's slice: the whole array where it is replicated.
  HostCopy first_shard_async() const;

 private:
  void require_shards(std::string_view call) const;

  Assignment assignment_;
  ArrayLayout layout_;
  std::vector<Buffer> shards_;
};

struct ShardedExecution {
  std::vector<ShardedArray> results;
  Completion done;
};

// Starts a program that was compiled for `assignment`; all of whose devices that it runs on here must be addressable in
// it. Arguments in the order of the signature; those that it donates are empty afterwards. Throws PjrtError when an
// argument is not what the signature says.
ShardedExecution execute(const Executable& executable, const Signature& signature,
                         const ShardedArray::Assignment& assignment, const std::vector<ShardedArray*>& arguments);

}  // namespace fathom
