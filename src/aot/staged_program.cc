#include "aot/staged_program.h"

#include <fmt/format.h>

#include <array>
#include <set>
#include <utility>

#include "base/device_bytes.h"
#include "base/error.h"
#include "base/stopwatch.h"
#include "graph/flops.h"
#include "mesh/batch_sizes.h"
#include "program/programs.h"

namespace fathom {
namespace {

constexpr std::array<std::pair<std::string_view, ProgramKind>, 4> kPrograms{{
    {"train", ProgramKind::kTrain},
    {"init", ProgramKind::kInit},
    {"eval", ProgramKind::kEval},
    {"forward", ProgramKind::kForward},
}};

// Rows of a program's batch.
int64_t rows_of(const Config& config, ProgramKind kind, const DeviceMesh& mesh) {
  if (kind == ProgramKind::kInit) return 0;
  BatchSizes rows = resolve_batch(config, mesh.devices());
  if (kind == ProgramKind::kEval) return rows.eval;
  check_batch_split(config, mesh);
  return kind == ProgramKind::kForward ? rows.micro : rows.to_train;
}

Program program_of(const Config& config, ProgramKind kind, const StateSpec& state, int64_t rows) {
  const BatchShape batch{rows, config.max_target_length};
  if (kind == ProgramKind::kInit) return init_state(state, every_entry);
  if (kind == ProgramKind::kEval) return eval_step(config, state, batch);
  if (kind == ProgramKind::kForward) return forward(config, state, batch);
  return train_step(config, state, batch);
}

// A forward pass is a third of a training step. The dense warm-up is a forward pass with the gradients of the indexers,
// which are small beside it and not counted.
double model_flops(const Config& config, ProgramKind kind, const StateSpec& state, int64_t rows) {
  const double step = train_flops_per_token(state.model, config.max_target_length).total();
  const bool backward = kind == ProgramKind::kTrain && !state.model.indexer_warmup;
  return step * static_cast<double>(rows * config.max_target_length) / (backward ? 1 : 3);
}

}  // namespace

ProgramKind parse_program(std::string_view word) {
  for (auto [name, kind] : kPrograms) {
    if (name == word) return kind;
  }
  bool planned = word == "prefill" || word == "decode";
  throw ConfigError(fmt::format("program={}: {}; there are train, init, eval and forward", word,
                                planned ? "not built yet" : "no program of that name"));
}

std::string_view name(ProgramKind kind) {
  for (auto [name, of] : kPrograms) {
    if (of == kind) return name;
  }
  return "";
}

StagedProgram stage(const Config& config, ProgramKind kind, int64_t devices, int64_t slices, const Target& target) {
  Stopwatch time;
  StagedProgram out{.kind = kind, .mesh = resolve_mesh(config, devices, slices)};
  out.state = state_spec(config, out.mesh.mesh);
  const int64_t rows = rows_of(config, kind, out.mesh);
  const auto share = static_cast<double>(out.mesh.devices());
  Program program = program_of(config, kind, out.state, rows);
  out.needed_flops = model_flops(config, kind, out.state, rows) / share;
  out.executed_flops = product_flops(*program.graph, target) / share;
  out.text = emit(program, {.target = target, .require_kernels = config.kernels == KernelUse::kRequire});
  out.signature = std::move(program.signature);
  out.name = std::move(program.name);
  out.seconds = time.seconds();
  return out;
}

HeldBytes held_bytes(const Signature& signature) {
  HeldBytes out;
  auto add = [&](const TensorType& type, const Sharding& sharding) {
    out.device += device_bytes(type, sharding, signature.mesh);
    out.whole += type.bytes();
  };
  std::set<int> taken_over;
  for (const ArgSpec& arg : signature.args) {
    add(arg.type, arg.sharding);
    if (arg.donated_to) taken_over.insert(*arg.donated_to);
  }
  for (size_t i = 0; i < signature.results.size(); ++i) {
    const ResultSpec& result = signature.results[i];
    if (!taken_over.contains(static_cast<int>(i))) add(result.type, result.sharding);
  }
  return out;
}

}  // namespace fathom
