#include "report/page.h"

#include <fmt/format.h>

#include <cmath>

#include "config/keys/value.h"
#include "report/html.h"
#include "report/page_style.h"
#include "report/scale.h"
#include "report/sections.h"

namespace fathom {
namespace {

// The browser itself then refuses to load or run anything.
constexpr std::string_view kPolicy = "default-src 'none'; style-src 'unsafe-inline'";

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds)) return number_text(seconds);
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto minutes = std::llround(seconds / 60);
  if (minutes < 60) return fmt::format("{} min", minutes);
  if (minutes < 2880) return fmt::format("{} h {} min", minutes / 60, minutes % 60);
  return fmt::format("{} d {} h", minutes / 1440, minutes % 1440 / 60);
}

std::string tile(std::string_view name, const std::string& value, const std::string& more) {
  return fmt::format("<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>\n", html(name), html(value), html(more));
}

std::string loss_tile(std::string_view name, const Series* loss) {
  if (loss == nullptr) return "";
  const std::string least = loss->finite() == 0 ? "never finite"
                                                : fmt::format("least {} at {}", number_text(loss->least().value),
                                                              count_text(loss->least().step));
  return tile(name, number_text(loss->last().value), least);
}

std::string tiles(const RunData& run) {
  const RunScalars& scalars = run.scalars;
  std::string planned = setting(run.settings, "steps");
  if (int64_t steps = 0; parse_int(planned, steps)) planned = count_text(steps);
  std::string out = "<dl class=\"tiles\">\n";
  out += tile("Steps", count_text(scalars.records),
              fmt::format("{} to {}{}", count_text(scalars.first_step), count_text(scalars.last_step),
                          planned.empty() ? "" : ", of " + planned + " planned"));
  out += loss_tile("Loss, last step", scalars.find("learning/loss"));
  out += loss_tile("Evaluation loss, last", scalars.find("eval/avg_loss"));
  const Series *tokens = scalars.find("perf/per_device_tokens"), *seconds = scalars.find("perf/step_time_seconds");
  if (tokens != nullptr && seconds != nullptr && seconds->sum() > 0) {
    out += tile("Tokens/s a device", number_text(tokens->sum() / seconds->sum()), "mean over all steps");
    out += tile("Tokens a device", tick_text(tokens->sum(), 0), "padding included");
    out += tile("Time in steps", duration_text(seconds->sum()), "evaluation left aside");
  }
  return out + "</dl>\n";
}

std::string heading(const RunData& run) {
  std::string sub;
  for (const char* key : {"model_name", "hardware", "dtype"}) {
    const std::string value = setting(run.settings, key);
    if (!value.empty()) sub += (sub.empty() ? "" : " \xC2\xB7 ") + value;
  }
  std::string out = fmt::format("<header>\n<h1>{}</h1>\n<p class=\"sub\">{}{}{}</p>\n", html(run.name), html(sub),
                                sub.empty() ? "" : "<br>", html(run.folder));
  for (const std::string& note : run.notes) out += fmt::format("<p class=\"warn\">{}</p>\n", html(note));
  return out + tiles(run) + "</header>\n";
}

}  // namespace

std::string report_page(const RunData& run) {
  return fmt::format(
             "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
             "<title>{} \xC2\xB7 fathom report</title>\n<style>{}</style>\n</head>\n<body>\n",
             kPolicy, html(run.name), kPageStyle) +
         heading(run) + "<main>\n" + chart_sections(run) + settings_section(run) +
         "</main>\n<footer>Made by fathom report from metrics.jsonl, expert_load.jsonl and config.yml.</footer>\n"
         "</body>\n</html>\n";
}

}  // namespace fathom
