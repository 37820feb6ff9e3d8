// For tests: runs programs on meshes of virtual CPU devices.
#pragma once

#include <string>
#include <vector>

#include "base/host_array.h"
#include "config/config.h"
#include "program/programs.h"
#include "runtime/executable.h"

namespace fathom {

// The configuration of a small model with keys on top, among them ici_*_parallelism.
Config mesh_config(std::vector<std::string> keys);

// The mesh that the configuration asks for on `devices` devices.
Mesh mesh_of(const Config& config, int64_t devices);

// A program compiled for its mesh.
Executable compile_on_mesh(const Program& program, bool kernels = true);

// Whole results of a program for whole arguments: arguments are cut, results put together as the signature says. Where
// several devices hold the same part, all copies must agree bit for bit, or the test fails.
std::vector<HostArray> run_on_mesh(const Program& program, const std::vector<HostArray>& arguments,
                                   bool kernels = true);
// The same for a program that is compiled already.
std::vector<HostArray> run_on_mesh(const Executable& executable, const Signature& signature,
                                   const std::vector<HostArray>& arguments);

// Parameters about zero, those of norms about one, so that no gradient vanishes but those of each layer's last expert,
// which the router's bias keeps from all tokens. (Drawn here: to compile init_state takes longer than what these tests
// are about.)
std::vector<HostArray> drawn_parameters(const Config& config);

// The batch arguments: two segments a row, some padding at the end of every second row.
std::vector<HostArray> drawn_batch(const BatchShape& shape, int64_t vocabulary);

// |a - b| / |b| (root of the sums of squares); infinity for another shape or a NaN.
double relative_difference(const HostArray& a, const HostArray& b);

}  // namespace fathom
