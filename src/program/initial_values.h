// How a parameter's array starts.
#pragma once

#include "base/host_array.h"
#include "graph/ops.h"
#include "model/params.h"

namespace fathom {

// `seed`: u32 [2]. An element is a function of the seed, the row's name, the layer and its place in that layer's
// tensor: the numbers depend neither on the mesh nor on scan_layers, and what a device holds it makes by itself.
Value initial_value(Graph& g, const Param& param, const ParamArray& array, Value seed);

// All 64 bits of init_weights_seed as that argument.
HostArray seed_words(int64_t seed);

}  // namespace fathom
