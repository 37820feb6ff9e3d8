#include "runtime/device_assignment.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "runtime/mesh_slice.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

[[noreturn]] void refuse(const std::string& text) {
  throw PjrtError(PjrtCode::kInvalidArgument, "DeviceAssignment", text);
}

}  // namespace

std::vector<const Device*> devices_by_slice(const std::vector<Device>& all, int64_t slices) {
  std::map<int, std::vector<const Device*>> by_slice;
  for (const Device& d : all) by_slice[slices == 1 ? 0 : d.slice_index].push_back(&d);
  if (static_cast<int64_t>(by_slice.size()) != slices) {
    refuse(fmt::format("the mesh is made for {} slices, the devices stand in {}", slices, by_slice.size()));
  }
  std::vector<const Device*> out;
  for (auto& [index, devices] : by_slice) {
    std::sort(devices.begin(), devices.end(), [](const Device* a, const Device* b) { return a->id < b->id; });
    if (devices.size() != by_slice.begin()->second.size()) {
      refuse(fmt::format("slice {} has {} devices, slice {} has {}", index, devices.size(), by_slice.begin()->first,
                         by_slice.begin()->second.size()));
    }
    out.insert(out.end(), devices.begin(), devices.end());
  }
  return out;
}

SlicePlace place_in_slices(const Mesh& mesh, const std::vector<int64_t>& slices, int64_t position) {
  std::vector<int64_t> coordinates = mesh_coordinates(mesh, position);
  SlicePlace out;
  for (size_t i = 0; i < coordinates.size(); ++i) {
    int64_t outer = slices.empty() ? 1 : slices[i];
    int64_t inner = mesh.axes[i].size / outer;
    out.slice = out.slice * outer + coordinates[i] / inner;
    out.place = out.place * inner + coordinates[i] % inner;
  }
  return out;
}

std::shared_ptr<const DeviceAssignment> DeviceAssignment::create(const std::shared_ptr<const Client>& client,
                                                                 const Mesh& mesh, const AssignmentOptions& options) {
  int64_t slices = 1;
  if (!options.slices.empty() && options.slices.size() != mesh.axes.size()) {
    refuse(fmt::format("slices along {} axes of a mesh of {}", options.slices.size(), mesh.axes.size()));
  }
  for (size_t i = 0; i < options.slices.size(); ++i) {
    slices *= options.slices[i];
    if (mesh.axes[i].size % options.slices[i] != 0) {
      refuse(fmt::format("mesh axis {}={} does not hold {} slices", mesh.axes[i].name, mesh.axes[i].size,
                         options.slices[i]));
    }
  }
  if (static_cast<int64_t>(client->devices().size()) != mesh.devices()) {
    refuse(fmt::format("a mesh of {} devices for the {} devices of the job", mesh.devices(), client->devices().size()));
  }
  std::shared_ptr<DeviceAssignment> out(new DeviceAssignment);
  out->client_ = client;
  out->mesh_ = mesh;
  out->devices_ = in_mesh_order(mesh, options.slices, devices_by_slice(client->devices(), slices));
  out->find_addressable(options.addressable);
  return out;
}

std::shared_ptr<const DeviceAssignment> DeviceAssignment::first_device(const std::shared_ptr<const Client>& client) {
  std::shared_ptr<DeviceAssignment> out(new DeviceAssignment);
  out->client_ = client;
  out->devices_ = {client->addressable_devices().front()};
  out->addressable_ = {{0, out->devices_[0]}};
  return out;
}

void DeviceAssignment::find_addressable(const std::optional<std::vector<int>>& chosen) {
  const auto& own = client_->addressable_devices();
  for (size_t p = 0; p < devices_.size(); ++p) {
    const Device* device = devices_[p];
    bool ours = std::find(own.begin(), own.end(), device) != own.end();
    if (chosen) ours = ours && std::find(chosen->begin(), chosen->end(), device->id) != chosen->end();
    if (ours) addressable_.push_back({static_cast<int64_t>(p), device});
  }
  if (addressable_.empty()) refuse("the mesh holds no device of this process");
}

std::vector<int> DeviceAssignment::device_ids() const {
  std::vector<int> out;
  for (const Device* d : devices_) out.push_back(d->id);
  return out;
}

}  // namespace fathom
