#include "aot/estimate.h"

#include <fmt/format.h>

#include <algorithm>

#include "aot/link_bytes.h"
#include "base/device_bytes.h"

namespace fathom {
namespace {

// Three digits or more.
std::string figure(double x) {
  if (x >= 100 || x == 0) return fmt::format("{:.0f}", x);
  return x >= 1 ? fmt::format("{:.2f}", x) : fmt::format("{:.3g}", x);
}

// What a step of decoding reads: its cache, and all weights but rows of the embedding that nobody asks for and, where
// only the chosen experts work, those that all rows may leave out.
double read_by_step(const StagedProgram& program) {
  const StateSpec& state = program.state;
  double sum = 0;
  for (const ArgSpec& arg : program.signature.args) {
    auto bytes = static_cast<double>(device_bytes(arg.type, arg.sharding, program.signature.mesh));
    if (auto entry = state.index_of.find(arg.name); entry != state.index_of.end()) {
      const Param& row = state.param(state.entries[entry->second]);
      if (row.name == "embedding") bytes = 0;
      const bool chosen = row.routed && state.model.grouped;
      if (chosen) bytes *= static_cast<double>(state.model.top_k) / static_cast<double>(state.model.experts);
    }
    sum += bytes;
  }
  return sum;
}

// All arguments and all results of one device.
double passed_bytes(const Signature& signature) {
  int64_t sum = 0;
  for (const ArgSpec& arg : signature.args) sum += device_bytes(arg.type, arg.sharding, signature.mesh);
  for (const ResultSpec& r : signature.results) sum += device_bytes(r.type, r.sharding, signature.mesh);
  return static_cast<double>(sum);
}

}  // namespace

Estimate estimate(const StagedProgram& program, const CompiledProgram* compiled) {
  Estimate out{.needed_flops = program.needed_flops, .executed_flops = program.executed_flops, .link_bytes = {}};
  if (compiled != nullptr) out.link_bytes = link_bytes(compiled->optimized_program(), program.mesh.devices());
  // An optimizer reads and writes its whole state. A forward pass reads no expert that nobody chose, and few rows of
  // the embedding.
  if (program.kind == ProgramKind::kTrain) out.memory_bytes = passed_bytes(program.signature);
  if (program.kind == ProgramKind::kDecode) out.memory_bytes = read_by_step(program);
  return out;
}

std::string estimate_line(const Estimate& of, const ChipPeaks& peaks) {
  std::string out = fmt::format(
      "estimate: {} TFLOP per device and step needed by the model, {} executed (recomputation and experts that were "
      "not chosen included)",
      figure(of.needed_flops * 1e-12), figure(of.executed_flops * 1e-12));
  if (of.link_bytes) out += fmt::format(", {} GB over the links", figure(*of.link_bytes * 1e-9));
  if (peaks.flops == 0 || peaks.links == 0 || peaks.memory == 0) return out + "; the chip's peaks are not known";
  const double seconds = std::max(
      {of.executed_flops / peaks.flops, of.link_bytes.value_or(0) / peaks.links, of.memory_bytes / peaks.memory});
  out += fmt::format("; at least {} s at the chip's peaks", figure(seconds));
  return of.link_bytes ? out : out + " (what goes over the links is known when it is compiled)";
}

}  // namespace fathom
