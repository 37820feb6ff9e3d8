// The device mesh: a function of the configuration and the number of devices.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/signature.h"
#include "config/config.h"

namespace fathom {

struct DeviceMesh {
  // The axes larger than one, outermost first: what programs are partitioned over. One device has no axes.
  Mesh mesh;
  // All of mesh_axes in order, with the devices of one slice (ici) and the number of slices (dcn) along each; the size
  // of an axis is the product of both.
  std::vector<Axis> ici;
  std::vector<Axis> dcn;
  int64_t slices = 1;

  int64_t devices() const { return mesh.devices(); }
  // How many slices stand along each axis of `mesh`.
  std::vector<int64_t> slices_along() const;
  // "Num_devices: 4, shape (1, 1, 1, 4, ...)": every axis of mesh_axes.
  std::string to_string() const;
};

// Fills the one -1 of each group and checks the products. `devices` counts all slices together. Throws ConfigError
// naming the keys.
DeviceMesh resolve_mesh(const Config& config, int64_t devices, int64_t slices = 1);

}  // namespace fathom
