// Checks of training: gradients, adamw.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "checkpoint/safetensors.h"
#include "eval/checks.h"

namespace fathom {
namespace {

// A tensor that the loss does not reach has the gradient zero here.
bool is_zero(const HostArray& array) {
  return std::ranges::all_of(array.view<float>(), [](float x) { return x == 0; });
}

// Each gradient has its norm in training.json.
void compare_norms(Comparison& comparison, const Gradients& ours, const std::map<std::string, double>& norms,
                   const SafetensorsFile& file) {
  compare_gradient_norms(comparison, ours, norms);
  for (const std::string& name : file.names()) {
    if (!norms.contains(name)) comparison.fail(name + ": has a gradient, but no norm of it in training.json");
  }
}

// Every tensor of the checkpoint has a gradient in the reference, or is named as one without and has none here.
void compare_names(Comparison& comparison, const Gradients& ours, const std::vector<std::string>& all,
                   const SafetensorsFile& file, const std::set<std::string>* without) {
  for (const std::string& name : all) {
    if (file.find(name) != nullptr) continue;
    auto got = ours.by_name.find(name);
    if (got != ours.by_name.end() && !is_zero(got->second)) {
      comparison.fail(name + ": has a gradient here, none in the reference");
    } else if (without != nullptr && !without->contains(name)) {
      comparison.fail(name + ": is neither among the gradients nor among the names without one");
    }
  }
  if (without == nullptr) return;
  for (const std::string& name : *without) {
    if (file.find(name) != nullptr) comparison.fail(name + ": both among the gradients and the names without one");
    if (!std::ranges::binary_search(all, name)) {
      comparison.fail(name + ": among the names without gradient, but no tensor of the checkpoint");
    }
  }
}

CheckResult judge_adamw(const TrainingCurve& ours, const TrainingFile& file) {
  auto loss = [&](size_t i) { return ours.scalars[i].at("loss"); };
  Comparison before(kLossTolerance), losses(kTrainedLossTolerance), norms(kParameterNormTolerance);
  const size_t steps = file.losses.size();
  before.absolute(loss(0), file.loss_before, "loss_before");
  before.absolute(loss(0), file.losses[0], "loss of step 1");
  for (size_t i = 1; i < steps; ++i) {
    losses.absolute(loss(i), file.losses[i], fmt::format("loss of step {}", i + 1));
  }
  losses.absolute(loss(steps), file.loss_after, fmt::format("loss after step {}", steps));
  for (const auto& [name, want] : file.parameter_norms) {
    // What has no gradient was neither moved nor decayed there.
    if (!file.gradient_norms.empty() && !file.gradient_norms.contains(name)) continue;
    auto got = ours.norms.find(name);
    if (got == ours.norms.end()) {
      norms.fail(name + ": the reference trained it, the model does not");
    } else {
      norms.relative(got->second, want, "norm of " + name);
    }
  }
  return {{before, losses, norms}, ""};
}

// Why gradients or steps cannot be compared with `file`; nothing when they can.
std::optional<PreparedCheck> no_training(const CheckContext& context, const char* file) {
  if (!context.has(file)) return absent(fmt::format("no {}", file));
  if (!context.has("train_batch.safetensors")) {
    return failed(fmt::format("{} is there, but no train_batch.safetensors", file));
  }
  if (!context.has_weights("hf")) return failed(fmt::format("{} is there, but no weights in hf", file));
  return std::nullopt;
}

// All that a file lacks, in one line.
PreparedCheck lacking(const std::vector<std::string>& missing) {
  return failed(fmt::format("training.json: {}", fmt::join(missing, "; ")));
}

}  // namespace

void compare_gradients(Comparison& comparison, const Gradients& ours, const SafetensorsFile& file) {
  for (const std::string& name : file.names()) {
    HostArray want = convert(file.tensor(name), DType::kF32);
    auto got = ours.by_name.find(name);
    if (got == ours.by_name.end()) {
      comparison.fail(name + ": the reference has a gradient, the model trains no such tensor");
    } else if (got->second.sizes() != want.sizes()) {
      comparison.fail(name + ": another shape than the model's");
    } else {
      comparison.relative_to_max(got->second.view<float>(), want.view<float>(), name);
    }
  }
}

void compare_gradient_norms(Comparison& comparison, const Gradients& ours, const std::map<std::string, double>& norms) {
  for (const auto& [name, want] : norms) {
    auto got = ours.by_name.find(name);
    if (got == ours.by_name.end()) {
      comparison.fail(name + ": the reference has a gradient norm, the model trains no such tensor");
    } else {
      comparison.relative(l2_norm(got->second), want, "norm of " + name);
    }
  }
}

PreparedCheck prepare_gradients(CheckContext& context) {
  if (!context.has("grads.safetensors") && !context.has("training.json") && context.has("train_batch.safetensors")) {
    return failed("train_batch.safetensors is there, but neither grads.safetensors nor training.json");
  }
  if (auto none = no_training(context, "grads.safetensors")) return *none;
  std::optional<TrainingFile> training;
  if (context.has("training.json")) training = read_training_file(context.path("training.json"));
  if (training && !training->missing_for_gradients.empty()) return lacking(training->missing_for_gradients);
  return [&context, training = std::move(training)] {
    VerifiedModel& model = context.model("hf");
    auto file = SafetensorsFile::open(context.path("grads.safetensors"));
    const Gradients& ours = model.gradients(read_training_tokens(context.path("train_batch.safetensors")));
    Comparison elements(kGradientTolerance), norms(kGradientTolerance), names(0);
    if (file->names().empty()) elements.fail("grads.safetensors is empty");
    compare_gradients(elements, ours, *file);
    if (training) compare_norms(norms, ours, training->gradient_norms, *file);
    compare_names(names, ours, model.tensor_names(), *file, training ? &training->without_gradient : nullptr);
    return CheckResult{{elements, norms, names}, ""};
  };
}

PreparedCheck prepare_adamw(CheckContext& context) {
  if (auto none = no_training(context, "training.json")) return *none;
  TrainingFile file = read_training_file(context.path("training.json"));
  if (!file.missing_for_adamw.empty()) return lacking(file.missing_for_adamw);
  return [&context, file = std::move(file)] {
    TrainingTokens batch = read_training_tokens(context.path("train_batch.safetensors"));
    return judge_adamw(context.model("hf").train(batch, file.optimizer), file);
  };
}

}  // namespace fathom
