#include "aot/ahead_of_time.h"

#include <fmt/format.h>

#include <cstdlib>
#include <functional>
#include <regex>

#include "base/stopwatch.h"
#include "graph/partition.h"
#include "mesh/batch_sizes.h"
#include "program/programs.h"
#include "runtime/compile_options.h"
#include "runtime/device_assignment.h"
#include "runtime/executable.h"
#include "runtime/pjrt_error.h"
#include "runtime/plugin_search.h"

namespace fathom {
namespace {

// How many slices stand along each axis of the mesh.
std::vector<int64_t> slices_along(const DeviceMesh& mesh) {
  std::vector<int64_t> out;
  for (const Axis& axis : mesh.mesh.axes) {
    for (const Axis& dcn : mesh.dcn) {
      if (dcn.name == axis.name) out.push_back(dcn.size);
    }
  }
  return out;
}

// The ids of the devices in the order of the mesh; `ids` slice after slice.
std::vector<int> in_mesh_order(const DeviceMesh& mesh, const std::vector<int>& ids) {
  std::vector<int64_t> slices = slices_along(mesh);
  int64_t of_slice = mesh.devices() / mesh.slices;
  std::vector<int> out;
  for (int64_t i = 0; i < mesh.devices(); ++i) {
    SlicePlace at = place_in_slices(mesh.mesh, slices, i);
    out.push_back(ids.at(static_cast<size_t>(at.slice * of_slice + at.place)));
  }
  return out;
}

int64_t argument_bytes(const Signature& signature) {
  int64_t total = 0;
  for (const ArgSpec& arg : signature.args) {
    total += local_shape(arg.type.shape, arg.sharding, signature.mesh).elements() * byte_size(arg.type.dtype);
  }
  return total;
}

// `compile` is the call into the plugin.
CompiledStep judge(const StagedStep& step, int64_t available,
                   const std::function<std::shared_ptr<const CompiledProgram>()>& compile) {
  CompiledStep out;
  out.arguments = argument_bytes(step.signature);
  out.available = available;
  Clock::time_point start = Clock::now();
  try {
    out.program = compile();
  } catch (const PjrtError& error) {
    bool memory = error.code() == PjrtCode::kResourceExhausted || error.text().find("HbmOom") != std::string::npos;
    if (!memory) throw;
    MemoryFigures figures = figures_of(error.text());
    out.refusal = error.text();
    out.needed = figures.needed;
    if (figures.available > 0) out.available = figures.available;
  }
  out.seconds = seconds_since(start);
  if (!out.program) return out;
  out.memory = out.program->memory_stats();
  const MemoryStats& m = out.memory;
  out.needed = m.argument + m.output - m.alias + m.temp + m.generated_code;
  return out;
}

int64_t bytes_of(const std::string& digits, const std::string& unit) {
  constexpr std::string_view kUnits = "BKMGT";  // powers of 1,024, as XLA means them
  double bytes = std::stod(digits);
  for (size_t i = kUnits.find(unit); i > 0; --i) bytes *= 1024;
  return static_cast<int64_t>(bytes);
}

}  // namespace

StagedStep stage_train_step(const Config& config, int64_t devices, int64_t slices, const Target& target) {
  Clock::time_point start = Clock::now();
  StagedStep out{.mesh = resolve_mesh(config, devices, slices)};
  check_batch_split(config, out.mesh);
  StateSpec spec = state_spec(config, out.mesh.mesh);
  Program program = train_step(config, spec, {resolve_batch(config, devices).to_train, config.max_target_length});
  out.text = emit(program, {.target = target, .require_kernels = config.kernels == KernelUse::kRequire});
  out.signature = std::move(program.signature);
  out.seconds = seconds_since(start);
  return out;
}

CompiledStep compile_step(const std::shared_ptr<const Topology>& topology, const StagedStep& step,
                          const std::string& xla_flags, int64_t available) {
  std::vector<int> ids;
  for (const TopologyDevice& d : topology->devices()) ids.push_back(d.id);
  CompileOptions options{.device_ids = in_mesh_order(step.mesh, ids), .xla_flags = parse_xla_flags(xla_flags)};
  if (int64_t told = topology->devices().front().memory_bytes; told > 0) available = told;
  return judge(step, available,
               [&] { return std::make_shared<const CompiledProgram>(compile_for(topology, step.text, options)); });
}

CompiledStep compile_step(const std::shared_ptr<const Client>& client, const StagedStep& step,
                          const std::string& xla_flags, int64_t available) {
  std::vector<int> ids;
  for (const Device& d : client->devices()) ids.push_back(d.id);
  CompileOptions options{.device_ids = in_mesh_order(step.mesh, ids), .xla_flags = parse_xla_flags(xla_flags)};
  if (int64_t told = Topology::of(client)->devices().front().memory_bytes; told > 0) available = told;
  return judge(step, available, [&] {
    auto loaded = std::make_shared<const Executable>(Executable::compile(client, step.text, options));
    return std::shared_ptr<const CompiledProgram>(loaded, &loaded->program());
  });
}

std::shared_ptr<const Topology> topology_of(const Machine& machine, const std::string& plugin) {
  std::string path = find_plugin(plugin, machine.hardware);
  if (machine.hardware == Hardware::kTpu) {
    // libtpu looks for its machine's data on the network and for other programs that use the TPU; here there is none.
    setenv("TPU_SKIP_MDS_QUERY", "1", 0);
    setenv("ALLOW_MULTIPLE_LIBTPU_LOAD", "1", 0);
    // Without these it complains of an unknown machine on stderr. They change nothing in the programs.
    setenv("TPU_ACCELERATOR_TYPE", "v5p-8", 0);
    setenv("TPU_WORKER_HOSTNAMES", "localhost", 0);
    setenv("TPU_WORKER_ID", "0", 0);
  }
  return Topology::create(Plugin::load(path), machine.topology, machine.options);
}

MemoryFigures figures_of(const std::string& refusal) {
  static const std::regex kPatterns[] = {
      std::regex(R"(\(([0-9.]+)([BKMGT])i?B?\) exceeds available HBM \(([0-9.]+)([BKMGT])i?B?\))"),
      std::regex(R"(Used ([0-9.]+)([BKMGT])i?B? of ([0-9.]+)([BKMGT])i?B?)"),
  };
  for (const std::regex& pattern : kPatterns) {
    std::smatch m;
    if (std::regex_search(refusal, m, pattern)) return {bytes_of(m[1], m[2]), bytes_of(m[3], m[4])};
  }
  return {};
}

}  // namespace fathom
