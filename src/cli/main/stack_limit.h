// The size of the program's stacks.
#pragma once

namespace fathom {

// Runs the program anew with a larger stack when it was started with a small one (`ulimit -s`), which recursion in a
// plugin's compiler would overflow without a word. Throws ConfigError when the system does not grant it.
void require_stack(char** argv);

}  // namespace fathom
