// A model folder on a device, and what the checks want from it: each result is computed once and kept.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eval/references.h"
#include "session/batch_io.h"

namespace fathom {

struct Gradients {
  std::map<std::string, HostArray> by_name;  // f32, by tensor of the checkpoint: all that AdamW would move
  std::map<std::string, double> scalars;     // of the step, by the names of metrics/step_scalars.h
};

// Which losses are differentiated.
enum class LossStage : uint8_t {
  kLanguageModel,  // cross entropy alone
  kWarmupDense,    // the indexer's loss over all keys, attention over all keys (the paper's warm-up)
  kWarmupSparse,   // the same with attention over the chosen keys (MaxText's)
  kSparse,         // cross entropy, and the indexer's loss over the chosen keys
};

struct TrainingCurve {
  // Of the forward pass of each step, then after the last; by the names of metrics/step_scalars.h.
  std::vector<std::map<std::string, double>> scalars;
  std::map<std::string, double> norms;  // L2 norms of the trained tensors after the last step
};

class VerifiedModel {
 public:
  // `config.load_parameters_path` is the folder with the weights; they are read when first needed. `session` outlives
  // the model.
  VerifiedModel(const Session& session, Config config);

  // Takes the parameters of a model with the same ones.
  void share_parameters(const VerifiedModel& other) { state_ = other.state_; }
  // The numbers of one position's logits.
  int64_t vocabulary() const { return spec_.model.vocab; }
  // Where experts drop tokens, what they keep follows from the length of the row: rows are made at least so long, empty
  // behind their tokens.
  void fill_rows_to(int64_t length) {
    if (spec_.model.drops_tokens()) shortest_ = length;
  }

  // Names of all tensors in the folder.
  const std::vector<std::string>& tensor_names();

  // Announces a row, `capture`: with its intermediates. All announced rows are computed together when the first result
  // is asked for. Throws ConfigError for a token outside of the vocabulary.
  void want(const TokenRow& row, bool capture);
  // Of an announced row: "logits" [n v], "embedding", "layers.0.mlp" [n d], "layers.1.router.experts" [n k]; f32 or
  // s32. Nothing when the model has no such tensor.
  std::optional<HostArray> tensor(const TokenRow& row, const std::string& name);

  // Names of all that the forward pass gives for an announced row.
  std::vector<std::string> tensor_names_of(const TokenRow& row);

  // Logits [v] behind the last token of each row, whose other logits are not computed.
  std::vector<std::vector<float>> last_logits(const std::vector<TokenRow>& rows);

  // What follows each prompt, decoded greedily with a cache: `count` tokens, whatever they are. The prompts share a
  // launch.
  const std::vector<std::vector<int32_t>>& decoded(const std::vector<TokenRow>& prompts, int64_t count);

  // Of the mean over all targets of the stage's losses; the indexer's with weight 1.
  const Gradients& gradients(const TrainingTokens& batch, LossStage stage = LossStage::kLanguageModel);
  // What the forward pass of a stage gives for the batch.
  struct StageLosses {
    double lm_loss = 0;
    std::vector<double> indexer_loss;  // of each layer; empty where no indexer chooses
  };
  const StageLosses& stage_losses(const TrainingTokens& batch, LossStage stage);

  // AdamW on the same batch at every step.
  const TrainingCurve& train(const TrainingTokens& batch, const OptimizerSettings& optimizer);

 private:
  // Results of one row, its padding cut off.
  struct RowResult {
    bool captured = false;
    std::map<std::string, HostArray> tensors;
  };
  struct ForwardProgram {
    Compiled compiled;
    BatchShape shape;
    bool capture = false;
  };
  template <class Key, class Result>
  struct Kept {
    Key key;
    Result result;
  };

  // With the parameters in it.
  State& state();
  void check_tokens(const std::string& where, const std::vector<int32_t>& tokens) const;
  void compute_announced();
  void compile_forward(int64_t rows, int64_t length, bool capture);
  void run_forward(std::span<const std::vector<int32_t>> rows);
  // The stack of whose layers a result of the forward pass is; null for others.
  const Stack* stack_of(const std::string& result) const;
  // The numbers of one parameter as tensors of the checkpoint.
  void cut(const StateEntry& parameter, const HostArray& values, std::map<std::string, HostArray>& into) const;
  NamedArrays upload_training(const TrainingTokens& batch, const BatchShape& shape) const;

  const Session& session_;
  Config config_;
  StateSpec spec_;
  std::vector<Stack> stacks_;
  int64_t shortest_ = 1;
  std::optional<std::vector<std::string>> names_;
  std::shared_ptr<std::optional<State>> state_ = std::make_shared<std::optional<State>>();
  std::map<std::vector<int32_t>, bool> announced_;  // and whether with intermediates
  std::map<std::vector<int32_t>, RowResult> results_;
  std::optional<ForwardProgram> forward_;
  std::map<std::vector<int32_t>, std::vector<float>> last_logits_;
  std::map<LossStage, Kept<TrainingTokens, Gradients>> gradients_;
  std::map<LossStage, Kept<TrainingTokens, StageLosses>> stage_losses_;
  std::optional<Kept<std::pair<BatchShape, OptimizerSettings>, Compiled>> train_program_;
  std::optional<Kept<std::pair<TrainingTokens, OptimizerSettings>, TrainingCurve>> curve_;
  using TokenRows = std::vector<std::vector<int32_t>>;
  std::map<std::pair<TokenRows, int64_t>, TokenRows> decoded_;  // by prompts and number of tokens
};

}  // namespace fathom
