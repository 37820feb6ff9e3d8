#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "eval/verify.h"

namespace fathom {
namespace {

std::string_view name_of(CheckStatus status) {
  switch (status) {
    case CheckStatus::kOk:
      return "ok";
    case CheckStatus::kFailed:
      return "FAILED";
    case CheckStatus::kAbsent:
      break;
  }
  return "absent";
}

// The part of a row before the tolerance.
std::string finding(const CheckRow& row) {
  if (row.status == CheckStatus::kAbsent) return row.where;
  // An infinite difference is one that has no size: the place says what is wrong.
  std::string worst = std::isinf(row.worst) ? "-" : fmt::format("{:.3g}", row.worst);
  return fmt::format("{:<9} {}", worst, row.where);
}

std::string tolerance(const CheckRow& row) {
  if (row.status == CheckStatus::kAbsent) return "";
  return row.tolerance > 0 ? fmt::format("tolerance {:g}", row.tolerance) : "exact";
}

std::string json_line(const CheckRow& row) {
  nlohmann::ordered_json object{{"check", row.name}, {"status", name_of(row.status)}};
  if (row.status == CheckStatus::kAbsent) {
    object["reason"] = row.where;
  } else {
    object["worst"] = std::isinf(row.worst) ? nlohmann::ordered_json() : nlohmann::ordered_json(row.worst);
    object["where"] = row.where;
    object["tolerance"] = row.tolerance;
  }
  return object.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

VerifySummary summarise(const std::vector<CheckRow>& rows, const VerifyOptions& options) {
  VerifySummary out;
  for (const CheckRow& row : rows) {
    if (row.status == CheckStatus::kOk) ++out.passed;
    if (row.status == CheckStatus::kFailed) ++out.failed;
    if (row.status == CheckStatus::kAbsent && !options.only.empty()) ++out.failed;
  }
  return out;
}

std::string format_report(const std::vector<CheckRow>& rows, const VerifySummary& summary, bool json) {
  std::string out;
  size_t names = 0, findings = 0;
  for (const CheckRow& row : rows) {
    names = std::max(names, row.name.size());
    if (row.status != CheckStatus::kAbsent) findings = std::max(findings, finding(row).size());
  }
  for (const CheckRow& row : rows) {
    if (json) {
      out += json_line(row) + "\n";
      continue;
    }
    std::string line = fmt::format("{:<{}}  {:<6}  {:<{}}  {}", row.name, names, name_of(row.status), finding(row),
                                   findings, tolerance(row));
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out + fmt::format("verify: {} passed, {} failed\n", summary.passed, summary.failed);
}

}  // namespace fathom
