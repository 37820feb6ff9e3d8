#include "report/charts.h"

#include <algorithm>
#include <array>

namespace fathom {
namespace {

constexpr std::string_view kNats = "nats a token";

constexpr LineRow kLoss[] = {{"learning/loss", "loss, all parts"},
                             {"learning/lm_loss", "language model (lm_loss)"},
                             {"eval/avg_loss", "evaluation (lm_loss)", true}};
constexpr LineRow kMtp[] = {{"learning/mtp_loss", "mtp_loss"}};
constexpr LineRow kBalance[] = {{"learning/moe_lb_loss", "moe_lb_loss"}};
constexpr LineRow kIndexer[] = {{"learning/indexer_loss", "indexer_loss"}};
constexpr LineRow kZ[] = {{"learning/z_loss", "z_loss"}};
constexpr ChartRow kLossCharts[] = {
    {"Loss", kNats, kLoss, true, false, true, true},
    {"Multi-token prediction", kNats, kMtp, true, false, true},
    {"Balance of experts", "loss, weighted", kBalance, true, false, true},
    {"Indexer", "KL divergence, weighted", kIndexer, true, false, true},
    {"z-loss", "", kZ, true, false, true},
};

constexpr LineRow kRate[] = {{"learning/current_learning_rate", "learning rate"}};
constexpr LineRow kGradient[] = {{"learning/raw_grad_norm", "before clipping"},
                                 {"learning/grad_norm", "after clipping"}};
constexpr LineRow kParameters[] = {{"learning/param_norm", "parameters"}};
constexpr ChartRow kOptimizerCharts[] = {
    {"Learning rate", "", kRate, false, true},
    {"Gradient norm", "L2", kGradient, true, true, true},
    {"Parameter norm", "L2", kParameters, true},
};

constexpr LineRow kTokens[] = {{"perf/per_device_tokens_per_sec", "tokens/s"}};
constexpr LineRow kSeconds[] = {{"perf/step_time_seconds", "seconds"}};
constexpr LineRow kFlops[] = {{"perf/per_device_tflops_per_sec", "TFLOP/s"}};
constexpr LineRow kMemory[] = {{"perf/device_memory_gb", "memory"}};
constexpr LineRow kTargets[] = {{"learning/total_weights", "targets"}};
constexpr ChartRow kSpeedCharts[] = {
    {"Tokens a second", "a device", kTokens, false, true, true},
    {"Time of a step", "seconds", kSeconds, true, true, true},
    {"Operations a second", "TFLOP/s a device", kFlops, false, true, true},
    {"Memory", "GB a device", kMemory, false, true},
    {"Targets", "tokens of the batch that count", kTargets, false, true, true},
};

constexpr LineRow kRatio[] = {{"learning/moe_max_load_ratio", "largest load"}};
constexpr LineRow kDropped[] = {{"learning/moe_dropped_fraction", "dropped"}};
constexpr ChartRow kExpertCharts[] = {
    {"Largest load of an expert", "over its layer's mean", kRatio, true, false, true},
    {"Dropped choices", "fraction of all", kDropped, false, true, true},
};

constexpr LineRow kEvalLoss[] = {{"eval/avg_loss", "evaluation (lm_loss)", true}};
constexpr LineRow kEvalPerplexity[] = {{"eval/avg_perplexity", "perplexity", true}};
constexpr LineRow kEvalMtp[] = {{"eval/avg_mtp_loss", "mtp_loss", true}};
constexpr LineRow kEvalAcceptance[] = {{"eval/avg_mtp_acceptance_rate_percent", "accepted", true}};
constexpr LineRow kEvalBalance[] = {{"eval/avg_moe_lb_loss", "moe_lb_loss", true}};
constexpr LineRow kEvalIndexer[] = {{"eval/avg_indexer_loss", "indexer_loss", true}};
constexpr LineRow kEvalZ[] = {{"eval/avg_z_loss", "z_loss", true}};
constexpr ChartRow kEvalCharts[] = {
    {"Evaluation loss", kNats, kEvalLoss, true},
    {"Evaluation perplexity", "", kEvalPerplexity, true},
    {"Multi-token prediction", kNats, kEvalMtp, true},
    {"Guesses accepted", "percent of predicted tokens", kEvalAcceptance, false, true},
    {"Balance of experts", "loss, weighted", kEvalBalance, true},
    {"Indexer", "KL divergence, weighted", kEvalIndexer, true},
    {"z-loss", "", kEvalZ, true},
};

constexpr ChartSection kSections[] = {
    {"Loss", kLossCharts},  {kEvaluation, kEvalCharts}, {"Optimizer", kOptimizerCharts},
    {kSpeed, kSpeedCharts}, {kExperts, kExpertCharts},
};

constexpr std::array kNotDrawn = {std::string_view("learning/perplexity"),  // exp(lm_loss)
                                  std::string_view("perf/per_device_tflops"),
                                  std::string_view("perf/per_device_tokens")};

}  // namespace

std::span<const ChartSection> chart_rows() { return kSections; }

bool is_not_drawn(std::string_view metric) {
  if (metric.starts_with("eval/")) return !metric.starts_with("eval/avg_");
  return std::ranges::find(kNotDrawn, metric) != kNotDrawn.end();
}

}  // namespace fathom
