// Which device stands where in the mesh, decided here and nowhere else.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/signature.h"
#include "runtime/client.h"

namespace fathom {

struct AssignmentOptions {
  // How many slices (groups of devices with a fast network of their own) stand along each axis of the mesh: the outer
  // part of that axis. Their product is the number of slices; empty stands for one slice.
  std::vector<int64_t> slices = {};
  // Devices by id that are taken for those of this process; nothing: the client's own. Others must be the client's too,
  // so this only makes the set smaller.
  std::optional<std::vector<int>> addressable = {};
};

// The index of the slice and the place inside it (row-major over what is left of the axes) of a mesh position.
struct SlicePlace {
  int64_t slice = 0;
  int64_t place = 0;
};
SlicePlace place_in_slices(const Mesh& mesh, const std::vector<int64_t>& slices, int64_t position);

// The devices slice after slice, in each by id. Throws PjrtError when they do not make so many slices of one size.
std::vector<const Device*> devices_by_slice(const std::vector<Device>& all, int64_t slices);

// What is listed slice after slice, in each by the device's id, in the order of the mesh. As many entries as the mesh
// has devices.
template <class T>
std::vector<T> in_mesh_order(const Mesh& mesh, const std::vector<int64_t>& slices, const std::vector<T>& by_slice) {
  int64_t of_slice = mesh.devices();
  for (int64_t count : slices) of_slice /= count;
  std::vector<T> out;
  for (int64_t i = 0; i < mesh.devices(); ++i) {
    SlicePlace at = place_in_slices(mesh, slices, i);
    out.push_back(by_slice.at(static_cast<size_t>(at.slice * of_slice + at.place)));
  }
  return out;
}

// Immutable; keeps the client alive.
class DeviceAssignment {
 public:
  // A device of this process and its position in the mesh.
  struct Local {
    int64_t position = 0;
    const Device* device = nullptr;
  };

  // All devices of the job over the mesh: positions row-major over its axes, devices in the order of their slice and
  // then of their id. Throws PjrtError when the mesh has another number of devices, or when the slices are not equal.
  static std::shared_ptr<const DeviceAssignment> create(const std::shared_ptr<const Client>& client, const Mesh& mesh,
                                                        const AssignmentOptions& options = {});
  // The first device of this process alone, for programs that are not partitioned.
  static std::shared_ptr<const DeviceAssignment> first_device(const std::shared_ptr<const Client>& client);

  const std::shared_ptr<const Client>& client() const { return client_; }
  const Mesh& mesh() const { return mesh_; }
  // In mesh order.
  const std::vector<const Device*>& devices() const { return devices_; }
  // Their ids, as CompileOptions wants them.
  std::vector<int> device_ids() const;
  // In mesh order; never empty.
  const std::vector<Local>& addressable() const { return addressable_; }
  bool all_addressable() const { return addressable_.size() == devices_.size(); }

 private:
  DeviceAssignment() = default;
  void find_addressable(const std::optional<std::vector<int>>& chosen);

  std::shared_ptr<const Client> client_;
  Mesh mesh_;
  std::vector<const Device*> devices_;
  std::vector<Local> addressable_;
};

}  // namespace fathom
