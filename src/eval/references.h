// The reference files of a model or tokenizer folder (layout: docs/verify.md).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/host_array.h"

namespace fathom {

// A reference file that can be read, of which a part is missing or does not fit another: its check fails. (A file that
// is broken is a FormatError, and the user's mistake.)
class IncompleteReference : public FormatError {
  using FormatError::FormatError;
};

// A row of tokens; `where` is how messages name it.
struct TokenRow {
  std::string where;
  std::vector<int32_t> tokens;
};

// Logits of the last `logits.sizes()[0]` positions of a row, f32 [n v].
struct LogitsReference {
  TokenRow row;
  HostArray logits;
  std::string prompt = {};  // the text of the row, where the file has it
};

// Each line of golden_logits.jsonl: {"prompt", "tokens", "logits": [tokens][v]}, local, gs:// or s3://. Messages call
// the file `name`. NaN and Infinity are read as Python writes them.
std::vector<LogitsReference> read_golden_logits(const std::string& path, const std::string& name);

// logits.safetensors but its batch: NAME.tokens [n] with NAME.logits [n v], or with NAME.lastK_logits [k v] for the
// last positions.
std::vector<LogitsReference> read_prompt_logits(const std::string& path);
// Its batch.tokens [b n] with batch.logits [b n v], row by row; none when it has neither.
std::vector<LogitsReference> read_batch_logits(const std::string& path);

// `tokens` and `logits` alone: logits_bf16.safetensors.
LogitsReference read_single_logits(const std::string& path);

// intermediates.safetensors: one row of tokens, and tensors by name, "layers.0.mlp" [n d].
struct IntermediatesFile {
  TokenRow row;
  std::map<std::string, HostArray> tensors;
};
IntermediatesFile read_intermediates(const std::string& path);

// train_batch.safetensors: tokens [b s+1]. Inputs are all but the last of a row, targets all but the first.
struct TrainingTokens {
  std::string where;
  int64_t rows = 0, length = 0;  // length without the one more
  std::vector<int32_t> tokens;
  friend bool operator==(const TrainingTokens&, const TrainingTokens&) = default;
};
TrainingTokens read_training_tokens(const std::string& path);

// AdamW as the reference ran it, at a constant rate and without clipping.
struct OptimizerSettings {
  double rate = 0, b1 = 0, b2 = 0, eps = 0, weight_decay = 0;
  int64_t steps = 0;
  friend bool operator==(const OptimizerSettings&, const OptimizerSettings&) = default;
};

// training.json. Norms are L2 norms by tensor of the checkpoint.
struct TrainingFile {
  OptimizerSettings optimizer;
  double loss_before = 0;
  std::map<std::string, double> gradient_norms;
  std::set<std::string> without_gradient;
  std::vector<double> losses;  // of the forward pass of each step
  double loss_after = 0;
  std::map<std::string, double> parameter_norms;  // after the last step
  // What the file does not have, or not whole, of that which the check of gradients takes (grad_norms, no_gradient),
  // and of the rest, which that of adamw takes: a line for each.
  std::vector<std::string> missing_for_gradients, missing_for_adamw;
};
TrainingFile read_training_file(const std::string& path);

// A prompt of decode.json and the tokens that follow it, decoded greedily.
struct DecodedPrompt {
  TokenRow prompt;
  std::vector<int32_t> tokens;
};
std::vector<DecodedPrompt> read_decoded_prompts(const std::string& path);

// One stage of indexer.json.
struct IndexerStage {
  std::string name;                              // "sparse": in front of the names in indexer_grads.safetensors
  double indexer_loss = 0, lm_loss = 0;          // means over all targets; the first also over the layers
  std::vector<double> per_layer;                 // of the indexer's loss
  std::map<std::string, double> gradient_norms;  // L2 norms by tensor of the checkpoint
};
std::vector<IndexerStage> read_indexer_file(const std::string& path);

// One variant of mtp.json: its loss alone, or all of this.
struct PredictionReference {
  std::string name;                               // "checkpoint": of mtp_variant
  double mtp_loss = 0, lm_loss = 0, total = 0;    // means; mtp_loss without its weight
  std::map<std::string, double> gradient_norms;   // L2 norms by tensor of the checkpoint
  std::vector<double> totals, mtp_losses;         // of the forward pass of each AdamW step
  std::map<std::string, double> parameter_norms;  // after the last step
};
struct PredictionFile {
  double weight = 0;  // of mtp_loss in the total
  std::vector<PredictionReference> variants;

  const PredictionReference* find(std::string_view name) const;
};
PredictionFile read_prediction_file(const std::string& path);

// mtp_logits.safetensors: prompt.tokens [n] with VARIANT.logits [m v] of the first m places. The row's `where` is the
// name of the logits.
std::vector<LogitsReference> read_prediction_logits(const std::string& path);

// A line of encode.jsonl or decode.jsonl.
struct TokenizerLine {
  int64_t number = 0;  // of the line, from 1
  std::vector<int32_t> ids;
  std::optional<std::string> text, decoded, decoded_skip_special;
};
std::vector<TokenizerLine> read_tokenizer_lines(const std::string& path);

// Calls f(line number, JSON of the line) for each line that is not empty.
void for_each_reference_line(const std::string& path, const std::function<void(int64_t, std::string_view)>& f);

// All of these throw FormatError, or IncompleteReference, that names the file and the tensor, key or line at fault.

}  // namespace fathom
