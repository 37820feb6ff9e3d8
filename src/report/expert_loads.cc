#include "report/expert_loads.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <utility>

#include "base/error.h"
#include "report/json_lines.h"

namespace fathom {
namespace {

// Five times the layers and more than the experts of any model of the family.
constexpr size_t kMostLayers = 300, kMostExperts = 4096;

struct LoadLine {
  int64_t step = 0, layer = 0;
  std::vector<double> counts;
};

std::optional<int64_t> whole_number(const nlohmann::json& line, const char* name) {
  const auto at = line.find(name);
  if (at == line.end() || !at->is_number_integer() || at->get<int64_t>() < 0) return std::nullopt;
  return at->get<int64_t>();
}

std::optional<LoadLine> parsed(std::string_view text) {
  const nlohmann::json line = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!line.is_object()) return std::nullopt;
  const std::optional<int64_t> step = whole_number(line, "step"), layer = whole_number(line, "layer");
  const auto counts = line.find("counts");
  if (!step || !layer || counts == line.end() || !counts->is_array() || counts->empty()) return std::nullopt;
  if (*step >= int64_t{1} << 53 || counts->size() > kMostExperts) return std::nullopt;
  LoadLine out{.step = *step, .layer = *layer};
  for (const nlohmann::json& count : *counts) {
    if (!count.is_number() || count.get<double>() < 0) return std::nullopt;
    out.counts.push_back(count.get<double>());
  }
  return out;
}

double quantile(const std::vector<double>& sorted, double part) {
  return sorted[static_cast<size_t>(std::lround(part * static_cast<double>(sorted.size() - 1)))];
}

// The layers of one step, gathered until the next one begins.
class StepLoads {
 public:
  explicit StepLoads(RunLoads& run) : run_(run) {}

  // Whether the line belongs where it stands: steps in order, a layer once, no more of them than a model has.
  bool add(const LoadLine& line) {
    if (begun_ && line.step < step_) return false;
    if (begun_ && line.step > step_) finish();
    begun_ = true;
    step_ = line.step;
    const double sum = std::accumulate(line.counts.begin(), line.counts.end(), 0.0);
    std::vector<double> loads(line.counts.size(), 0.0);
    const double mean = sum / static_cast<double>(loads.size());
    if (mean > 0) std::ranges::transform(line.counts, loads.begin(), [&](double count) { return count / mean; });
    return layers_.emplace(line.layer, std::move(loads)).second && layers_.size() <= kMostLayers;
  }

  void finish() {
    if (layers_.empty()) return;
    std::vector<double> all;
    for (const auto& [layer, loads] : layers_) {
      all.insert(all.end(), loads.begin(), loads.end());
      if (run_.of_layers.size() == kMostLayers && !run_.of_layers.contains(layer)) continue;
      run_.of_layers.try_emplace(layer, RunLoads::kColumns).first->second.add(step_, std::ranges::max(loads));
    }
    std::ranges::sort(all);
    run_.largest.add(step_, all.back());
    run_.upper.add(step_, quantile(all, 0.9));
    run_.median.add(step_, quantile(all, 0.5));
    run_.lower.add(step_, quantile(all, 0.1));
    run_.smallest.add(step_, all.front());
    run_.idle.add(step_, static_cast<double>(std::ranges::count(all, 0.0)));
    run_.last_step = step_;
    run_.last = std::exchange(layers_, {});
  }

 private:
  RunLoads& run_;
  bool begun_ = false;
  int64_t step_ = 0;
  std::map<int64_t, std::vector<double>> layers_;
};

}  // namespace

int64_t RunLoads::experts() const {
  int64_t out = 0;
  for (const auto& [layer, loads] : last) out += std::ssize(loads);
  return out;
}

RunLoads read_loads(const std::string& path) {
  RunLoads run;
  StepLoads step(run);
  run.cut = for_each_whole_line(path, [&](int64_t number, std::string_view text) {
    const std::optional<LoadLine> line = parsed(text);
    if (!line || !step.add(*line)) {
      throw FormatError(path, fmt::format("line {} is not a step's {{step, layer, counts}} in its place, so this is "
                                          "not a run's expert_load.jsonl",
                                          number));
    }
  });
  // Of a step that is being written some layers may be missing.
  if (!run.cut || run.largest.size() == 0) step.finish();
  return run;
}

}  // namespace fathom
