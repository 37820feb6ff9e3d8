// Check of multiple-choice questions: mmlu.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "eval/checks.h"
#include "eval/choice_scores.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr const char* kFile = "mmlu_scores.jsonl";
// Where the model's own choices (experts, keys) are nearer to each other than this, rounding may turn them over.
constexpr double kLeastMargin = 1e-5;

struct ScoredPrompt {
  TokenRow row;
  std::string prompt, subject;
  std::vector<float> logprobs;
  int32_t choice = 0;
  double margin = 0;
};

ScoredPrompt read_line(const std::string& path, int64_t number, std::string_view text) {
  ScoredPrompt out{.row = {.where = fmt::format("{}:{}", kFile, number), .tokens = {}}};
  try {
    const json line = json::parse(text);
    auto take = [&](const char* key, auto& to) {
      if (!line.contains(key)) throw IncompleteReference(path, fmt::format("line {}: no {}", number, key));
      line.at(key).get_to(to);
    };
    take("tokens", out.row.tokens);
    take("prompt", out.prompt);
    take("subject", out.subject);
    take("logprobs", out.logprobs);
    take("choice", out.choice);
    take("margin", out.margin);
  } catch (const json::exception& e) {
    throw FormatError(path, fmt::format("line {}: {}", number, json_line_mistake(e)));
  }
  if (out.row.tokens.empty()) throw IncompleteReference(path, fmt::format("line {}: no tokens", number));
  if (std::ranges::any_of(out.row.tokens, [](int32_t id) { return id < 0; })) {
    throw FormatError(path, fmt::format("line {}: tokens holds what is no token", number));
  }
  return out;
}

// The prompt is one of its subject, and its tokens are the tokenizer's.
void compare_prompt(Comparison& exact, const Tokenizer& tokenizer, const ScoredPrompt& want) {
  if (!want.prompt.starts_with(choice_header(want.subject))) {
    exact.fail(fmt::format("{}: the prompt is not about {}", want.row.where, want.subject));
  }
  std::vector<int32_t> tokens = tokenizer.encode(want.prompt);
  if (const auto bos = tokenizer.bos_id()) tokens.insert(tokens.begin(), *bos);
  exact.exact(tokens, want.row.tokens, want.row.where + " tokens");
}

// Rows that rounding may turn over, of which none is judged.
struct NearTies {
  int64_t rows = 0;
  double worst = 0;
  void add(std::span<const float> got, const std::vector<float>& want) {
    ++rows;
    for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])));
    }
  }
  std::string note() const {
    if (rows == 0) return "";
    return fmt::format("not counted: {} of a margin below {}, which differ by {:.3g} at most", rows, kLeastMargin,
                       worst);
  }
};

// Log-probabilities of the letters behind each prompt.
std::vector<std::array<float, kChoices>> letter_logprobs(VerifiedModel& model, const LetterTokens& letters,
                                                         const std::vector<ScoredPrompt>& prompts) {
  std::vector<TokenRow> rows;
  for (const ScoredPrompt& p : prompts) {
    for (const auto& beginning : letters.beginnings()) {
      rows.push_back(p.row);
      rows.back().tokens.insert(rows.back().tokens.end(), beginning.begin(), beginning.end());
    }
  }
  const std::vector<std::vector<float>> logits = model.last_logits(rows);
  std::vector<std::array<float, kChoices>> out;
  for (size_t i = 0, row = 0; i < prompts.size(); ++i) {
    std::array<double, kChoices> sums = {};
    for (size_t b = 0; b < letters.beginnings().size(); ++b) letters.add(b, logits[row++], sums);
    std::ranges::transform(sums, out.emplace_back().begin(), [](double x) { return static_cast<float>(x); });
  }
  return out;
}

CheckResult judge(VerifiedModel& model, const Tokenizer& tokenizer, const std::vector<ScoredPrompt>& prompts) {
  const auto got = letter_logprobs(model, LetterTokens(tokenizer), prompts);
  Comparison close(kChoiceTolerance), exact(0);
  NearTies ties;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const ScoredPrompt& want = prompts[i];
    compare_prompt(exact, tokenizer, want);
    if (want.margin < kLeastMargin) {
      ties.add(got[i], want.logprobs);
      continue;
    }
    close.absolute(got[i], want.logprobs, want.row.where + " logprobs");
    const auto choice = static_cast<int32_t>(best_choice(got[i]));
    exact.exact(std::span(&choice, 1), std::span(&want.choice, 1), want.row.where + " choice");
  }
  return {{close, exact}, "", ties.note()};
}

}  // namespace

PreparedCheck prepare_mmlu(CheckContext& context) {
  if (!context.has(kFile)) return absent(fmt::format("no {}", kFile));
  if (!context.has_weights("hf")) return failed(fmt::format("there is {}, but no weights in hf", kFile));
  if (!context.has("hf/tokenizer.json")) return failed("no tokenizer.json in hf, which has the tokens of the letters");
  std::vector<ScoredPrompt> prompts;
  const std::string path = context.path(kFile);
  for_each_reference_line(
      path, [&](int64_t number, std::string_view text) { prompts.push_back(read_line(path, number, text)); });
  if (prompts.empty()) throw IncompleteReference(path, "no line");
  return [&model = context.model("hf"), tokenizer = Tokenizer::load(context.path("hf")), prompts = std::move(prompts)] {
    return judge(model, *tokenizer, prompts);
  };
}

}  // namespace fathom
