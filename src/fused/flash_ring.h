// Attention where the sequence is split and the heads are not: keys and values go round the devices (ring attention,
// Liu et al. 2023), each of which meets them with its own queries.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace fathom {

// In a per-device region: the op of fused/flash_attention.cc, forward or its derivative, on this device's parts of its
// operands, the sequence split along `mesh_axes` in order. A device with the first places sees few keys and waits for
// the others: nothing balances the causal half. Keys and values travel while those before are met.
using RingForm = std::vector<Value>(std::span<const Value> local, const FusedAttrs& attrs,
                                    const std::vector<std::string>& mesh_axes);
RingForm ring_attention;
RingForm ring_attention_grad;

}  // namespace fathom
