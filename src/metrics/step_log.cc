#include "metrics/step_log.h"

#include <fmt/format.h>

#include <cmath>

namespace fathom {
namespace {

double mean(double sum, int64_t count) { return sum / static_cast<double>(count); }

template <class T>
std::string json_float(T value) {
  if (std::isnan(value)) return R"("NaN")";
  if (std::isinf(value)) return value > 0 ? R"("Infinity")" : R"("-Infinity")";
  std::string out = fmt::format("{}", value);
  // A reader should see a float in every record, also where the value happens to be whole.
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

}  // namespace

float StepMetrics::perplexity() const { return static_cast<float>(std::exp(static_cast<double>(lm_loss))); }

double EvalMetrics::average_loss() const { return mean(total_loss, total_weights); }

std::string format_step_line(const StepMetrics& m) {
  std::string line = fmt::format(
      "completed step: {}, seconds: {:.3f}, TFLOP/s/device: {:.3f}, Tokens/s/device: {:.3f}, total_weights: {}, "
      "loss: {:.3f}, lm_loss: {:.3f}, perplexity: {:.3f}",
      m.step, m.seconds, m.tflops(), m.tokens_per_second(), m.total_weights, m.loss, m.lm_loss, m.perplexity());
  if (m.moe_lb_loss) line += fmt::format(", moe_lb_loss: {:.6f}", *m.moe_lb_loss);
  if (m.mtp_loss) {
    line += fmt::format(", main_model_loss: {:.3f}, mtp_loss: {:.3f}", m.loss - *m.mtp_loss, *m.mtp_loss);
  }
  if (m.indexer_loss) line += fmt::format(", indexer_loss: {:.3f}", *m.indexer_loss);
  return line;
}

std::string format_eval_line(int64_t step, const EvalMetrics& m) {
  double loss = m.average_loss();
  std::string line = fmt::format(
      "Completed eval after train step {}, loss={:.3f}, perplexity={:.3f}, total_weights={:.1f}, avg_z_loss={:.3f}",
      step, loss, std::exp(loss), static_cast<double>(m.total_weights), mean(m.z_loss, m.batches));
  if (m.moe_lb_loss) line += fmt::format(", avg_moe_lb_loss={:.6f}", mean(*m.moe_lb_loss, m.batches));
  if (m.mtp_loss) line += fmt::format(", avg_mtp_loss={:.3f}", mean(*m.mtp_loss, m.batches));
  if (m.mtp_acceptance_rate_percent) {
    line += fmt::format(", avg_mtp_acceptance_rate={:.2f}%", mean(*m.mtp_acceptance_rate_percent, m.batches));
  }
  if (m.indexer_loss) line += fmt::format(", avg_indexer_loss={:.3f}", mean(*m.indexer_loss, m.batches));
  return line;
}

std::vector<Scalar> scalars(const StepMetrics& m) {
  std::vector<Scalar> out = {{"learning/loss", m.loss},
                             {"learning/lm_loss", m.lm_loss},
                             {"learning/perplexity", m.perplexity()},
                             {"learning/z_loss", m.z_loss},
                             {"learning/total_weights", m.total_weights},
                             {"learning/grad_norm", m.grad_norm},
                             {"learning/raw_grad_norm", m.raw_grad_norm},
                             {"learning/param_norm", m.param_norm},
                             {"learning/current_learning_rate", m.learning_rate}};
  if (m.moe_lb_loss) out.push_back({"learning/moe_lb_loss", *m.moe_lb_loss});
  if (m.mtp_loss) out.push_back({"learning/mtp_loss", *m.mtp_loss});
  if (m.indexer_loss) out.push_back({"learning/indexer_loss", *m.indexer_loss});
  out.insert(out.end(), {{"perf/step_time_seconds", m.seconds},
                         {"perf/per_device_tflops", m.tflop_per_device},
                         {"perf/per_device_tflops_per_sec", m.tflops()},
                         {"perf/per_device_tokens", m.tokens_per_device},
                         {"perf/per_device_tokens_per_sec", m.tokens_per_second()}});
  return out;
}

std::vector<Scalar> scalars(const EvalMetrics& m) {
  double loss = m.average_loss();
  std::vector<Scalar> out = {{"eval/total_loss", m.total_loss},
                             {"eval/total_weights", m.total_weights},
                             {"eval/avg_loss", loss},
                             {"eval/avg_perplexity", std::exp(loss)},
                             {"eval/step_time_seconds", mean(m.seconds, m.batches)}};
  auto add = [&](std::string_view sum_name, std::string_view mean_name, const std::optional<double>& sum) {
    if (!sum) return;
    out.push_back({sum_name, *sum});
    out.push_back({mean_name, mean(*sum, m.batches)});
  };
  add("eval/z_loss", "eval/avg_z_loss", m.z_loss);
  add("eval/moe_lb_loss", "eval/avg_moe_lb_loss", m.moe_lb_loss);
  add("eval/mtp_loss", "eval/avg_mtp_loss", m.mtp_loss);
  add("eval/mtp_acceptance_rate_percent", "eval/avg_mtp_acceptance_rate_percent", m.mtp_acceptance_rate_percent);
  add("eval/indexer_loss", "eval/avg_indexer_loss", m.indexer_loss);
  return out;
}

std::string json_number(const std::variant<float, double, int64_t>& value) {
  if (const auto* whole = std::get_if<int64_t>(&value)) return std::to_string(*whole);
  if (const auto* single = std::get_if<float>(&value)) return json_float(*single);
  return json_float(std::get<double>(value));
}

}  // namespace fathom
