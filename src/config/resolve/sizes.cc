// Products of sizes. Each size is in its range; their products are taken in doubles, which do not overflow.
#include <algorithm>

#include "config/resolve/validate.h"

namespace fathom {

namespace {

// 2^48 elements of 4 bytes are a petabyte.
constexpr double kMostElements = 281474976710656.0;

double d(int64_t size) { return static_cast<double>(size); }

struct Counted {
  const char* what;
  double elements;
  const char* keys;  // that make it so
};

// The largest array of each kind, all layers of a stack together.
std::vector<Counted> arrays(const Config& c) {
  const double layers = d(c.num_decoder_layers), heads = d(c.num_query_heads);
  const double head = d(c.qk_nope_head_dim + c.qk_rope_head_dim) + d(c.v_head_dim);
  const double rank = std::max({d(c.q_lora_rank), d(c.kv_lora_rank), d(c.emb_dim)});
  const double shared = d(std::max<int64_t>(c.shared_experts, 1));
  const double experts = d(std::max<int64_t>(c.num_experts, 1)), width = d(std::max<int64_t>(c.moe_mlp_dim, 1));
  return {
      {"the embedding", d(c.vocab_size) * d(c.emb_dim), "vocab_size, base_emb_dim"},
      {"attention", layers * heads * head * rank,
       "base_num_decoder_layers, base_num_query_heads, qk_nope_head_dim, qk_rope_head_dim, v_head_dim, q_lora_rank, "
       "kv_lora_rank, base_emb_dim"},
      {"the dense MLPs", layers * d(c.emb_dim) * d(c.mlp_dim), "base_num_decoder_layers, base_emb_dim, base_mlp_dim"},
      {"the experts", layers * d(c.emb_dim) * width * std::max(experts, shared),
       "base_num_decoder_layers, base_emb_dim, base_moe_mlp_dim, num_experts, shared_experts"},
  };
}

}  // namespace

void check_sizes(const Config& c, Problems& problems) {
  for (const Counted& array : arrays(c)) {
    if (array.elements <= kMostElements) continue;
    problems.add(
        "a matrix of {} would have {:.3g} elements, more than the {:.3g} that can be addressed: make one of {} "
        "smaller",
        array.what, array.elements, kMostElements, array.keys);
  }
  const double widest = std::max({d(c.vocab_size), d(c.emb_dim), d(c.mlp_dim),
                                  d(c.num_query_heads) * d(c.qk_nope_head_dim + c.qk_rope_head_dim + c.v_head_dim)});
  const double row = d(c.max_target_length) * widest * std::max(c.per_device_batch_size, 1.0);
  if (row > kMostElements) {
    problems.add(
        "the activations of one device would have {:.3g} elements, more than the {:.3g} that can be addressed: "
        "make max_target_length={}, per_device_batch_size={} or the model smaller",
        row, kMostElements, c.max_target_length, c.per_device_batch_size);
  }
}

}  // namespace fathom
