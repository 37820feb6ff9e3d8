#include "metrics/step_log.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace fathom {
namespace {

template <class T>
std::string json_float(T value) {
  if (std::isnan(value)) return R"("NaN")";
  if (std::isinf(value)) return value > 0 ? R"("Infinity")" : R"("-Infinity")";
  std::string out = fmt::format("{}", value);
  // A reader should see a float in every record, also where the value happens to be whole.
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

using Number = std::variant<float, double, int64_t>;

float derived(const StepMetrics& m, std::string_view name) {
  if (name == "perplexity") return static_cast<float>(std::exp(static_cast<double>(m.value("lm_loss"))));
  if (name == "main_model_loss") return m.value("loss") - m.value("mtp_loss");
  throw std::logic_error("nothing says how to derive " + std::string(name));
}

// Nothing when the step does not have it.
std::optional<Number> number_of(const StepMetrics& m, const StepScalar& row) {
  if (row.part == ModelPart::kPrediction && !m.values.contains("mtp_loss")) return std::nullopt;
  if (row.adds == Adds::kDerived) return derived(m, row.name);
  if (row.name == "total_weights") return m.total_weights;
  auto at = m.values.find(row.name);
  if (at == m.values.end()) return std::nullopt;
  return at->second;
}

std::string on_line(const StepScalar& row, const Number& number) {
  if (const int64_t* whole = std::get_if<int64_t>(&number)) return fmt::format("{}: {}", row.name, *whole);
  return fmt::format("{}: {:.{}f}", row.name, std::get<float>(number), row.line_decimals);
}

}  // namespace

float StepMetrics::value(std::string_view name) const {
  auto at = values.find(name);
  return at == values.end() ? std::numeric_limits<float>::quiet_NaN() : at->second;
}

double EvalMetrics::mean(std::string_view name) const {
  auto at = sums.find(name);
  if (at == sums.end()) return std::numeric_limits<double>::quiet_NaN();
  return at->second / static_cast<double>(count(step_scalar(name).adds));
}

int64_t EvalMetrics::count(Adds adds) const {
  auto at = counts.find(counted(adds));
  return at == counts.end() ? 0 : at->second;
}

std::string format_step_line(const StepMetrics& m) {
  std::string line = fmt::format("completed step: {}, seconds: {:.3f}, TFLOP/s/device: {:.3f}, Tokens/s/device: {:.3f}",
                                 m.step, m.seconds, m.tflops(), m.tokens_per_second());
  for (const StepScalar& row : kStepScalars) {
    if (row.line_decimals < 0) continue;
    if (std::optional<Number> number = number_of(m, row)) line += ", " + on_line(row, *number);
  }
  return line;
}

std::string format_eval_line(int64_t step, const EvalMetrics& m) {
  std::string line = fmt::format("Completed eval after train step {}", step);
  for (const StepScalar& row : kStepScalars) {
    if (row.eval_mean.empty() || !m.sums.contains(row.name)) continue;
    line += fmt::format(", {}={:.{}f}{}", row.eval_label, m.mean(row.name), row.eval_decimals, row.eval_unit);
    if (row.name != "lm_loss") continue;
    line += fmt::format(", perplexity={:.3f}, total_weights={:.1f}", std::exp(m.mean(row.name)),
                        static_cast<double>(m.total_weights()));
  }
  return line;
}

std::vector<Scalar> scalars(const StepMetrics& m) {
  std::vector<Scalar> out;
  for (const StepScalar& row : kStepScalars) {
    if (row.metric.empty()) continue;
    if (std::optional<Number> number = number_of(m, row)) out.push_back({row.metric, *number});
  }
  out.insert(out.end(), {{"perf/step_time_seconds", m.seconds},
                         {"perf/per_device_tflops", m.tflop_per_device},
                         {"perf/per_device_tflops_per_sec", m.tflops()},
                         {"perf/per_device_tokens", m.tokens_per_device},
                         {"perf/per_device_tokens_per_sec", m.tokens_per_second()}});
  if (m.device_memory_gb) out.push_back({"perf/device_memory_gb", *m.device_memory_gb});
  return out;
}

std::vector<Scalar> scalars(const EvalMetrics& m) {
  std::vector<Scalar> out = {{"eval/total_weights", m.total_weights()},
                             {"eval/avg_perplexity", std::exp(m.mean("lm_loss"))},
                             {"eval/step_time_seconds", m.seconds / static_cast<double>(m.batches)}};
  for (const StepScalar& row : kStepScalars) {
    if (row.eval_mean.empty() || !m.sums.contains(row.name)) continue;
    const double mean = m.mean(row.name);
    // The peer's sums: of lm_loss over the targets, of the others over the batches.
    const double times = static_cast<double>(m.batches);
    out.push_back({row.eval_sum, row.name == "lm_loss" ? m.sums.at("lm_loss") : mean * times});
    out.push_back({row.eval_mean, mean});
  }
  return out;
}

std::string load_lines(int64_t step, const ExpertLoad& load) {
  std::string out;
  for (int64_t i = 0; i < load.layers(); ++i) {
    out += fmt::format("{{\"step\": {}, \"layer\": {}, \"counts\": [{}]}}\n", step, load.first_layer + i,
                       fmt::join(load.of_layer(i), ", "));
  }
  return out;
}

std::string json_number(const std::variant<float, double, int64_t>& value) {
  if (const auto* whole = std::get_if<int64_t>(&value)) return std::to_string(*whole);
  if (const auto* single = std::get_if<float>(&value)) return json_float(*single);
  return json_float(std::get<double>(value));
}

}  // namespace fathom
