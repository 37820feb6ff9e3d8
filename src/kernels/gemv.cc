#include "kernels/gemv.h"

#include <algorithm>
#include <stdexcept>

namespace fathom {

void check_which(const Gemv& g) {
  if (std::ranges::any_of(g.which, [&](int32_t e) { return e < 0 || e >= g.matrices; })) {
    throw std::invalid_argument("a row names a matrix that is not there");
  }
}

}  // namespace fathom
