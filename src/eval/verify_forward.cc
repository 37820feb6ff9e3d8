// Checks of the forward pass: logits, batch, intermediates, router, bf16.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "eval/checks.h"

namespace fathom {
namespace {

// Position i of [n ...].
template <class T>
std::span<const T> position(const HostArray& array, int64_t i) {
  size_t width = static_cast<size_t>(array.elements() / array.sizes()[0]);
  return array.view<T>().subspan(static_cast<size_t>(i) * width, width);
}

void compare_logits(Comparison& comparison, VerifiedModel& model, const LogitsReference& reference) {
  HostArray got = model.tensor(reference.row, "logits").value();
  int64_t positions = reference.logits.sizes()[0];
  int64_t skipped = got.sizes()[0] - positions;
  for (int64_t i = 0; i < positions; ++i) {
    comparison.absolute(position<float>(got, skipped + i), position<float>(reference.logits, i),
                        fmt::format("{}[{}]", reference.row.where, i));
  }
}

bool of_router(const std::string& name) { return name.find(".router.") != std::string::npos; }

// Floating-point numbers within the tolerance, integers exactly.
void compare_tensor(Comparison& close, Comparison& exact, const std::optional<HostArray>& got, const HostArray& want,
                    const std::string& name) {
  if (!got) return close.fail(fmt::format("{}: the model has no such tensor", name));
  if (got->sizes() != want.sizes()) return close.fail(fmt::format("{}: another shape than the model's", name));
  for (int64_t i = 0; i < want.sizes()[0]; ++i) {
    std::string where = fmt::format("{}[{}]", name, i);
    if (want.dtype() == DType::kF32) {
      close.absolute(position<float>(*got, i), position<float>(want, i), where);
    } else {
      exact.exact(position<int32_t>(*got, i), position<int32_t>(want, i), where);
    }
  }
}

// The choices of one position in ascending order of the experts, in which order alone they can be compared.
struct Choices {
  std::vector<int32_t> experts;
  std::vector<float> weights;

  Choices(std::span<const int32_t> of_experts, std::span<const float> of_weights) {
    std::vector<size_t> order(of_experts.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::sort(order, [&](size_t a, size_t b) { return of_experts[a] < of_experts[b]; });
    for (size_t i : order) {
      experts.push_back(of_experts[i]);
      if (of_weights.size() == of_experts.size()) weights.push_back(of_weights[i]);
    }
  }
};

struct RouterComparison {
  Comparison scores{kIntermediateTolerance}, weights{kIntermediateTolerance}, experts{0};

  void layer(VerifiedModel& model, const IntermediatesFile& file, const std::string& prefix) {
    auto want = [&](const char* leaf) {
      auto it = file.tensors.find(prefix + leaf);
      return it == file.tensors.end() ? std::nullopt : std::optional(it->second);
    };
    auto got = [&](const char* leaf) { return model.tensor(file.row, prefix + leaf); };
    if (auto reference = want("scores")) compare_tensor(scores, experts, got("scores"), *reference, prefix + "scores");
    auto want_experts = want("experts"), got_experts = got("experts");
    auto want_weights = want("weights"), got_weights = got("weights");
    if (!want_experts) return;  // said by require_all
    if (!got_experts || !got_weights) return experts.fail(prefix + "experts: the model routes nothing in this layer");
    if (got_experts->sizes() != want_experts->sizes() || want_experts->dtype() != DType::kS32 ||
        (want_weights && want_weights->sizes() != want_experts->sizes())) {
      return experts.fail(prefix + "experts: another shape or type than the model's");
    }
    for (int64_t i = 0; i < want_experts->sizes()[0]; ++i) {
      Choices ours(position<int32_t>(*got_experts, i), position<float>(*got_weights, i));
      Choices theirs(position<int32_t>(*want_experts, i),
                     want_weights ? position<float>(*want_weights, i) : std::span<const float>{});
      experts.exact(ours.experts, theirs.experts, fmt::format("{}experts[{}]", prefix, i));
      if (want_weights) weights.absolute(ours.weights, theirs.weights, fmt::format("{}weights[{}]", prefix, i));
    }
  }
};

// The intermediates with their row announced.
struct Intermediates {
  VerifiedModel* model = nullptr;
  IntermediatesFile file;

  // Fails for what the model gives and the file does not have.
  void require_all(Comparison& comparison, bool router) const {
    for (const std::string& name : model->tensor_names_of(file.row)) {
      if (name == "logits" || of_router(name) != router || file.tensors.contains(name)) continue;
      comparison.fail(name + ": is missing in intermediates.safetensors");
    }
  }
};

// Why the intermediates cannot be compared; nothing when they can.
std::optional<PreparedCheck> no_intermediates(const CheckContext& context) {
  if (!context.has("intermediates.safetensors")) return absent("no intermediates.safetensors");
  if (!context.has_weights("hf")) return failed("there are intermediates.safetensors, but no weights in hf");
  return std::nullopt;
}

Intermediates read_intermediates_file(CheckContext& context) {
  Intermediates out{.model = &context.model("hf"),
                    .file = read_intermediates(context.path("intermediates.safetensors"))};
  out.model->want(out.file.row, true);
  return out;
}

}  // namespace

PreparedCheck compared_logits(VerifiedModel& model, std::vector<LogitsReference> references) {
  for (const LogitsReference& r : references) model.want(r.row, false);
  return [&model, references = std::move(references)] {
    Comparison comparison(kLogitsTolerance);
    for (const LogitsReference& r : references) compare_logits(comparison, model, r);
    return CheckResult{{comparison}, ""};
  };
}

PreparedCheck prepare_logits(CheckContext& context) {
  std::vector<LogitsReference> references;
  constexpr const char* kGolden = "golden_logits.jsonl";
  if (context.has(kGolden)) references = read_golden_logits(context.path(kGolden), kGolden);
  if (context.has("logits.safetensors")) {
    for (auto& r : read_prompt_logits(context.path("logits.safetensors"))) references.push_back(std::move(r));
  }
  if (references.empty()) return absent("no prompts in golden_logits.jsonl or logits.safetensors");
  if (!context.has_weights("hf")) return failed("there are logits, but no weights in hf");
  return compared_logits(context.model("hf"), std::move(references));
}

PreparedCheck prepare_batch(CheckContext& context) {
  if (!context.has("logits.safetensors")) return absent("no logits.safetensors");
  std::vector<LogitsReference> references = read_batch_logits(context.path("logits.safetensors"));
  if (references.empty()) return absent("no batch in logits.safetensors");
  if (!context.has_weights("hf")) return failed("there is a batch, but no weights in hf");
  return compared_logits(context.model("hf"), std::move(references));
}

PreparedCheck prepare_bf16(CheckContext& context) {
  if (!context.has("logits_bf16.safetensors")) return absent("no logits_bf16.safetensors");
  if (!context.has_weights("hf_bf16")) return failed("there are logits_bf16.safetensors, but no weights in hf_bf16");
  return compared_logits(context.model("hf_bf16"), {read_single_logits(context.path("logits_bf16.safetensors"))});
}

PreparedCheck prepare_intermediates(CheckContext& context) {
  if (auto none = no_intermediates(context)) return *none;
  return [prepared = read_intermediates_file(context)] {
    Comparison close(kIntermediateTolerance), exact(0);
    for (const auto& [name, want] : prepared.file.tensors) {
      if (of_router(name)) continue;
      compare_tensor(close, exact, prepared.model->tensor(prepared.file.row, name), want, name);
    }
    prepared.require_all(close, /*router=*/false);
    return CheckResult{{close, exact}, ""};
  };
}

PreparedCheck prepare_router(CheckContext& context) {
  if (auto none = no_intermediates(context)) return *none;
  return [prepared = read_intermediates_file(context)] {
    std::set<std::string> layers;
    for (const auto& [name, want] : prepared.file.tensors) {
      if (of_router(name)) layers.insert(name.substr(0, name.rfind('.') + 1));
    }
    RouterComparison comparison;
    for (const std::string& prefix : layers) comparison.layer(*prepared.model, prepared.file, prefix);
    prepared.require_all(comparison.experts, /*router=*/true);
    return CheckResult{{comparison.scores, comparison.weights, comparison.experts},
                       "no layer of the model has a router"};
  };
}

}  // namespace fathom
