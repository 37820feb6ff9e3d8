// The numbers of a step: as lines for the terminal, and as named scalars for the metrics files.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "metrics/step_scalars.h"

namespace fathom {

// Numbers by the names of metrics/step_scalars.h.
template <class T>
using NamedNumbers = std::map<std::string, T, std::less<>>;

// How many tokens chose each expert.
struct ExpertLoad {
  int64_t first_layer = 0;      // of the model, which the first counts are of
  int64_t experts = 0;          // of a layer
  std::vector<int32_t> counts;  // layer by layer

  int64_t layers() const { return experts == 0 ? 0 : static_cast<int64_t>(counts.size()) / experts; }
  std::span<const int32_t> of_layer(int64_t i) const {
    return std::span(counts).subspan(static_cast<size_t>(i * experts), static_cast<size_t>(experts));
  }
};

// One training step. Losses are means over the targets of the global batch that count, as the peer reports them.
struct StepMetrics {
  int64_t step = 0;
  double seconds = 0;            // between the completions of this step and the one before
  double tflop_per_device = 0;   // 1e12 operations of the step's products, forward and backward
  double tokens_per_device = 0;  // input tokens, padding included
  int64_t total_weights = 0;     // targets of the global batch that count
  // Those that the step has; what is derived from them, and total_weights, is not among them.
  NamedNumbers<float> values;
  ExpertLoad load = {};  // of a model with experts
  // The most that was in use at once so far on the fullest device of this process, 1e9 bytes; nothing where the plugin
  // does not tell.
  std::optional<double> device_memory_gb = {};

  double tflops() const { return seconds > 0 ? tflop_per_device / seconds : 0; }
  double tokens_per_second() const { return seconds > 0 ? tokens_per_device / seconds : 0; }
  // NaN when the step has none of that name.
  float value(std::string_view name) const;
};

// One evaluation: sums over its places, and how many there were.
struct EvalMetrics {
  double seconds = 0;  // of all batches
  int64_t batches = 0;
  NamedNumbers<int64_t> counts;  // of places, by counted()
  NamedNumbers<double> sums;     // of the scalars that add up

  int64_t count(Adds adds) const;
  int64_t total_weights() const { return count(Adds::kOverTargets); }  // targets that count
  // The sum of that name over its places; NaN when there is none.
  double mean(std::string_view name) const;
};

struct Scalar {
  std::string_view name;  // "learning/loss"
  // The type decides the decimals: the shortest that give this float or double back.
  std::variant<float, double, int64_t> value;
};

// "completed step: 1, seconds: 1.359, TFLOP/s/device: 0.000, Tokens/s/device: 23.544, total_weights: 32, loss: 5.549,
// lm_loss: 5.018, perplexity: 151.117, moe_lb_loss: 0.010351": the scalars that exist and have a place on the line. No
// line break.
std::string format_step_line(const StepMetrics& metrics);
// "Completed eval after train step 100, loss=3.100, perplexity=22.198, total_weights=5000.0, avg_z_loss=0.000", then
// the means of the other scalars that exist.
std::string format_eval_line(int64_t step, const EvalMetrics& metrics);

// The peer's names: learning/, perf/.
std::vector<Scalar> scalars(const StepMetrics& metrics);
// The peer's names: eval/. The peer adds up the means of the batches ("eval/z_loss"); here that sum is the mean over
// all targets times the number of batches, which is the same where all batches count as many targets.
std::vector<Scalar> scalars(const EvalMetrics& metrics);

// One line {"step": 1, "layer": 3, "counts": [7, 2]} for each layer with experts, numbered as in the model, from 0;
// line breaks included.
std::string load_lines(int64_t step, const ExpertLoad& load);

// A JSON number with the shortest decimals that give the value back ("5.0", "1e-05"). JSON has no word for a value that
// is not finite: it becomes the string "NaN", "Infinity" or "-Infinity".
std::string json_number(const std::variant<float, double, int64_t>& value);

}  // namespace fathom
