#include <fmt/format.h>

#include <algorithm>

#include "report/html.h"
#include "report/sections.h"

namespace fathom {
namespace {

std::string row(const Setting& s, bool with_default) {
  std::string out = fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td>", html(s.key), html(s.value));
  if (with_default)
    out += fmt::format("<td>{}</td>", s.known ? html(s.default_value) : "<em>no key of this fathom</em>");
  return out + "</tr>\n";
}

std::string table(const std::vector<Setting>& settings, bool differing) {
  std::string out = fmt::format(
      "<div class=\"scroll\"><table class=\"settings\"><thead><tr><th>key</th><th>value</th>{}"
      "</tr></thead>\n<tbody>\n",
      differing ? "<th>default</th>" : "");
  for (const Setting& s : settings) {
    if (!differing || s.differs()) out += row(s, differing);
  }
  return out + "</tbody></table></div>\n";
}

}  // namespace

std::string settings_section(const RunData& run) {
  if (run.settings.empty()) return "";
  const auto differing = std::ranges::count_if(run.settings, &Setting::differs);
  return fmt::format(
      "<section>\n<h2>Configuration</h2>\n<details open><summary>Keys that differ from the "
      "defaults: {}</summary>\n{}</details>\n"
      "<details><summary>All {} keys</summary>\n{}</details>\n</section>\n",
      differing, table(run.settings, true), run.settings.size(), table(run.settings, false));
}

}  // namespace fathom
