#include "eval/logit_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"

namespace fathom {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::span<const float> position(const HostArray& logits, int64_t i) {
  const auto width = static_cast<size_t>(logits.sizes()[1]);
  return logits.view<float>().subspan(static_cast<size_t>(i) * width, width);
}

bool finite(std::span<const float> x) {
  return std::ranges::all_of(x, [](float v) { return std::isfinite(v); });
}

// Logarithms of the probabilities, with those below `epsilon` raised to it.
std::vector<double> log_probabilities(std::span<const float> logits, double epsilon) {
  std::vector<double> out(logits.begin(), logits.end());
  auto normalise = [&] {
    const double top = *std::ranges::max_element(out);
    double sum = 0;
    for (double x : out) sum += std::exp(x - top);
    for (double& x : out) x -= top + std::log(sum);
  };
  normalise();
  if (epsilon > 0) {
    for (double& x : out) x = std::max(x, std::log(epsilon));
    normalise();
  }
  return out;
}

double divergence(std::span<const float> got, std::span<const float> golden, double epsilon) {
  if (!finite(got) || !finite(golden)) return kNan;
  const std::vector<double> p = log_probabilities(golden, epsilon), q = log_probabilities(got, epsilon);
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  return sum;
}

std::vector<int64_t> likeliest(std::span<const float> logits, int64_t count) {
  std::vector<int64_t> out(logits.size());
  std::iota(out.begin(), out.end(), 0);
  // A NaN is no candidate, and does not disturb the order.
  std::erase_if(out, [&](int64_t id) { return std::isnan(logits[static_cast<size_t>(id)]); });
  auto more = [&](int64_t a, int64_t b) { return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)]; };
  count = std::min(count, std::ssize(out));
  std::ranges::partial_sort(out, out.begin() + count, more);
  out.resize(static_cast<size_t>(count));
  std::ranges::sort(out);
  return out;
}

int64_t first_compared(const LogitCriteria& criteria) { return criteria.skip_first_token ? 1 : 0; }

int64_t end_compared(int64_t tokens, const LogitCriteria& criteria) {
  return std::min(tokens, criteria.token_size.value_or(tokens));
}

// The worst of all prompts by one criterion, and the prompt.
std::pair<Largest, size_t> worst(std::span<const PromptAgreement> prompts, Largest PromptAgreement::*of) {
  Largest out;
  size_t prompt = 0;
  for (size_t i = 0; i < prompts.size() && !std::isnan(out.value); ++i) {
    const Largest& one = prompts[i].*of;
    if (!std::isnan(one.value) && one.value <= out.value) continue;
    out = one;
    prompt = i;
  }
  return {out, prompt};
}

}  // namespace

void Largest::note(double x, int64_t at) {
  if (std::isnan(value) || x <= value) return;
  value = x;
  token = at;
}

PromptAgreement agreement(const HostArray& got, const HostArray& golden, const LogitCriteria& criteria) {
  PromptAgreement out;
  const int64_t end = end_compared(golden.sizes()[0], criteria);
  for (int64_t t = first_compared(criteria); t < end; ++t) {
    const auto ours = position(got, t), theirs = position(golden, t);
    ++out.tokens;
    out.kl.note(divergence(ours, theirs, criteria.clip_epsilon), t);
    for (size_t i = 0; i < theirs.size(); ++i) {
      const auto want = static_cast<double>(theirs[i]);
      // Infinite numbers are no agreement either, though their difference may be no NaN.
      const bool numbers = std::isfinite(ours[i]) && std::isfinite(theirs[i]);
      const double difference = numbers ? std::abs(static_cast<double>(ours[i]) - want) : kNan;
      out.difference.note(difference, t);
      if (criteria.atol) out.beyond.note(difference - (*criteria.atol + criteria.rtol * std::abs(want)), t);
    }
  }
  constexpr int64_t kTop = 10;
  out.top = std::min(kTop, golden.sizes()[1]);
  const std::vector<int64_t> ours = likeliest(position(got, end - 1), out.top);
  const std::vector<int64_t> theirs = likeliest(position(golden, end - 1), out.top);
  std::vector<int64_t> common;
  std::ranges::set_intersection(ours, theirs, std::back_inserter(common));
  out.common_top = std::ssize(common);
  return out;
}

std::string describe(const PromptAgreement& p) {
  return fmt::format("tokens {}, max_kl {:.3g}, max_abs {:.3g}, top{} {}/{}", p.tokens, p.kl.value, p.difference.value,
                     p.top, p.common_top, p.top);
}

// Comparisons with NaN are false: it passes neither.
LogitVerdict judge_logits(std::span<const PromptAgreement> prompts, const LogitCriteria& criteria) {
  std::vector<std::string> faults;
  if (criteria.max_kl_div) {
    const auto [kl, prompt] = worst(prompts, &PromptAgreement::kl);
    if (!(kl.value < *criteria.max_kl_div)) {
      faults.push_back(fmt::format("max KL {:.3g} at prompt {}, token {}", kl.value, prompt, kl.token));
    }
  }
  if (criteria.atol) {
    const auto [beyond, prompt] = worst(prompts, &PromptAgreement::beyond);
    if (!(beyond.value <= 0)) {
      faults.push_back(fmt::format("a logit {:.3g} beyond atol + rtol |golden| at prompt {}, token {}", beyond.value,
                                   prompt, beyond.token));
    }
  }
  if (faults.empty()) return {true, "PASS"};
  return {false, fmt::format("FAIL: {}", fmt::join(faults, "; "))};
}

void check_prompts(const std::vector<LogitsReference>& golden, const LogitCriteria& criteria, int64_t most) {
  for (const LogitsReference& r : golden) {
    const int64_t tokens = std::ssize(r.row.tokens);
    if (tokens > most) {
      throw ConfigError(fmt::format("{}: a prompt of {} tokens is longer than max_target_length={}: give a larger one",
                                    r.row.where, tokens, most));
    }
    if (first_compared(criteria) >= end_compared(tokens, criteria)) {
      throw ConfigError(fmt::format("{}: --skip_first_token leaves no token to compare of {}", r.row.where,
                                    end_compared(tokens, criteria)));
    }
  }
}

void announce(VerifiedModel& model, const std::vector<LogitsReference>& golden) {
  for (const LogitsReference& r : golden) {
    if (r.logits.sizes()[1] != model.vocabulary()) {
      throw ConfigError(
          fmt::format("{}: {} logits a token, but the model has a vocabulary of {}: golden logits of "
                      "another model, or another model_name",
                      r.row.where, r.logits.sizes()[1], model.vocabulary()));
    }
  }
  for (const LogitsReference& r : golden) model.want(r.row, false);
}

std::string golden_line(const std::string& prompt, const std::vector<int32_t>& tokens, const HostArray& logits) {
  // Invalid UTF-8 cannot come from a JSON file, but a replacement is better than a fault.
  std::string out = fmt::format(R"({{"prompt": {}, "tokens": [{}], "logits": [)",
                                nlohmann::json(prompt).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                                fmt::join(tokens, ", "));
  for (int64_t t = 0; t < logits.sizes()[0]; ++t) {
    out += t == 0 ? "[" : ", [";
    const auto values = position(logits, t);
    for (size_t i = 0; i < values.size(); ++i) {
      if (i > 0) out += ',';
      // As Python writes numbers that are none.
      if (std::isfinite(values[i])) {
        fmt::format_to(std::back_inserter(out), "{}", values[i]);
      } else {
        out += std::isnan(values[i]) ? "NaN" : values[i] > 0 ? "Infinity" : "-Infinity";
      }
    }
    out += ']';
  }
  return out + "]}\n";
}

}  // namespace fathom
