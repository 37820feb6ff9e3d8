#include "report/scalars.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "report/json_lines.h"

namespace fathom {
namespace {

constexpr size_t kMostNames = 200;        // a Series each: 80 KB
constexpr double kMostSteps = 1LL << 53;  // whole numbers that axes can tell apart

// The numbers of one record, taken as the text is read: a million records are not built as trees.
class RecordReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<std::pair<std::string, double>> numbers;
  bool is_object = false;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(int64_t value) override { return add(static_cast<double>(value)); }
  bool number_unsigned(uint64_t value) override { return add(static_cast<double>(value)); }
  bool number_float(double value, const std::string&) override { return add(value); }
  // What metrics/step_log.h writes for numbers that JSON has no word for.
  bool string(std::string& value) override {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (value == "NaN") return add(std::numeric_limits<double>::quiet_NaN());
    if (value == "Infinity") return add(kInfinity);
    if (value == "-Infinity") return add(-kInfinity);
    return true;
  }
  bool binary(nlohmann::json::binary_t&) override { return true; }
  bool start_object(size_t) override {
    if (depth_++ == 0) is_object = true;
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(size_t) override {
    ++depth_;
    return true;
  }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    if (depth_ == 1) name_ = name;
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) override { return false; }

 private:
  bool add(double value) {
    if (depth_ == 1 && is_object) numbers.emplace_back(name_, value);
    return true;
  }
  bool close() {
    --depth_;
    return true;
  }

  std::string name_;
  int depth_ = 0;
};

std::optional<double> step_of(const RecordReader& record) {
  for (const auto& [name, value] : record.numbers) {
    if (name == "step" && value >= 0 && value < kMostSteps && std::floor(value) == value) return value;
  }
  return std::nullopt;
}

void add_record(RunScalars& run, int64_t step, const RecordReader& record) {
  if (run.records > 0 && step <= run.last_step) {
    ++run.out_of_order;
    return;
  }
  if (run.records++ == 0) run.first_step = step;
  run.last_step = step;
  for (const auto& [name, value] : record.numbers) {
    if (name == "step") continue;
    auto at = run.series.find(name);
    if (at == run.series.end() && run.series.size() >= kMostNames) {
      ++run.left_out_names;
      continue;
    }
    if (at == run.series.end()) at = run.series.emplace(name, Series()).first;
    if (at->second.size() > 0 && at->second.last().step == step) continue;  // a name that stands twice
    at->second.add(step, value);
  }
}

}  // namespace

const Series* RunScalars::find(std::string_view name) const {
  const auto at = series.find(name);
  return at == series.end() ? nullptr : &at->second;
}

RunScalars read_scalars(const std::string& path) {
  RunScalars run;
  run.cut = for_each_whole_line(path, [&](int64_t number, std::string_view line) {
    RecordReader record;
    const bool whole = nlohmann::json::sax_parse(line, &record) && record.is_object;
    const std::optional<double> step = whole ? step_of(record) : std::nullopt;
    if (!step) {
      throw FormatError(path, fmt::format("line {} is {}, so this is not a run's metrics.jsonl", number,
                                          whole ? "a record without a whole number \"step\"" : "no JSON object"));
    }
    add_record(run, static_cast<int64_t>(*step), record);
  });
  if (run.records == 0) throw FormatError(path, "holds no whole record yet: there is nothing to report");
  return run;
}

}  // namespace fathom
