// Keys of rematerialisation: the policy and, for remat_policy=custom, the tensors it keeps.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kOtherParts = "belongs to other model families";

constexpr KeyRow kRows[] = {
    {"remat_policy", bind<&Config::remat_policy>, "full", kBuilt,
     "what a layer keeps for its backward pass besides its input; `none` keeps everything, `*_offloaded` in the host's "
     "memory, `custom` what `decoder_layer_input` and its like say: `device` (kept), `offload` (kept in the host's "
     "memory, on TPUs) or `remat` (computed again)"},
    {"decoder_layer_input", bind<&Config::decoder_layer_input>, "device", kBuilt,
     "custom policy: input of a layer; always kept where layers are recomputed, `offload` in the host's memory"},
    {"context", bind<&Config::context>, "remat", kBuilt,
     "custom policy: result of attention before the output projection"},
    {"attention_out", bind<&Config::attention_out>, "remat", kBuilt, "custom policy: result of the attention block"},
    {"query_proj", bind<&Config::query_proj>, "remat", kBuilt, "custom policy: query heads"},
    {"key_proj", bind<&Config::key_proj>, "remat", kBuilt, "custom policy: key heads"},
    {"value_proj", bind<&Config::value_proj>, "remat", kBuilt, "custom policy: value heads"},
    {"kv_proj", bind<&Config::kv_proj>, "remat", kBuilt, "custom policy: key and value heads together"},
    {"qkv_proj", bind<&Config::qkv_proj>, "remat", kIgnored,
     "custom policy: the projections of query, key and value are not fused: query_proj, key_proj, value_proj"},
    {"out_proj", bind<&Config::out_proj>, "remat", kBuilt, "custom policy: output projection of attention"},
    {"query_wa_proj", bind<&Config::query_wa_proj>, "remat", kBuilt, "custom policy: compressed query"},
    {"kv_wa_proj", bind<&Config::kv_wa_proj>, "remat", kBuilt, "custom policy: compressed key and value"},
    {"mla_q", bind<&Config::mla_q>, "remat", kBuilt,
     "custom policy: query of latent attention, compressed and normalised"},
    {"mla_kv", bind<&Config::mla_kv>, "remat", kBuilt,
     "custom policy: key and value of latent attention, compressed and normalised"},
    {"mlpwi", bind<&Config::mlpwi>, "remat", kIgnored,
     "custom policy: the input projections of the MLP are not fused: mlpwi_0, mlpwi_1"},
    {"mlpwi_0", bind<&Config::mlpwi_0>, "remat", kBuilt, "custom policy: gate projection of the MLP"},
    {"mlpwi_1", bind<&Config::mlpwi_1>, "remat", kBuilt, "custom policy: up projection of the MLP"},
    {"mlpwo", bind<&Config::mlpwo>, "remat", kBuilt, "custom policy: down projection of the MLP"},
    {"moe_mlpwi_0", bind<&Config::moe_mlpwi_0>, "remat", kBuilt, "custom policy: gate projection of the experts"},
    {"moe_mlpwi_1", bind<&Config::moe_mlpwi_1>, "remat", kBuilt, "custom policy: up projection of the experts"},
    {"moe_mlpwo", bind<&Config::moe_mlpwo>, "remat", kBuilt, "custom policy: down projection of the experts"},
    {"moe_x_sorted", bind<&Config::moe_x_sorted>, "remat", kBuilt, "custom policy: tokens sorted by expert"},
    {"moe_routing_maps", bind<&Config::moe_routing_maps>, "remat", kBuilt,
     "custom policy: choice and order of the experts"},
    {"indexer_cutoff_threshold", bind<&Config::indexer_cutoff_threshold>, "remat", kIgnored,
     "custom policy: what is kept of the choice is two numbers a query in any case"},
    {"engram", kString, "remat", kRefused, kOtherParts},
    {"remat_policy_for_vit", kString, "minimal", kRefused, kOtherParts},
};

}  // namespace

KeyGroup remat_keys() { return {"Rematerialisation", kRows}; }

}  // namespace fathom
