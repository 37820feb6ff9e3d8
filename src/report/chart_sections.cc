#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

#include "report/charts.h"
#include "report/html.h"
#include "report/line_chart.h"
#include "report/scale.h"
#include "report/sections.h"

namespace fathom {
namespace {

constexpr size_t kMostOthers = 20;  // charts of scalars without a row: 30 KB of the page each
constexpr size_t kMostEvaluations = 40;

bool all_zero(const Series& series) {
  return series.finite() == series.size() && series.least().value == 0 && series.greatest().value == 0;
}

struct SectionText {
  std::string figures;
  std::vector<std::string> zero;  // names of what is 0 throughout: said, not drawn
};

// The lines of a chart that the run has. One that is the same as the line before it gives that its name.
std::vector<ChartLine> lines_of(const RunScalars& scalars, const ChartRow& row, std::vector<std::string>& zero) {
  std::vector<ChartLine> out;
  for (const LineRow& line : row.lines) {
    const Series* series = scalars.find(line.metric);
    if (series == nullptr) continue;
    if (all_zero(*series)) {
      zero.emplace_back(line.metric);
    } else if (!out.empty() && same_values(*out.back().series, *series)) {
      out.back().name += fmt::format(" = {}", line.name);
    } else {
      out.push_back({.name = std::string(line.name),
                     .series = series,
                     .points = line.points,
                     .smooth = row.smooth && !line.points});
    }
  }
  return out;
}

void add_chart(SectionText& section, const RunData& run, const ChartRow& row) {
  std::vector<ChartLine> lines = lines_of(run.scalars, row, section.zero);
  if (lines.empty()) return;
  section.figures += chart_html({.title = row.title,
                                 .unit = std::string(row.unit),
                                 .lines = std::move(lines),
                                 .log_if_wide = row.log_if_wide,
                                 .from_zero = row.from_zero,
                                 .wide = row.wide},
                                run.scalars.first_step, run.scalars.last_step);
}

std::string section_html(std::string_view title, const SectionText& section, const std::string& more) {
  std::string out = fmt::format("<section>\n<h2>{}</h2>\n", html(title));
  if (!section.figures.empty()) out += "<div class=\"cards\">\n" + section.figures + "</div>\n";
  if (!section.zero.empty()) {
    out += fmt::format("<p class=\"note\">0 in every step: {}.</p>\n",
                       html(fmt::format("{}", fmt::join(section.zero, ", "))));
  }
  return out + more + "</section>\n";
}

// What a section says or shows beside its charts.
std::string beside(std::string_view title, const RunData& run) {
  if (title == kEvaluation) {
    const std::string table = evaluation_table(run.scalars);
    return table.empty() ? "<p class=\"note\">The run was not evaluated (eval_interval).</p>\n" : table;
  }
  if (title == kExperts && !run.loads) {
    return "<p class=\"note\">There are no loads of experts (expert_load.jsonl): a model without experts, or no step "
           "of "
           "log_period yet.</p>\n";
  }
  if (title == kSpeed && run.scalars.find("perf/device_memory_gb") == nullptr) {
    return "<p class=\"note\">Memory is not among the metrics of this run (perf/device_memory_gb): its plugin did not "
           "tell.</p>\n";
  }
  return "";
}

// Scalars that no row draws.
std::string other_section(const RunData& run) {
  std::set<std::string_view> drawn;
  for (const ChartSection& section : chart_rows()) {
    for (const ChartRow& row : section.charts) {
      for (const LineRow& line : row.lines) drawn.insert(line.metric);
    }
  }
  SectionText section;
  size_t others = 0;
  for (const auto& [name, series] : run.scalars.series) {
    if (drawn.contains(name) || is_not_drawn(name) || ++others > kMostOthers) continue;
    const LineRow line[] = {{name, name}};
    add_chart(section, run, {.title = name, .unit = "", .lines = line, .log_if_wide = true});
  }
  if (others == 0) return "";
  std::string more;
  if (others > kMostOthers)
    more = fmt::format("<p class=\"note\">{} more scalars are not drawn.</p>\n", others - kMostOthers);
  return section_html("Other scalars", section, more);
}

}  // namespace

std::string chart_sections(const RunData& run) {
  std::string out;
  for (const ChartSection& rows : chart_rows()) {
    SectionText section;
    for (const ChartRow& row : rows.charts) add_chart(section, run, row);
    if (rows.title == kExperts && run.loads) section.figures += load_figures(run, *run.loads);
    out += section_html(rows.title, section, beside(rows.title, run));
  }
  return out + other_section(run);
}

std::string evaluation_table(const RunScalars& scalars) {
  std::vector<std::pair<std::string_view, const Series*>> columns;
  for (const auto& [name, series] : scalars.series) {
    if (name.starts_with("eval/avg_") && !all_zero(series)) columns.emplace_back(name, &series);
  }
  if (columns.empty()) return "";
  std::string out =
      "<details open><summary>Evaluations one by one</summary>\n<div class=\"scroll\"><table class=\"values\">"
      "<thead><tr><th>after step</th>";
  for (const auto& [name, series] : columns) out += fmt::format("<th>{}</th>", html(name.substr(name.find('/') + 1)));
  out += "</tr></thead>\n<tbody>\n";
  const std::span<const Bucket> rows = columns.front().second->buckets();
  const size_t skipped = rows.size() > kMostEvaluations ? rows.size() - kMostEvaluations : 0;
  for (const Bucket& row : rows.subspan(skipped)) {
    const std::string last = row.first == row.last ? "" : fmt::format(" to {}, mean", count_text(row.last));
    out += fmt::format("<tr><th scope=\"row\">{}{}</th>", count_text(row.first), last);
    for (const auto& [name, series] : columns) {
      const auto at = std::ranges::find(series->buckets(), row.first, &Bucket::first);
      const bool there = at != series->buckets().end();
      const std::string text = !there ? "" : at->broken() ? "not finite" : number_text(at->mean());
      out += fmt::format("<td>{}</td>", html(text));
    }
    out += "</tr>\n";
  }
  out += "</tbody></table></div>\n";
  if (skipped > 0) out += fmt::format("<p class=\"note\">{} earlier ones are left out here.</p>\n", skipped);
  return out + "</details>\n";
}

}  // namespace fathom
