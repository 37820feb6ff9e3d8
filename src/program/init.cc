#include "program/builder.h"
#include "program/initial_values.h"

namespace fathom {

Program init_state(const StateSpec& spec, const StateChoice& choice) {
  ProgramBuilder b("init_state", Precision::kDefault, spec);
  Value seed = b.arg("seed", {DType::kU32, {{"word", 2}}});
  for (const StateEntry& e : spec.entries) {
    if (!choice(e)) continue;
    Scope scope(b.graph(), e.name);
    b.state_result(e, e.is_parameter() ? initial_value(b.graph(), spec.param(e), spec.arrays[e.array], seed)
                                       : zeros(b.graph(), e.type));
  }
  return b.finish();
}

}  // namespace fathom
