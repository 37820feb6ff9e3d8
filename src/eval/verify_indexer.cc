// The check of the indexer's losses and gradients, in the three stages of indexer.json.
#include <fmt/format.h>

#include <cmath>

#include "checkpoint/safetensors.h"
#include "eval/checks.h"

namespace fathom {
namespace {

constexpr const char* kLosses = "indexer.json";
constexpr const char* kGradients = "indexer_grads.safetensors";
constexpr const char* kOfLanguageModel = "grads.safetensors";

std::optional<LossStage> stage_of(const std::string& name) {
  if (name == "dense_warmup_paper") return LossStage::kWarmupDense;
  if (name == "dense_warmup_maxtext") return LossStage::kWarmupSparse;
  if (name == "sparse") return LossStage::kSparse;
  return std::nullopt;
}

bool of_indexer(const std::string& name) { return name.find(".indexer.") != std::string::npos; }

// The comparisons of all stages.
struct IndexerComparison {
  Comparison losses{kLossTolerance}, gradients{kGradientTolerance}, norms{kGradientTolerance}, names{0};

  void compare_losses(const IndexerStage& want, double mean, const VerifiedModel::StageLosses& got) {
    losses.absolute(mean, want.indexer_loss, want.name + ".indexer_loss");
    losses.absolute(got.lm_loss, want.lm_loss, want.name + ".lm_loss");
    if (got.indexer_loss.size() != want.per_layer.size()) {
      return losses.fail(fmt::format("{}.per_layer: {} layers, the model has {}", want.name, want.per_layer.size(),
                                     got.indexer_loss.size()));
    }
    for (size_t i = 0; i < want.per_layer.size(); ++i) {
      losses.absolute(got.indexer_loss[i], want.per_layer[i], fmt::format("{}.per_layer[{}]", want.name, i));
    }
  }

  void compare_gradient(const std::string& where, const HostArray& got, const HostArray& want) {
    if (got.sizes() != want.sizes()) return gradients.fail(where + ": another shape than the model's");
    const HostArray numbers = convert(want, DType::kF32);
    gradients.relative_to_max(got.view<float>(), numbers.view<float>(), where);
  }

  // Of the indexer: each tensor's gradient and norm are there, and no other is.
  void compare_indexer(const IndexerStage& want, const Gradients& got, const SafetensorsFile& file) {
    const std::string prefix = want.name + ":";
    for (const auto& [name, gradient] : got.by_name) {
      if (!of_indexer(name)) continue;
      if (file.find(prefix + name) == nullptr) {
        names.fail(fmt::format("{}{}: is missing in {}", prefix, name, kGradients));
      } else {
        compare_gradient(prefix + name, gradient, file.tensor(prefix + name));
      }
      auto of_name = want.gradient_norms.find(name);
      if (of_name == want.gradient_norms.end()) {
        names.fail(fmt::format("{}.grad_norms: {} is missing", want.name, name));
      } else {
        norms.relative(l2_norm(gradient), of_name->second, fmt::format("{}: norm of {}", want.name, name));
      }
    }
    for (const std::string& name : file.names()) {
      if (name.starts_with(prefix) && !got.by_name.contains(name.substr(prefix.size()))) {
        names.fail(name + ": the model trains no such tensor in this stage");
      }
    }
  }

  // Nothing of the indexer's loss reaches what is not the indexer's.
  void compare_others(const Gradients& got, const SafetensorsFile& file) {
    for (const std::string& name : file.names()) {
      auto own = got.by_name.find(name);
      if (own == got.by_name.end()) {
        names.fail(name + ": the reference has a gradient, the model trains no such tensor");
      } else {
        compare_gradient("sparse: " + name, own->second, file.tensor(name));
      }
    }
  }
};

}  // namespace

PreparedCheck prepare_indexer(CheckContext& context) {
  const bool losses = context.has(kLosses), gradients = context.has(kGradients);
  if (!losses && !gradients) return absent(fmt::format("no {}", kLosses));
  if (!losses || !gradients) {
    return failed(fmt::format("there is {}, but no {}", losses ? kLosses : kGradients, losses ? kGradients : kLosses));
  }
  if (!context.has("train_batch.safetensors")) return failed("there is indexer.json, but no train_batch.safetensors");
  if (!context.has_weights("hf")) return failed("there is indexer.json, but no weights in hf");
  return [&context, stages = read_indexer_file(context.path(kLosses))] {
    VerifiedModel& model = context.model("hf");
    const TrainingTokens batch = read_training_tokens(context.path("train_batch.safetensors"));
    auto file = SafetensorsFile::open(context.path(kGradients));
    IndexerComparison comparison;
    for (const IndexerStage& want : stages) {
      const std::optional<LossStage> stage = stage_of(want.name);
      if (!stage) {
        comparison.names.fail(fmt::format("{}: no such stage", want.name));
        continue;
      }
      const Gradients& got = model.gradients(batch, *stage);
      comparison.compare_losses(want, got.scalars.at("indexer_loss"), model.stage_losses(batch, *stage));
      comparison.compare_indexer(want, got, *file);
      if (stage == LossStage::kSparse && context.has(kOfLanguageModel)) {
        comparison.compare_others(got, *SafetensorsFile::open(context.path(kOfLanguageModel)));
      }
    }
    if (stages.empty()) comparison.names.fail(fmt::format("{} has no stage", kLosses));
    return CheckResult{{comparison.losses, comparison.gradients, comparison.norms, comparison.names}, ""};
  };
}

}  // namespace fathom
