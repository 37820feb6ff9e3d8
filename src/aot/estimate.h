// What a program asks of a machine at least, before anyone pays for it.
#pragma once

#include <optional>
#include <string>

#include "aot/staged_program.h"
#include "runtime/compiled_program.h"
#include "runtime/machines.h"

namespace fathom {

// Of one device in one run.
struct Estimate {
  double needed_flops = 0, executed_flops = 0;  // as in StagedProgram
  std::optional<double> link_bytes;             // received from other devices; nothing before it is compiled
  double memory_bytes = 0;                      // read and written at least; 0 where that is not known
};

// `compiled` is null where the program is not compiled, or does not fit.
Estimate estimate(const StagedProgram& program, const CompiledProgram* compiled);

// One line: what the model needs, what the program does, what goes over the links, and the time that the slowest of
// these takes at least.
std::string estimate_line(const Estimate& of, const ChipPeaks& peaks);

}  // namespace fathom
