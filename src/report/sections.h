// The parts of a report's page, each as HTML.
#pragma once

#include <string>

#include "report/run.h"

namespace fathom {

// All charts of scalars, in sections by what they are about; the experts' loads are one of them.
std::string chart_sections(const RunData& run);
// The loads of experts over time and at the end: figures.
std::string load_figures(const RunData& run, const RunLoads& loads);
// The evaluations one by one; empty when there is none.
std::string evaluation_table(const RunScalars& scalars);
// The configuration: what differs from the defaults, then all.
std::string settings_section(const RunData& run);

}  // namespace fathom
