// What does not fit into memory is said before it is tried.
#pragma once

#include "program/state.h"
#include "session/session.h"

namespace fathom {

// The state must fit: on the CPU into the machine's memory, which its devices share, otherwise into each device's. Said
// before anything is compiled. Throws ConfigError with both numbers and what to do.
void require_state_memory(const Config& config, const StateSpec& state, const Session& session);

// A step of all devices must fit into the machine's memory too, or the kernel ends the process without a word. Other
// hardware says so itself. Throws ConfigError.
void require_work_space(const Config& config, const MemoryStats& step, int64_t devices);

}  // namespace fathom
