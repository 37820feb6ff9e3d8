// Compiles the train step for a machine that need not be there and says what it takes.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>

#include "aot/ahead_of_time.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/stopwatch.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/install_plugin.h"
#include "cli/memory_advice.h"
#include "config/keys/keys.h"
#include "runtime/compiled_file.h"
#include "runtime/plugin_search.h"
#include "session/session.h"

namespace fathom {
namespace {

struct Compilation {
  StagedStep step;
  CompiledStep result;
  CompiledFor made_for;
};

Machine named_machine(const Config& config) {
  int64_t slices = std::max<int64_t>(config.compile_topology_num_slices, 1);  // -1: not given
  if (auto machine = find_machine(config.compile_topology, slices)) return *machine;
  std::vector<std::string> near = nearest_names(config.compile_topology, machine_names());
  throw ConfigError(fmt::format(
      "compile_topology={}: no machine of that name{}; there are v4-8 to v4-4096, v5e-1 to v5e-256, "
      "v5p-8 to v5p-17920, v6e-1 to v6e-256, tpu7x-2 to tpu7x-18432, a3, and a100-N, a100_40gb-N, h100-N, h200-N, "
      "b200-N of N GPUs (1, 2, 4, or a multiple of 8)",
      config.compile_topology, near.empty() ? "" : fmt::format(" (nearest: {})", fmt::join(near, ", "))));
}

void write_text(const std::string& path, const StagedStep& step) {
  if (path.empty()) return;
  write_file_atomically(path, step.text);
  log_info("{}: {} kB of StableHLO", path, step.text.size() / 1000);
}

void log_start(const StagedStep& step, const std::string& machine) {
  log_info("train_step for {}: {}; {} kB of StableHLO in {:.2f} s; compiling", machine, step.mesh.to_string(),
           step.text.size() / 1000, step.seconds);
}

// For compile_topology.
Compilation compile_for_machine(const Config& config, const std::string& text_file) {
  Machine machine = named_machine(config);
  if (config.plugin.empty()) install_plugin_if_missing(machine.hardware);
  auto topology = topology_of(machine, config.plugin);
  if (topology->num_devices() != machine.devices) {
    throw RuntimeFault(fmt::format("compile_topology={}: the plugin makes {} devices of it instead of {}",
                                   config.compile_topology, topology->num_devices(), machine.devices));
  }
  Target target{.platform = std::string(name(machine.hardware)), .kernels = {}};
  Compilation out{.step = stage_train_step(config, machine.devices, machine.slices, target)};
  write_text(text_file, out.step);
  log_start(out.step,
            fmt::format("{} ({} x {})", config.compile_topology, machine.devices, topology->devices().front().kind));
  out.result = compile_step(topology, out.step, config.compile_xla_flags, machine.memory_bytes);
  out.made_for = compiled_for(out.step.text, *topology, "");
  return out;
}

// For the devices that are there.
Compilation compile_here(const Config& config, const std::string& text_file) {
  Session session(config);
  const DeviceMesh& mesh = session.mesh();
  Compilation out{.step = stage_train_step(config, mesh.devices(), mesh.slices, session.target())};
  write_text(text_file, out.step);
  log_start(out.step, session.description());
  int64_t memory = machine_memory_bytes() / mesh.devices();
  out.result = compile_step(session.client(), out.step, config.compile_xla_flags,
                            config.hardware == Hardware::kCpu ? memory : 0);
  out.made_for = compiled_for(out.step.text, *session.client(), session.kernel_version());
  return out;
}

// "{'bytes accessed': 2048.0, 'flops': 4096.0}": the totals. Plugins also list a figure for each operand position
// ("utilization3{}"), which are of no use without the operation.
std::string cost_text(const std::map<std::string, double>& cost) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : cost) {
    if (name.find('{') == std::string::npos) parts.push_back(fmt::format("'{}': {:.1f}", name, value));
  }
  return fmt::format("{{{}}}", fmt::join(parts, ", "));
}

void print_memory(const MemoryStats& m) {
  fmt::print(
      "Memory analysis: CompiledMemoryStats(argument_size_in_bytes={}, output_size_in_bytes={}, "
      "alias_size_in_bytes={}, temp_size_in_bytes={}, generated_code_size_in_bytes={})\n",
      m.argument, m.output, m.alias, m.temp, m.generated_code);
}

int64_t whole_bytes(const Signature& signature) {
  int64_t total = 0;
  for (const ArgSpec& arg : signature.args) total += arg.type.bytes();
  return total;
}

void print_fit(const Config& config, const Compilation& c) {
  const CompiledStep& r = c.result;
  if (r.available == 0 && r.program) {
    fmt::print("fits: yes (needed {}; the plugin does not say how much a device has)\n", gigabytes(r.needed));
    return;
  }
  std::string needed = r.needed > 0 ? gigabytes(r.needed) : "more than " + gigabytes(r.available);
  fmt::print("fits: {} (needed {} of {} per device)\n", r.fits() ? "yes" : "no", needed, gigabytes(r.available));
  if (r.fits()) return;
  fmt::print("{}\n", memory_advice({.needed = r.needed,
                                    .available = r.available,
                                    .arguments = r.arguments,
                                    .devices = c.step.mesh.devices(),
                                    .all_arguments = whole_bytes(c.step.signature)},
                                   config));
  if (!r.refusal.empty()) log_info("the compiler says: {}", r.refusal);
}

}  // namespace

int run_train_compile(const CommandLine& line, const Environment& environment) {
  Clock::time_point start = Clock::now();
  constexpr std::string_view kFlags[] = {"text"};
  line.allow_flags(kFlags);
  line.refuse_words();
  Config config = command_config(line.config, environment, {.needs_data = false});
  std::string text_file = line.flag("text").value_or("");
  Compilation c =
      config.compile_topology.empty() ? compile_here(config, text_file) : compile_for_machine(config, text_file);
  if (c.result.program) {
    if (!config.compiled_trainstep_file.empty()) {
      write_compiled_file(config.compiled_trainstep_file, *c.result.program, c.made_for);
      log_info("compiled_trainstep_file={} written", config.compiled_trainstep_file);
    }
    auto cost = c.result.program->cost_analysis();
    if (!cost.empty()) fmt::print("Cost analysis: {}\n", cost_text(cost));
    print_memory(c.result.memory);
  }
  print_fit(config, c);
  fmt::print("seconds: text {:.2f}, compile {:.2f}, total {:.2f}\n", c.step.seconds, c.result.seconds,
             seconds_since(start));
  return 0;
}

}  // namespace fathom
