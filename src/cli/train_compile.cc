// Compiles a program for a machine that need not be there and says what it takes.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "aot/ahead_of_time.h"
#include "aot/estimate.h"
#include "aot/memory_advice.h"
#include "aot/shardings.h"
#include "base/device_bytes.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/stopwatch.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/install_plugin.h"
#include "config/keys/keys.h"
#include "drive/summary.h"
#include "program/decode.h"
#include "runtime/compiled_file.h"
#include "runtime/plugin_search.h"
#include "session/session.h"

namespace fathom {
namespace {

// What the command line asks for.
struct Request {
  Config config;
  ProgramKind kind = ProgramKind::kTrain;
  std::string text_file;  // empty: none
  bool compile = true;
};

struct Answer {
  StagedProgram program;
  int64_t memory = 0;  // bytes of a device; 0 where it is not known
  ChipPeaks peaks;
  std::optional<Verdict> verdict;  // nothing where the compiler was not asked
  CompiledFor made_for;
};

// Takes the words "program=..." out of `words`; the last one counts, and the flag before them.
std::string take_program(const CommandLine& line, std::vector<std::string>& words) {
  constexpr std::string_view kPrefix = "program=";
  std::string program = line.flag("program").value_or("train");
  auto is_program = [&](const std::string& word) {
    if (!word.starts_with(kPrefix)) return false;
    program = word.substr(kPrefix.size());
    return true;
  };
  words.erase(std::remove_if(words.begin(), words.end(), is_program), words.end());
  return program;
}

Request parse(const CommandLine& line, const Environment& environment) {
  line.refuse_words();
  Request out{.text_file = line.flag("text").value_or(""), .compile = !line.has_bare("no_compile")};
  if (line.flag("text")) require_writable("--text", out.text_file);
  std::vector<std::string> words = line.config;
  out.kind = parse_program(take_program(line, words));
  out.config = command_config(words, environment, {.needs_data = false});
  if (decodes(out.kind)) {
    out.config = split_for_decoding(std::move(out.config));
    out.config.mtp_num_layers = drafting_modules(out.config);
  }
  const std::string& file = out.config.compiled_trainstep_file;
  if (!file.empty() && (out.kind != ProgramKind::kTrain || !out.compile)) {
    throw ConfigError(fmt::format("compiled_trainstep_file={}: holds a compiled train step; leave it out with {}", file,
                                  out.compile ? fmt::format("program={}", name(out.kind)) : "--no_compile"));
  }
  if (!file.empty()) require_writable("compiled_trainstep_file", file);
  const std::string experts = dense_experts_text(out.config);
  if (!experts.empty() && out.kind != ProgramKind::kInit) log_info("{}", experts);
  return out;
}

Machine named_machine(const Config& config) {
  int64_t slices = std::max<int64_t>(config.compile_topology_num_slices, 1);  // -1: not given
  if (auto machine = find_machine(config.compile_topology, slices)) return *machine;
  std::vector<std::string> near = nearest_names(config.compile_topology, machine_names());
  constexpr std::string_view kThere =
      "v4-8 to v4-4096, v5e-1 to v5e-256, v5p-8 to v5p-17920, v6e-1 to v6e-256, tpu7x-2 to tpu7x-18432, a3, and "
      "a100-N, a100_40gb-N, h100-N, h200-N, b200-N of N GPUs (1, 2, 4, or a multiple of 8)";
  throw ConfigError(fmt::format("compile_topology={}: no machine of that name{}; there are {}", config.compile_topology,
                                near.empty() ? "" : fmt::format(" (nearest: {})", fmt::join(near, ", ")), kThere));
}

void write_text(const Request& request, const StagedProgram& program) {
  if (request.text_file.empty()) return;
  write_file_atomically(request.text_file, program.text);
  log_info("{}: {} kB of StableHLO", request.text_file, program.text.size() / 1000);
}

void log_start(const StagedProgram& program, const std::string& machine) {
  log_info("{} for {}: {}; {} kB of StableHLO in {:.2f} s; compiling", program.name, machine, program.mesh.to_string(),
           program.text.size() / 1000, program.seconds);
}

// For compile_topology. Without the compiler the machine's plugin need not be installed.
Answer compile_for_machine(const Request& request) {
  const Config& config = request.config;
  Machine machine = named_machine(config);
  Target target{.hardware = machine.hardware, .kernels = {}};
  Answer out{.program = stage(config, request.kind, machine.devices, machine.slices, target),
             .memory = machine.memory_bytes,
             .peaks = machine.peaks};
  write_text(request, out.program);
  if (!request.compile) return out;
  if (config.plugin.empty()) install_plugin_if_missing(machine.hardware);
  auto topology = topology_of(machine, config.plugin);
  if (topology->num_devices() != machine.devices) {
    throw RuntimeFault(fmt::format("compile_topology={}: the plugin makes {} devices of it instead of {}",
                                   config.compile_topology, topology->num_devices(), machine.devices));
  }
  log_start(out.program,
            fmt::format("{} ({} x {})", config.compile_topology, machine.devices, topology->devices().front().kind));
  out.verdict = compile_ahead(topology, out.program, config.compile_xla_flags, out.memory);
  out.made_for = compiled_for(out.program.text, *topology, "");
  return out;
}

// For the devices that are there.
Answer compile_here(const Request& request) {
  Session session(request.config);
  const DeviceMesh& mesh = session.mesh();
  Answer out{.program = stage(request.config, request.kind, mesh.devices(), mesh.slices, session.target())};
  write_text(request, out.program);
  out.memory = session.client()->memory_limit(*session.client()->addressable_devices().front()).value_or(0);
  if (request.config.hardware == Hardware::kCpu) out.memory = machine_memory_bytes() / mesh.devices();
  if (!request.compile) return out;
  log_start(out.program, session.description());
  out.verdict = compile_ahead(session.client(), out.program, session.compile_options(), out.memory);
  out.made_for = compiled_for(out.program.text, *session.client(), session.kernel_version());
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

void print_fit(const Request& request, const Answer& answer) {
  const Verdict& v = *answer.verdict;
  if (v.available == 0 && v.program) {
    fmt::print("fits: yes (needed {}; the plugin does not say how much a device has)\n", gigabytes(v.needed));
    return;
  }
  std::string needed = v.needed > 0 ? gigabytes(v.needed) : "more than " + gigabytes(v.available);
  fmt::print("fits: {} (needed {} of {} per device)\n", v.fits() ? "yes" : "no", needed, gigabytes(v.available));
  if (v.fits()) return;
  MemoryNeed need{.needed = v.needed,
                  .available = v.available,
                  .devices = answer.program.mesh.devices(),
                  .held = held_bytes(answer.program.signature)};
  fmt::print("{}\n", memory_advice(need, request.kind, request.config));
  if (!v.refusal.empty()) log_info("the compiler says: {}", v.refusal);
}

void print_verdict(const Request& request, const Answer& answer) {
  const Verdict& v = *answer.verdict;
  if (v.program) {
    const std::string& file = request.config.compiled_trainstep_file;
    if (!file.empty()) {
      write_compiled_file(file, *v.program, answer.made_for);
      log_info("compiled_trainstep_file={} written", file);
    }
    auto cost = v.program->cost_analysis();
    if (!cost.empty()) fmt::print("Cost analysis: {}\n", cost_text(cost));
    print_memory(v.memory);
  }
  print_fit(request, answer);
}

// What is known without the compiler.
void print_state(const Request& request, const Answer& answer) {
  const StateSpec& state = answer.program.state;
  const bool trains = request.kind == ProgramKind::kTrain || request.kind == ProgramKind::kInit;
  auto bytes = [&](StateRole role) {
    return trains ? state.bytes_of_a_device([=](const StateEntry& e) { return e.role == role; }) : 0;
  };
  const int64_t parameters = state.bytes_of_a_device(parameters_alone);
  const int64_t moments = bytes(StateRole::kMoment), step = bytes(StateRole::kCounter);
  int64_t cache = 0;
  for (const ArgSpec& arg : answer.program.signature.args) {
    const bool of_cache = decodes(request.kind) && arg.donated_to;
    if (of_cache) cache += device_bytes(arg.type, arg.sharding, answer.program.signature.mesh);
  }
  const int64_t total = parameters + moments + step + cache;
  fmt::print("state: {}{} per device ({} bytes: parameters {}, moments {}, step {}{})\n", gigabytes(total),
             answer.memory > 0 ? fmt::format(" of {}", gigabytes(answer.memory)) : "", total, parameters, moments, step,
             cache > 0 ? fmt::format(", cache {}", cache) : "");
  for (const std::string& line : sharding_lines(request.config, state)) fmt::print("{}\n", line);
}

}  // namespace

int run_train_compile(const CommandLine& line, const Environment& environment) {
  Stopwatch time;
  Request request = parse(line, environment);
  Answer answer = request.config.compile_topology.empty() ? compile_here(request) : compile_for_machine(request);
  if (answer.verdict) {
    print_verdict(request, answer);
  } else {
    print_state(request, answer);
  }
  if (request.kind != ProgramKind::kInit) {
    const CompiledProgram* compiled = answer.verdict ? answer.verdict->program.get() : nullptr;
    fmt::print("{}\n", estimate_line(estimate(answer.program, compiled), answer.peaks));
  }
  fmt::print("seconds: text {:.2f}, compile {:.2f}, total {:.2f}\n", answer.program.seconds,
             answer.verdict ? answer.verdict->seconds : 0, time.seconds());
  return 0;
}

}  // namespace fathom
