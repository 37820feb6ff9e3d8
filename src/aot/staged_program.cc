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
#include "program/decode.h"

namespace fathom {
namespace {

constexpr std::array<std::pair<std::string_view, ProgramKind>, 6> kPrograms{{
    {"train", ProgramKind::kTrain},
    {"init", ProgramKind::kInit},
    {"eval", ProgramKind::kEval},
    {"forward", ProgramKind::kForward},
    {"prefill", ProgramKind::kPrefill},
    {"decode", ProgramKind::kDecode},
}};

// Rows of a program's batch.
int64_t rows_of(const Config& config, ProgramKind kind, const DeviceMesh& mesh) {
  if (kind == ProgramKind::kInit) return 0;
  BatchSizes rows = resolve_batch(config, mesh.devices());
  check_length_split(config, mesh);
  if (kind == ProgramKind::kEval) return rows.eval;
  check_batch_split(config, mesh);
  return kind == ProgramKind::kForward ? rows.micro : rows.to_train;
}

double tokens_of(const BatchShape& batch) { return static_cast<double>(batch.rows * batch.length); }

struct Staged {
  Program program;
  double flops = 0;  // that the model asks for, on all devices together
};

// Of training: a forward pass is a third of a step. The dense warm-up is a forward pass with the gradients of the
// indexers, which are small beside it and not counted.
Staged training_program(const Config& config, ProgramKind kind, const StateSpec& state, const DeviceMesh& mesh) {
  const BatchShape batch{rows_of(config, kind, mesh), config.max_target_length};
  const double step = train_flops_per_token(state.model, batch.length).total() * tokens_of(batch);
  if (kind == ProgramKind::kInit) return {init_state(state, every_entry), 0};
  if (kind == ProgramKind::kEval) return {eval_step(config, state, batch), step / 3};
  if (kind == ProgramKind::kForward) return {forward(config, state, batch), step / 3};
  return {train_step(config, state, batch), state.model.indexer_warmup ? step / 3 : step};
}

// Of the last token of a row of so many.
double flops_of_last(const ModelConfig& model, int64_t length) {
  const FlopCount row = train_flops_per_token(model, length), before = train_flops_per_token(model, length - 1);
  const auto tokens = static_cast<double>(length);
  return (row.weights + tokens * row.attention - (tokens - 1) * before.attention) / 3;
}

Staged decoding_program(const Config& config, ProgramKind kind, const StateSpec& state, int64_t devices) {
  const StateSpec spec = decode_spec(config, state);
  const DecodeShape shape = decode_shape(spec, {.prompts = prompts_at_once(config, devices),
                                                .longest = config.max_prefill_predict_length,
                                                .length = config.max_target_length,
                                                .piece = prefill_piece(config),
                                                .drafts = state.model.prediction_layers > 0});
  const auto rows = static_cast<double>(shape.cache.rows);
  if (kind == ProgramKind::kDecode) {
    const double flops = flops_of_last(state.model, shape.cache.length) * rows;
    if (shape.cache.predicts) return {draft_step(config, spec, shape.cache), 2 * flops};
    return {decode_step(config, spec, shape.cache), flops};
  }
  const BatchShape piece{shape.cache.rows, shape.piece};
  // Logits are made of each row's last token alone.
  const double head = 2.0 * static_cast<double>(state.model.d) * static_cast<double>(state.model.vocab);
  const double flops = train_flops_per_token(state.model, shape.piece * shape.pieces).total() / 3 * tokens_of(piece) -
                       head * (tokens_of(piece) - rows);
  return {prefill(config, spec, shape.cache, {.length = shape.piece, .first = shape.pieces == 1}), flops};
}

}  // namespace

ProgramKind parse_program(std::string_view word) {
  for (auto [name, kind] : kPrograms) {
    if (name == word) return kind;
  }
  throw ConfigError(fmt::format(
      "program={}: no program of that name; there are train, init, eval, forward, prefill and decode", word));
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
  auto [program, flops] = decodes(kind) ? decoding_program(config, kind, out.state, out.mesh.devices())
                                        : training_program(config, kind, out.state, out.mesh);
  const auto share = static_cast<double>(out.mesh.devices());
  out.needed_flops = flops / share;
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
