// The scalars of a training step, each in one row: what programs, step lines, metrics files and evaluations call it,
// and how it adds up. Programs and host code both read this list; a new loss is one row here and the file that computes
// it.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace fathom {

// How a scalar adds up over the micro-batches of a step and the batches of an evaluation.
enum class Adds : uint8_t {
  // A program gives its sum over the targets that count (for a mean over layers: the mean times their number). Sums are
  // added, and divided by the number of targets at the end.
  kOverTargets,
  // The same over the tokens that all modules for multi-token prediction predict.
  kOverPredictions,
  // The same over the tokens that the module predicts whose guesses are compared; in evaluations alone.
  kOverGuesses,
  // One number of the whole step; evaluations have none.
  kNot,
  // Made from others when a step is printed.
  kDerived,
};

// What the places are called, in programs, that a scalar is a mean over; empty where it does not add up.
constexpr std::string_view counted(Adds adds) {
  switch (adds) {
    case Adds::kOverTargets:
      return "targets";
    case Adds::kOverPredictions:
      return "predictions";
    case Adds::kOverGuesses:
      return "guesses";
    case Adds::kNot:
    case Adds::kDerived:
      break;
  }
  return {};
}

// How the values that the layers of a model give for it become one.
enum class OverLayers : uint8_t { kNone, kMean };

// The part of a model that a scalar comes from: where the model does not have it, nobody sees the scalar.
enum class ModelPart : uint8_t { kAny, kExperts, kIndexer, kPrediction };

struct StepScalar {
  std::string_view name;    // in programs and on step lines: "lm_loss"
  std::string_view metric;  // in the files, the peer's name: "learning/lm_loss"; empty: not there
  Adds adds = Adds::kNot;
  OverLayers layers = OverLayers::kNone;
  ModelPart part = ModelPart::kAny;
  bool in_loss = false;    // a term of what is differentiated
  int line_decimals = -1;  // on the step line; -1: not there
  // In evaluations, of scalars that add up over the targets: the peer's names of the sum and of the mean in the files
  // (empty: not there), the mean's on the line, and its decimals there.
  std::string_view eval_sum = {};
  std::string_view eval_mean = {};
  std::string_view eval_label = {};
  int eval_decimals = 3;
  std::string_view eval_unit = {};  // behind the number on the line
};

// In the order of the step line. lm_loss is the cross entropy of the main head, its z-loss included.
inline constexpr StepScalar kStepScalars[] = {
    {.name = "total_weights", .metric = "learning/total_weights", .line_decimals = 0},
    {.name = "loss", .metric = "learning/loss", .line_decimals = 3},
    {.name = "lm_loss",
     .metric = "learning/lm_loss",
     .adds = Adds::kOverTargets,
     .in_loss = true,
     .line_decimals = 3,
     .eval_sum = "eval/total_loss",
     .eval_mean = "eval/avg_loss",
     .eval_label = "loss"},
    {.name = "perplexity", .metric = "learning/perplexity", .adds = Adds::kDerived, .line_decimals = 3},
    {.name = "z_loss",
     .metric = "learning/z_loss",
     .adds = Adds::kOverTargets,
     .eval_sum = "eval/z_loss",
     .eval_mean = "eval/avg_z_loss",
     .eval_label = "avg_z_loss"},
    {.name = "moe_lb_loss",
     .metric = "learning/moe_lb_loss",
     .adds = Adds::kOverTargets,
     .layers = OverLayers::kMean,
     .part = ModelPart::kExperts,
     .in_loss = true,
     .line_decimals = 6,
     .eval_sum = "eval/moe_lb_loss",
     .eval_mean = "eval/avg_moe_lb_loss",
     .eval_label = "avg_moe_lb_loss",
     .eval_decimals = 6},
    {.name = "main_model_loss", .adds = Adds::kDerived, .part = ModelPart::kPrediction, .line_decimals = 3},
    {.name = "mtp_loss",
     .metric = "learning/mtp_loss",
     .adds = Adds::kOverPredictions,
     .part = ModelPart::kPrediction,
     .in_loss = true,
     .line_decimals = 3,
     .eval_sum = "eval/mtp_loss",
     .eval_mean = "eval/avg_mtp_loss",
     .eval_label = "avg_mtp_loss"},
    {.name = "mtp_acceptance_rate",
     .adds = Adds::kOverGuesses,
     .part = ModelPart::kPrediction,
     .eval_sum = "eval/mtp_acceptance_rate_percent",
     .eval_mean = "eval/avg_mtp_acceptance_rate_percent",
     .eval_label = "avg_mtp_acceptance_rate",
     .eval_decimals = 2,
     .eval_unit = "%"},
    {.name = "indexer_loss",
     .metric = "learning/indexer_loss",
     .adds = Adds::kOverTargets,
     .layers = OverLayers::kMean,
     .part = ModelPart::kIndexer,
     .in_loss = true,
     .line_decimals = 6,
     .eval_sum = "eval/indexer_loss",
     .eval_mean = "eval/avg_indexer_loss",
     .eval_label = "avg_indexer_loss",
     .eval_decimals = 6},
    // The largest load of an expert over the mean, the largest of all layers; the part of the choices that was dropped,
    // where choices can be.
    {.name = "moe_max_load_ratio", .metric = "learning/moe_max_load_ratio"},
    {.name = "moe_dropped_fraction", .metric = "learning/moe_dropped_fraction"},
    {.name = "raw_grad_norm", .metric = "learning/raw_grad_norm"},  // before clipping
    {.name = "grad_norm", .metric = "learning/grad_norm"},          // after clipping
    {.name = "param_norm", .metric = "learning/param_norm"},        // after the step
    {.name = "learning_rate", .metric = "learning/current_learning_rate"},
};

// The row of that name; throws std::logic_error when there is none.
inline const StepScalar& step_scalar(std::string_view name) {
  for (const StepScalar& row : kStepScalars) {
    if (row.name == name) return row;
  }
  throw std::logic_error("no scalar of a step is named " + std::string(name));
}

}  // namespace fathom
