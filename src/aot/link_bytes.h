// What a compiled program sends over the links between devices.
#pragma once

#include <string_view>

namespace fathom {

// Bytes that one device receives in one run of an optimized program (an HloModuleProto): its collectives, in loops as
// often as they turn. A gather brings the others' parts, a reduction by rings goes round once to add and once more
// where everyone wants the sum. Throws FormatError.
double link_bytes(std::string_view hlo_module, int64_t devices);

}  // namespace fathom
