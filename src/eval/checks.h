// The checks of `verify`, one function each.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "eval/compare.h"
#include "eval/verified_model.h"

namespace fathom {

// Tolerances against float32 references of another implementation, three or more times the differences that rounding
// alone was seen to make.
inline constexpr double kLogitsTolerance = 5e-5;
inline constexpr double kIntermediateTolerance = 2e-5;
inline constexpr double kChoiceTolerance = 1e-4;  // of log-probabilities
inline constexpr double kLossTolerance = 1e-5;
inline constexpr double kGradientTolerance = 2e-4;       // of a tensor's largest element, of its norm
inline constexpr double kTrainedLossTolerance = 1e-4;    // after AdamW steps
inline constexpr double kParameterNormTolerance = 1e-5;  // relative

// What a check compared; the worst part speaks for it. Without parts it is absent, `absent` says why.
struct CheckResult {
  std::vector<Comparison> parts;
  std::string absent;
  std::string note = {};  // what was seen and is not judged
};

// Where a check finds its references and its model.
class CheckContext {
 public:
  virtual ~CheckContext() = default;
  // Full path of a file of the folder.
  virtual std::string path(const std::string& name) const = 0;
  bool has(const std::string& name) const;
  // Whether a subfolder holds weights.
  bool has_weights(const std::string& name) const;
  // The model in a subfolder ("hf", "hf_bf16"), in the layer form that is being checked.
  virtual VerifiedModel& model(const std::string& name) = 0;
  // The same of a configuration with words in front of the user's. Such models have the same parameters.
  virtual VerifiedModel& model_with(const std::string& name, const std::vector<std::string>& words) = 0;
};

// A check whose references have been read and whose rows have been announced to the model: all checks are prepared
// before the first is judged, so that their rows share one launch. The context outlives it.
using PreparedCheck = std::function<CheckResult()>;

// The check is absent, for this reason.
PreparedCheck absent(std::string reason);
// The check fails, for this reason: its references are not whole.
PreparedCheck failed(const std::string& reason);

// Announces the rows; compares their logits.
PreparedCheck compared_logits(VerifiedModel& model, std::vector<LogitsReference> references);

// The gradients of a file, and L2 norms of gradients, with those of the model.
void compare_gradients(Comparison& comparison, const Gradients& ours, const SafetensorsFile& file);
void compare_gradient_norms(Comparison& comparison, const Gradients& ours, const std::map<std::string, double>& norms);

PreparedCheck prepare_logits(CheckContext& context);
PreparedCheck prepare_batch(CheckContext& context);
PreparedCheck prepare_intermediates(CheckContext& context);
PreparedCheck prepare_router(CheckContext& context);
PreparedCheck prepare_bf16(CheckContext& context);
PreparedCheck prepare_fp8(CheckContext& context);
PreparedCheck prepare_gradients(CheckContext& context);
PreparedCheck prepare_adamw(CheckContext& context);
PreparedCheck prepare_mtp(CheckContext& context);
PreparedCheck prepare_indexer(CheckContext& context);
PreparedCheck prepare_decode(CheckContext& context);
PreparedCheck prepare_mmlu(CheckContext& context);
PreparedCheck prepare_encode(CheckContext& context);
PreparedCheck prepare_decode_tokens(CheckContext& context);
PreparedCheck prepare_chat(CheckContext& context);

}  // namespace fathom
