#include "config/resolve/validate.h"

#include <gmock/gmock.h>

#include "config/resolve/resolve_testing.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// What is said of a small model with these keys besides.
std::string says(Args more) {
  more.emplace_back("override_model_config=True");
  return refusal(tiny(more));
}

TEST(Validate, RefusesSizesThatAreNone) {
  for (const char* key :
       {"base_emb_dim", "base_num_query_heads", "base_num_decoder_layers", "kv_lora_rank", "qk_nope_head_dim",
        "v_head_dim", "base_mlp_dim", "num_experts", "base_moe_mlp_dim", "num_experts_per_tok", "max_target_length",
        "gradient_accumulation_steps", "num_epoch", "cpu_device_count", "compile_topology_num_slices"}) {
    std::string word = std::string(key) + "=0";
    EXPECT_THAT(says({word}), HasSubstr(word + ": must be at least 1"));
  }
  EXPECT_THAT(says({"vocab_size=1"}), HasSubstr("vocab_size=1: must be at least 2"));
  EXPECT_THAT(says({"q_lora_rank=-1"}), HasSubstr("q_lora_rank=-1: must be at least 0"));
  EXPECT_THAT(says({"first_num_dense_layers=-1"}), HasSubstr("first_num_dense_layers=-1: must be at least 0"));
}

// One line each, before anything is allocated.
TEST(Validate, RefusesNumbersOutOfRange) {
  for (const char* word : {"cpu_device_count=4294967296",
                           "cpu_device_count=100000",
                           "adam_weight_decay=-1",
                           "adam_weight_decay=nan",
                           "adam_weight_decay=inf",
                           "z_loss_multiplier=-1e-4",
                           "learning_rate=1e300",
                           "learning_rate=-1",
                           "learning_rate_schedule_steps=-2",
                           "steps=4294967296",
                           "warmup_steps_fraction=nan",
                           "rope_factor=-40",
                           "rope_factor=nan",
                           "rope_max_timescale=inf",
                           "beta_fast=-1",
                           "mscale=1e300",
                           "mscale_all_dim=-2",
                           "normalization_layer_epsilon=-1",
                           "normalization_layer_epsilon=nan",
                           "adam_eps=-1",
                           "adam_b1=1",
                           "adam_b2=-0.1",
                           "gradient_clipping_threshold=-1",
                           "gradient_clipping_threshold=nan",
                           "load_balance_loss_weight=inf",
                           "routed_scaling_factor=-2.5",
                           "max_target_length=2147483648",
                           "max_target_length=9223372036854775807",
                           "per_device_batch_size=1e300",
                           "per_device_batch_size=9223372036854775807",
                           "per_device_batch_size=nan",
                           "gradient_accumulation_steps=9223372036854775807",
                           "base_num_decoder_layers=9223372036854775807",
                           "vocab_size=9223372036854775807",
                           "vocab_size=4294967296",
                           "num_experts=9223372036854775807",
                           "base_emb_dim=9223372036854775807",
                           "ici_tensor_parallelism=9223372036854775807",
                           "num_epoch=-1",
                           "eval_per_device_batch_size=-1",
                           "eval_interval=-9223372036854775808",
                           "log_period=4294967296"}) {
    std::string said = says({word});
    EXPECT_THAT(said, HasSubstr(std::string("command line: ") + word + ": must ")) << word;
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
  }
  EXPECT_THAT(says({"process_count=1", "process_index=5"}), HasSubstr("process_index=5: process_index must be 0 to 0"));
  EXPECT_EQ(says({"process_count=2", "process_index=1"}), "accepted");
}

// Each size alone is in its range.
TEST(Validate, RefusesProductsThatCannotBeCounted) {
  EXPECT_THAT(says({"vocab_size=2147483647", "base_emb_dim=2147483647"}), HasSubstr("a matrix of the embedding"));
  EXPECT_THAT(says({"num_experts=65536", "base_moe_mlp_dim=2147483647"}), HasSubstr("a matrix of the experts"));
  EXPECT_THAT(says({"base_num_query_heads=2147483647", "base_num_kv_heads=2147483647"}),
              HasSubstr("a matrix of attention"));
  EXPECT_THAT(says({"per_device_batch_size=2147483647", "max_target_length=16777216"}), HasSubstr("tokens a step"));
  EXPECT_THAT(says({"gradient_accumulation_steps=2147483647"}), HasSubstr("tokens a step"));
  EXPECT_THAT(says({"max_target_length=16777216", "vocab_size=2147483647", "per_device_batch_size=1"}),
              HasSubstr("the activations of one device"));
}

TEST(Validate, RefusesSizesThatDoNotFitEachOther) {
  EXPECT_THAT(says({"first_num_dense_layers=62"}), HasSubstr("first_num_dense_layers=62 is more than the 61 layers"));
  EXPECT_THAT(says({"base_num_kv_heads=2"}), HasSubstr("base_num_kv_heads=2 differs from base_num_query_heads=4"));
  EXPECT_THAT(says({"qk_rope_head_dim=15"}), HasSubstr("qk_rope_head_dim=15: rotation needs pairs"));
  EXPECT_THAT(says({"qk_rope_head_dim=0"}), HasSubstr("qk_rope_head_dim=0: must be at least 1"));
  EXPECT_THAT(says({"num_experts_per_tok=32"}), HasSubstr("num_experts_per_tok=32 is more than num_experts=16"));
  EXPECT_THAT(says({"global_parameter_scale=3"}), HasSubstr("not a power of two"));
}

// 16 experts, of which each token chooses 8.
TEST(Validate, RefusesGroupsThatDoNotHoldTheExperts) {
  EXPECT_THAT(says({"n_routing_groups=3", "topk_routing_group=2"}),
              HasSubstr("n_routing_groups=3 does not divide num_experts=16"));
  for (const char* word : {"topk_routing_group=0", "topk_routing_group=9"}) {
    EXPECT_THAT(says({"n_routing_groups=8", word}),
                HasSubstr(std::string(word) + " must lie between 1 and n_routing_groups=8"));
  }
  EXPECT_THAT(says({"n_routing_groups=8", "topk_routing_group=3"}),
              HasSubstr("topk_routing_group=3 keeps 6 experts, fewer than num_experts_per_tok=8"));
  EXPECT_THAT(says({"n_routing_groups=16", "topk_routing_group=8"}), HasSubstr("leaves one expert a group"));
  EXPECT_EQ(says({"n_routing_groups=16", "topk_routing_group=8", "routing_group_score=max"}), "accepted");
}

TEST(Validate, RefusesASmallWordThatMeansNothing) {
  EXPECT_THAT(says({"warmup_steps_fraction=1.5"}), HasSubstr("must lie between 0 and 1"));
  EXPECT_THAT(says({"adamw_mask=("}), HasSubstr("no regular expression"));
  EXPECT_THAT(says({"steps=-1"}), HasSubstr("give one of them"));
  EXPECT_EQ(says({"compile_topology_num_slices=-1"}), "accepted");
}

TEST(Validate, RefusesAMeshThatTheDevicesDoNotMake) {
  EXPECT_THAT(says({"ici_tensor_parallelism=2"}),
              HasSubstr("ici_tensor_parallelism=2 does not divide the one device: on the CPU cpu_device_count=2"));
  EXPECT_THAT(says({"cpu_device_count=4", "per_device_batch_size=0.5"}), HasSubstr("cannot be split over fsdp=4"));
}

TEST(Validate, RefusesDataThatIsNotReadOnceEach) {
  EXPECT_THAT(says({"dataset_type=tfds", "tokenizer_path=tests"}), HasSubstr("dataset_type=tfds needs dataset_path"));
  EXPECT_THAT(says({"dataset_type=tfds", "dataset_path=tests/no", "tokenizer_path=tests"}),
              HasSubstr("dataset_path=tests/no: no such file or folder"));
  EXPECT_EQ(says({"dataset_type=tfds", "dataset_path=tests/data/tfds", "tokenizer_path=tests"}), "accepted");
  Args files = {"dataset_type=files", "dataset_path=tests/data", "tokenizer_path=tests"};
  auto with = [&](std::initializer_list<const char*> more) {
    Args all = files;
    all.insert(all.end(), more.begin(), more.end());
    return says(all);
  };
  EXPECT_EQ(with({}), "accepted");
  EXPECT_THAT(with({"train_data_columns=[prompt, completion]"}), HasSubstr("train_data_columns names 2 columns"));
  EXPECT_EQ(with({"dataset_path=tests/data/data/*.jsonl"}), "accepted");
  EXPECT_THAT(with({"dataset_path=tests/no/*.jsonl"}), HasSubstr("dataset_path=tests/no/*.jsonl: no such file"));
  EXPECT_EQ(with({"eval_data_columns=[]"}), "accepted") << "no evaluation reads it";
  EXPECT_THAT(with({"eval_data_columns=[]", "eval_interval=2"}), HasSubstr("eval_data_columns names 0 columns"));
}

TEST(Validate, RefusesAKindOfFileWithoutFiles) {
  Args hf = {"dataset_type=hf", "hf_path=parquet", "tokenizer_path=tests"};
  EXPECT_THAT(says(hf), HasSubstr("hf_path=parquet names a kind of file: hf_train_files must name the files"));
  hf.emplace_back("hf_train_files=a/*.parquet");
  EXPECT_EQ(says(hf), "accepted");
  hf.emplace_back("eval_interval=2");
  EXPECT_THAT(says(hf), HasSubstr("give hf_eval_split or hf_eval_files"));
}

TEST(Validate, RefusesAnEvaluationWithoutEnd) {
  EXPECT_THAT(says({"eval_interval=2"}), HasSubstr("eval_steps=-1 never ends"));
  EXPECT_EQ(says({"eval_interval=2", "eval_steps=1"}), "accepted");
}

TEST(Validate, AddsWhatOtherRoomsSayOfTheEnvironment) {
  ResolveOptions options;
  options.check_environment = [](const Config& config, const Environment& environment, Problems& problems) {
    problems.add("{} does not suit {}", variable(environment, "VARIABLE"), config.model_name);
  };
  EXPECT_THAT(refusal(tiny({"steps=x"}), {{"VARIABLE", "value"}}, options),
              AllOf(HasSubstr("2 mistakes"), HasSubstr("value does not suit deepseek3-tiny")));
}

}  // namespace
}  // namespace fathom
