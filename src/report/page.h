// A run as one HTML page that needs nothing else: no script, no file, no address.
#pragma once

#include <string>

#include "report/run.h"

namespace fathom {

// The same run gives the same bytes.
std::string report_page(const RunData& run);

}  // namespace fathom
