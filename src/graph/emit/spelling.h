// How StableHLO spells types, numbers and attributes in the generic op form.
#pragma once

#include <string>
#include <vector>

#include "base/signature.h"
#include "graph/graph.h"

namespace fathom {

// "tensor<2x16xf32>"
std::string type_text(const TensorType& type);
// "array<i64: 0, 1>"
std::string array_text(const std::vector<int64_t>& xs);
// The literal of a splat: "1.0", "1.0e-06", "7", "true"; infinities and NaN in hexadecimal.
std::string number_text(double value, DType dtype);
// `#sdy.sharding<@mesh, [{"fsdp"}, {}]>`; `rank` axes.
std::string sharding_text(const Sharding& sharding, int rank);
// The same without the dialect's prefix, for lists of shardings.
std::string bare_sharding_text(const Sharding& sharding, int rank);
// The attribute dictionary of a node without its braces; empty when it has none. `pairs` as in "dimension = 0 : i64".
std::string attribute_text(const Node& node);
// That of a comparison.
std::string compare_text(const CompareAttrs& compare);
// That of a custom call; `channel` where it is a collective.
std::string call_text(const CallAttrs& call, size_t results, int64_t channel = 0);
// That of a collective, which depends on the mesh. Two that may run at the same time must not share a channel: a device
// would meet another's there.
std::string collective_text(const Node& node, const Mesh& mesh, int64_t channel);

}  // namespace fathom
