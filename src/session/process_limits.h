// What the system must grant the process before a plugin is loaded: plugins abort without a word where it does not.
#pragma once

namespace fathom {

// Throws ConfigError, which names the limit and the shell's command for it, when the process cannot have as many
// threads as a plugin starts.
void require_threads();

}  // namespace fathom
