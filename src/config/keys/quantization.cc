// Keys of quantised training; of them `quantization` alone is built, for one recipe.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kQuantization =
    "of quantised training only quantization=fp8 is built, of quantised decoding only quantize_weights=int8";
constexpr std::string_view kOverlap = "overlap of communication in another engine";
constexpr std::string_view kQuantizationDetail = "detail of another quantisation than quantization=fp8, and not built";

constexpr KeyRow kRows[] = {
    {"quantization", bind<&Config::quantization>, "", kBuilt,
     "how linear layers multiply in training; `fp8`: as DeepSeek-V3 does, numbers of 8 bits in blocks of 128 "
     "(docs/fp8.md)"},
    {"use_qwix_quantization", kBool, "false", kRefused, kQuantization},
    {"use_manual_quantization", kBool, "false", kRefused, kQuantization},
    {"quantize_kvcache", kBool, "false", kRefused, kQuantization},
    {"te_comm_gemm_overlap", kString, "disabled", kIgnored, kOverlap},
    {"replicate_quant_scale", kBool, "false", kRefused, kQuantizationDetail},
    {"quant_cfg_path", kString, "", kRefused, kQuantizationDetail},
    {"kv_quant_axis", kString, "heads_and_dkv", kRefused, kQuantizationDetail},
    {"kv_quant_dtype", kString, "int8", kRefused, kQuantizationDetail},
    {"quantization_local_shard_count", kInt, "-1", kRefused, kQuantizationDetail},
    {"weight_quantization_calibration_method", kString, "absmax", kRefused, kQuantizationDetail},
    {"act_quantization_calibration_method", kString, "absmax", kRefused, kQuantizationDetail},
    {"bwd_quantization_calibration_method", kString, "absmax", kRefused, kQuantizationDetail},
    {"weight_sparsity_n", kOptInt, "null", kRefused, kQuantizationDetail},
    {"weight_sparsity_m", kOptInt, "null", kRefused, kQuantizationDetail},
    {"weight_sparsity_update_step", kInt, "10", kRefused, kQuantizationDetail},
    {"weight_sparsity_start_step", kInt, "50", kRefused, kQuantizationDetail},
    {"unquantized_modules", kStrings, "[]", kRefused, kQuantizationDetail},
    {"weight_block_size", kAny, "null", kRefused, kQuantizationDetail},
    {"quantize_mtp", kBool, "false", kRefused, kQuantizationDetail},
    {"quantize_router_proj", kBool, "true", kRefused, kQuantizationDetail},
    {"quantize_logits_proj", kBool, "false", kRefused, kQuantizationDetail},
    {"logits_proj_quant_calibration_method", kString, "", kRefused, kQuantizationDetail},
    {"drhs_grad_quantization_calibration_method", kString, "", kRefused, kQuantizationDetail},
    {"constant_bound_config", kAny, "[]", kRefused, kQuantizationDetail},
};

}  // namespace

KeyGroup quantization_keys() { return {"Quantisation", kRows}; }

}  // namespace fathom
