// What does not fit into memory is said before it is tried.
#pragma once

#include "mesh/batch_sizes.h"
#include "program/state.h"
#include "session/session.h"

namespace fathom {

// The state must fit: on the CPU into the machine's memory, which its devices share, otherwise into each device's; and
// so must the copy that a save takes, into the machine's. Said before anything is compiled. Throws ConfigError with
// both numbers and what to do.
void require_state_memory(const Config& config, const StateSpec& state, const Session& session);

// The batches of this process must fit into the machine's memory, on the CPU with the logits of a micro-batch and the
// inputs of its layers: the least that a step takes. Said before the first batch is made. Throws ConfigError.
void require_batch_memory(const Config& config, const BatchSizes& rows, const Session& session);

// A step of all devices must fit into the machine's memory too, or the kernel ends the process without a word. Other
// hardware says so itself. Throws ConfigError.
void require_work_space(const Config& config, const MemoryStats& step, int64_t devices);

}  // namespace fathom
