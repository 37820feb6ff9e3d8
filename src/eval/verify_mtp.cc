// The check of multi-token prediction: losses of the four variants, logits, gradients and AdamW steps.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "checkpoint/safetensors.h"
#include "config/enums.h"
#include "eval/checks.h"

namespace fathom {
namespace {

constexpr const char* kLosses = "mtp.json";
constexpr const char* kLogits = "mtp_logits.safetensors";

std::string gradients_file(std::string_view variant) { return fmt::format("mtp_grads_{}.safetensors", variant); }

// The comparisons of all variants.
struct PredictionComparison {
  Comparison losses{kLossTolerance}, logits{kLogitsTolerance}, gradients{kGradientTolerance}, norms{kGradientTolerance},
      names{0}, trained_losses{kTrainedLossTolerance}, trained_norms{kParameterNormTolerance};

  // The loss of multi-token prediction stands in the references without its weight.
  void compare_losses(const PredictionReference& want, const Gradients& got, double weight) {
    auto compare = [&](double of_reference, double ours, const char* name) {
      losses.absolute(ours, of_reference, fmt::format("{}.{}", want.name, name));
    };
    compare(want.mtp_loss, got.scalars.at("mtp_loss") / weight, "mtp_loss");
    if (want.gradient_norms.empty()) return;
    compare(want.lm_loss, got.scalars.at("lm_loss"), "lm_loss");
    compare(want.total, got.scalars.at("loss"), "total");
  }

  void compare_gradients(const PredictionReference& want, const Gradients& got, const SafetensorsFile& file) {
    fathom::compare_gradients(gradients, got, file);
    compare_gradient_norms(norms, got, want.gradient_norms);
    for (const std::string& name : file.names()) {
      if (!want.gradient_norms.contains(name)) names.fail(fmt::format("{}: {} has no norm", want.name, name));
    }
    for (const auto& [name, gradient] : got.by_name) {
      if (want.gradient_norms.contains(name) || l2_norm(gradient) == 0) continue;
      names.fail(fmt::format("{}: {} has a gradient here, none in the reference", want.name, name));
    }
  }

  void compare_steps(const PredictionReference& want, const TrainingCurve& got, double weight) {
    for (size_t i = 0; i < want.totals.size(); ++i) {
      const std::string step = fmt::format("{}: step {}: ", want.name, i + 1);
      trained_losses.absolute(got.scalars[i].at("loss"), want.totals[i], step + "total");
      trained_losses.absolute(got.scalars[i].at("mtp_loss") / weight, want.mtp_losses[i], step + "mtp_loss");
    }
    for (const auto& [name, norm] : want.parameter_norms) {
      auto own = got.norms.find(name);
      if (own == got.norms.end()) {
        names.fail(fmt::format("{}: {} is trained there, not here", want.name, name));
      } else {
        trained_norms.relative(own->second, norm, fmt::format("{}: norm of {}", want.name, name));
      }
    }
  }

  // The last places of a row, whose next token is not in it, have no logits in the reference.
  void compare_logits(const LogitsReference& want, VerifiedModel& model) {
    const std::optional<HostArray> got = model.tensor(want.row, "mtp_1.logits");
    const auto numbers = want.logits.view<float>();
    if (!got || got->sizes()[1] != want.logits.sizes()[1]) return logits.fail(want.row.where + ": another vocabulary");
    logits.absolute(got->view<float>().first(numbers.size()), numbers, want.row.where);
  }

  CheckResult result() const { return {{losses, logits, gradients, norms, names, trained_losses, trained_norms}, ""}; }
};

// What is missing beside mtp.json; empty where all is there.
std::string lacking(const CheckContext& context) {
  std::vector<std::string> needed = {kLosses, kLogits, "train_batch.safetensors", "training.json"};
  for (const char* variant : {"checkpoint", "maxtext"}) needed.push_back(gradients_file(variant));
  std::erase_if(needed, [&](const std::string& name) { return context.has(name); });
  if (needed.empty() && !context.has_weights("hf")) needed.emplace_back("weights in hf");
  return needed.empty() ? "" : fmt::format("there are references of mtp, but no {}", fmt::join(needed, ", "));
}

}  // namespace

PreparedCheck prepare_mtp(CheckContext& context) {
  if (!context.has(kLosses) && !context.has(kLogits)) return absent(fmt::format("no {}", kLosses));
  if (std::string missing = lacking(context); !missing.empty()) return failed(missing);
  PredictionFile file = read_prediction_file(context.path(kLosses));
  for (std::string_view name : enum_names(PredictionVariant{})) {
    if (!file.find(name)) return failed(fmt::format("{}: {} is missing", kLosses, name));
  }
  std::vector<LogitsReference> logits = read_prediction_logits(context.path(kLogits));
  for (const PredictionReference& variant : file.variants) {
    const std::string name = variant.name + ".logits";
    const bool there = std::ranges::any_of(logits, [&](const LogitsReference& r) { return r.row.where == name; });
    if (!there && !variant.gradient_norms.empty()) return failed(fmt::format("{}: {} is missing", kLogits, name));
  }
  return [&context, file = std::move(file), logits = std::move(logits)] {
    const TrainingTokens batch = read_training_tokens(context.path("train_batch.safetensors"));
    OptimizerSettings optimizer = read_training_file(context.path("training.json")).optimizer;
    PredictionComparison comparison;
    for (std::string_view name : enum_names(PredictionVariant{})) {
      const PredictionReference& want = *file.find(name);
      VerifiedModel& model =
          context.model_with("hf", {"mtp_num_layers=1", fmt::format("mtp_variant={}", name), "mtp_eval_target_module=0",
                                    fmt::format("mtp_loss_scaling_factor={}", file.weight)});
      const Gradients& got = model.gradients(batch);
      comparison.compare_losses(want, got, file.weight);
      if (const std::string grads = gradients_file(name); context.has(grads)) {
        comparison.compare_gradients(want, got, *SafetensorsFile::open(context.path(grads)));
      }
      if (!want.totals.empty()) {
        optimizer.steps = static_cast<int64_t>(want.totals.size());
        comparison.compare_steps(want, model.train(batch, optimizer), file.weight);
      }
      for (const LogitsReference& r : logits) {
        if (r.row.where != fmt::format("{}.logits", name)) continue;
        model.want(r.row, false);
        comparison.compare_logits(r, model);
      }
    }
    return comparison.result();
  };
}

}  // namespace fathom
