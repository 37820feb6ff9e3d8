#include "model/mtp.h"

#include "fused/rms_norm.h"
#include "model/projection.h"

namespace fathom {

Value next_in_document(Value x, Value segments) {
  auto next = [](Value v) { return pad(slice(v, "s", 1, v.size("s")), "s", 0, 1); };
  Value same = logical_and(equal(segments, next(segments)), not_equal(segments, 0));
  return select(same, next(x), 0);
}

Value joined(const ModelConfig& m, const LayerWeights& w, Value embedding, Value hidden) {
  Value both = concatenate({rms_norm(embedding, w.embedding_norm, "d", m.norm_epsilon),
                            rms_norm(hidden, w.hidden_norm, "d", m.norm_epsilon)},
                           "d");
  return projection(m, rename(both, "d", "dd"), w.projection, "dd");
}

}  // namespace fathom
