// Keys of decoding, of scores of questions, and of the peer's servers.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"
#include "config/keys/ranges.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kServing = "belongs to the peer's decoding and is not built";
constexpr std::string_view kCacheLayout = "how the peer lays its caches out; the tokens are the same";
constexpr std::string_view kServer = "belongs to the peer's server and its benchmark";
constexpr std::string_view kVllm = "the peer's link to vLLM is not built";

constexpr KeyRange kShots = {.least = 0, .most = 5};

constexpr KeyRow kRows[] = {
    {"prompt", bind<&Config::prompt>, "I love to", kBuilt, "text to continue"},
    {"max_prefill_predict_length", bind<&Config::max_prefill_predict_length>, "64", kBuilt,
     "how many tokens a prompt of `decode` may have", kSize},
    {"quantize_weights", bind<&Config::quantize_weights>, "none", kBuilt,
     "how weights that are only read are held; `int8`: as numbers of 8 bits, each group of 128 with a scale"},
    {"decode_sampling_strategy", bind<&Config::decode_sampling_strategy>, "greedy", kBuilt,
     "how `decode` takes the next token (docs/decode.md)"},
    {"decode_sampling_temperature", bind<&Config::decode_sampling_temperature>, "1.0", kBuilt,
     "logits are divided by it before a token is drawn", kFactor},
    {"decode_sampling_top_k", bind<&Config::decode_sampling_top_k>, "0", kBuilt,
     "of `topk` and `composite`: how many tokens are in the draw", kSizeOrNone},
    {"decode_sampling_nucleus_p", bind<&Config::decode_sampling_nucleus_p>, "-1.0", kBuilt,
     "of `nucleus` and `composite`: the probability that the tokens in the draw have together", kFractionOrMinusOne},
    {"use_chunked_prefill", bind<&Config::use_chunked_prefill>, "false", kBuilt,
     "whether `decode` takes a prompt in pieces of prefill_chunk_size tokens; otherwise in pieces of 2,048"},
    {"prefill_chunk_size", bind<&Config::prefill_chunk_size>, "256", kBuilt, "tokens of a piece of a prompt at most",
     kSize},
    {"decode_draft", bind<&Config::decode_draft>, "none", kBuilt,
     "mtp: the module for multi-token prediction guesses tokens, and the model checks them; greedy only"},
    {"autoregressive_decode_assert", bind<&Config::autoregressive_decode_assert>, "", kBuilt,
     "what the text of `decode` must begin with, or the command fails"},
    {"mmlu_path", bind<&Config::mmlu_path>, "", kBuilt,
     "the questions of `mmlu`: a file or folder, or a name such as cais/mmlu in the Hub's cache (docs/mmlu.md)"},
    {"num_shots", bind<&Config::num_shots>, "0", kBuilt, "questions with their answers in front of each that is asked",
     kShots},
    {"system_prompt", kString, "", kRefused, kServing},
    {"load_from_prefill_dir", kBool, "false", kRefused, kServing},
    {"prefill_cache_dir", kString, "", kRefused, kServing},
    {"model_call_mode", kString, "", kRefused, kServing},
    {"multi_sampling", kBool, "false", kRefused, kServing},
    {"return_log_prob", kBool, "false", kRefused, kServing},
    {"stack_prefill_result_cache", kBool, "false", kIgnored, kCacheLayout},
    {"prefill_cache_axis_order", kString, "1,2,0,3", kIgnored, kCacheLayout},
    {"ar_cache_axis_order", kString, "1,2,0,3", kIgnored, kCacheLayout},
    {"compute_axis_order", kString, "0,1,2,3", kIgnored, kCacheLayout},
    {"reshape_q", kBool, "false", kIgnored, kCacheLayout},
    {"inference_server", kString, "MaxtextInterleavedServer", kIgnored, kServer},
    {"prefill_slice", kString, "v5e-16", kIgnored, kServer},
    {"generate_slice", kString, "v5e-16", kIgnored, kServer},
    {"inference_microbenchmark_prefill_lengths", kString, "64,128,256,512,1024", kIgnored, kServer},
    {"inference_microbenchmark_stages", kString, "prefill,generate", kIgnored, kServer},
    {"inference_microbenchmark_loop_iters", kInt, "10", kIgnored, kServer},
    {"inference_microbenchmark_log_file_path", kString, "", kIgnored, kServer},
    {"inference_microbenchmark_num_samples", kAny, "[1, 2, 3, 4, 5]", kIgnored, kServer},
    {"inference_metadata_file", kString, "", kIgnored, kServer},
    {"inference_benchmark_test", kBool, "false", kIgnored, kServer},
    {"enable_prefix_caching", kBool, "false", kIgnored, kServer},
    {"prefix_caching_hbm_byte", kInt, "10000000000", kIgnored, kServer},
    {"prefix_caching_dram_byte", kInt, "100000000000", kIgnored, kServer},
    {"enable_model_warmup", kBool, "false", kIgnored, kServer},
    {"enable_llm_inference_pool", kBool, "false", kIgnored, kServer},
    {"rollout_tensor_parallelism", kInt, "-1", kRefused, kVllm},
    {"kv_cache_buffer", kInt, "256", kRefused, kVllm},
    {"hbm_utilization_vllm", kFloat, "0.72", kRefused, kVllm},
    {"swap_space_vllm_gb", kInt, "2", kRefused, kVllm},
    {"enable_dp_attention", kBool, "false", kRefused, kVllm},
    {"enable_expert_parallel", kBool, "false", kRefused, kVllm},
    {"async_scheduling", kBool, "false", kRefused, kVllm},
    {"max_num_batched_tokens", kOptInt, "null", kRefused, kVllm},
    {"max_num_seqs", kOptInt, "null", kRefused, kVllm},
    {"stop_strings", kStrings, "null", kRefused, kVllm},
    {"vllm_additional_config", kAny, "{}", kRefused, kVllm},
    {"vllm_hf_overrides", kAny, "{}", kRefused, kVllm},
    {"vllm_hf_config_path", kString, "", kRefused, kVllm},
    {"use_standalone_converter", kBool, "false", kRefused, kVllm},
    {"use_weight_converter", kBool, "true", kRefused, kVllm},
    {"weight_sync_debug", kBool, "false", kRefused, kVllm},
    {"log_weight_sync_time", kBool, "false", kRefused, kVllm},
    {"vllm_load_format", kString, "dummy", kRefused, kVllm},
    {"debug_converter", kBool, "false", kRefused, kVllm},
    {"gcs_debug_path", kString, "", kRefused, kVllm},
    {"free_kv_cache_during_weight_sync", kBool, "true", kRefused, kVllm},
    {"vllm_block_size", kOptInt, "null", kRefused, kVllm},
    {"use_raiden_ffi", kOptBool, "null", kRefused, kVllm},
    {"rollout_backend", kString, "maxtext", kRefused, kVllm},
    {"kv_tp_size", kInt, "1", kRefused, kVllm},
    {"moe_mlp_tp_size", kInt, "1", kRefused, kVllm},
};

}  // namespace

KeyGroup decode_keys() { return {"Decoding and serving", kRows}; }

}  // namespace fathom
