// The numbers of a step: as lines for the terminal, and as named scalars for the metrics files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace fathom {

// One training step. Losses are means over the unmasked targets of the global batch, as the peer reports them; optional
// ones are there when the model has the part they come from.
struct StepMetrics {
  int64_t step = 0;
  double seconds = 0;                 // between the completions of this step and the one before
  double tflop_per_device = 0;        // 1e12 operations of the step's products, forward and backward
  double tokens_per_device = 0;       // input tokens, padding included
  int64_t total_weights = 0;          // unmasked targets in the global batch
  float loss = 0;                     // what was differentiated
  float lm_loss = 0;                  // cross entropy of the main head alone
  float z_loss = 0;                   // its share of the loss
  std::optional<float> moe_lb_loss;   // more than one expert
  std::optional<float> mtp_loss;      // multi-token prediction, scaled as in the loss
  std::optional<float> indexer_loss;  // sparse attention
  float raw_grad_norm = 0;            // before clipping
  float grad_norm = 0;                // after clipping
  float param_norm = 0;               // after the step
  float learning_rate = 0;

  double tflops() const { return seconds > 0 ? tflop_per_device / seconds : 0; }
  double tokens_per_second() const { return seconds > 0 ? tokens_per_device / seconds : 0; }
  // exp(lm_loss)
  float perplexity() const;
};

// One evaluation: sums over its batches, and how many there were.
struct EvalMetrics {
  double seconds = 0;  // of all batches
  int64_t batches = 0;
  double total_loss = 0;      // cross entropy summed over the unmasked targets
  int64_t total_weights = 0;  // unmasked targets
  double z_loss = 0;
  std::optional<double> moe_lb_loss;
  std::optional<double> mtp_loss;
  std::optional<double> mtp_acceptance_rate_percent;
  std::optional<double> indexer_loss;

  // total_loss / total_weights
  double average_loss() const;
};

struct Scalar {
  std::string_view name;  // "learning/loss"
  // The type decides the decimals: the shortest that give this float or double back.
  std::variant<float, double, int64_t> value;
};

// "completed step: 1, seconds: 1.359, TFLOP/s/device: 0.000, Tokens/s/device: 23.544, total_weights: 32, loss: 5.549,
// lm_loss: 5.018, perplexity: 151.117", then those that exist of ", moe_lb_loss: 0.010351",
// ", main_model_loss: 5.028, mtp_loss: 0.520", ", indexer_loss: 0.012". No line break.
std::string format_step_line(const StepMetrics& metrics);
// "Completed eval after train step 100, loss=3.100, perplexity=22.198, total_weights=5000.0, avg_z_loss=0.000" and the
// averages of the optional ones that exist (percent with two decimals).
std::string format_eval_line(int64_t step, const EvalMetrics& metrics);

// The peer's names: learning/, perf/.
std::vector<Scalar> scalars(const StepMetrics& metrics);
// The peer's names: eval/.
std::vector<Scalar> scalars(const EvalMetrics& metrics);

// A JSON number with the shortest decimals that give the value back ("5.0", "1e-05"). JSON has no word for a value that
// is not finite: it becomes the string "NaN", "Infinity" or "-Infinity".
std::string json_number(const std::variant<float, double, int64_t>& value);

}  // namespace fathom
