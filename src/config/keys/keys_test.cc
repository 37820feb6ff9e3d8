#include "config/keys/keys.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "config/keys/typed_value.h"

namespace fathom {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(KeyTable, HasEveryNameOnceAndAHelpLineEach) {
  std::set<std::string_view> names;
  for (const KeyGroup& group : key_groups()) {
    EXPECT_FALSE(group.rows.empty()) << group.title;
    for (const KeyRow& row : group.rows) {
      EXPECT_TRUE(names.insert(row.name).second) << row.name << " stands twice";
      EXPECT_FALSE(row.help.empty()) << row.name;
      EXPECT_EQ(find_key(row.name), &row);
    }
  }
  EXPECT_GT(names.size(), 900u);
}

TEST(KeyTable, GivesEveryKeyADefaultOfItsOwnType) {
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) EXPECT_NO_THROW(default_value(row)) << row.name;
  }
}

TEST(KeyTable, GivesEveryKeyADefaultInItsOwnRange) {
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) EXPECT_EQ(out_of_range(row, default_value(row)), "") << row.name;
  }
}

// What is no finite number has no place in any key, and a built key that is a number of something says how many.
TEST(KeyTable, GivesEveryBuiltNumberARange) {
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) {
      for (const char* text : {"nan", ".inf", "-.inf", "1e308", "-9e307"}) {
        bool number = row.type == KeyType::kFloat || row.type == KeyType::kOptFloat || row.type == KeyType::kCap;
        if (!number) continue;
        bool finite = std::string_view(text).find('e') != std::string_view::npos;
        if (finite && row.key_class != KeyClass::kBuilt) continue;
        EXPECT_NE(out_of_range(row, typed_value(row, parse_yaml(text, "test"))), "") << row.name << "=" << text;
      }
      const bool seed = row.name == "init_weights_seed" || row.name == "data_shuffle_seed";
      if (row.type != KeyType::kInt || row.key_class != KeyClass::kBuilt || seed) continue;
      for (const char* text : {"9223372036854775807", "-9223372036854775808", "4294967296"}) {
        if (row.name.ends_with("_bytes") && std::string_view(text) == "4294967296") continue;  // a file may be as large
        EXPECT_NE(out_of_range(row, typed_value(row, parse_yaml(text, "test"))), "") << row.name << "=" << text;
      }
    }
  }
}

TEST(KeyRange, IsToldInWords) {
  auto said = [](const char* key, const char* text) {
    return out_of_range(*find_key(key), typed_value(*find_key(key), parse_yaml(text, key)));
  };
  EXPECT_EQ(said("cpu_device_count", "100000"), "must be at least 1 and at most 1024");
  EXPECT_EQ(said("warmup_steps_fraction", "1.5"), "must lie between 0 and 1");
  EXPECT_EQ(said("adam_b1", "1"), "must be at least 0 and below 1");
  EXPECT_EQ(said("rope_factor", "0"), "must be above 0 and at most 1000000");
  EXPECT_EQ(said("process_count", "0"), "must be at least 1 and at most 1048576, or -1");
  EXPECT_EQ(said("process_count", "-1"), "");
  EXPECT_EQ(said("eval_ragged_buffer_factor", ".inf"), "must be a finite number");
}

TEST(KeyTable, LeadsEveryBuiltKeyToAField) {
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) {
      EXPECT_TRUE(row.key_class != KeyClass::kBuilt || row.binding != nullptr) << row.name;
    }
  }
}

// Two rows bound to one field would overwrite each other: each bound row must change the configuration by itself.
TEST(KeyTable, BindsNoFieldTwice) {
  std::vector<const KeyRow*> bound;
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) {
      if (row.binding != nullptr) bound.push_back(&row);
    }
  }
  std::set<const KeyBinding*> bindings;
  for (const KeyRow* row : bound) EXPECT_TRUE(bindings.insert(row->binding).second) << row->name;
}

TEST(KeyTable, AcceptsTheFlagsOfTheDeepSeekGuide) {
  for (const char* key : {"base_output_directory",
                          "run_name",
                          "per_device_batch_size",
                          "enable_checkpointing",
                          "async_checkpointing",
                          "model_name",
                          "ici_fsdp_parallelism",
                          "ici_expert_parallelism",
                          "ici_tensor_parallelism",
                          "steps",
                          "max_target_length",
                          "max_prefill_predict_length",
                          "tokenizer_type",
                          "tokenizer_path",
                          "attention",
                          "dtype",
                          "weight_dtype",
                          "megablox",
                          "sparse_matmul",
                          "dataset_type",
                          "dataset_path",
                          "load_parameters_path",
                          "hf_access_token",
                          "scan_layers",
                          "mtp_num_layers",
                          "mtp_loss_scaling_factor",
                          "indexer_loss_scaling_factor",
                          "indexer_sparse_training",
                          "indexer_topk",
                          "trainable_parameters_mask",
                          "override_model_config",
                          "float32_qk_product",
                          "float32_logits",
                          "activations_in_float32",
                          "matmul_precision",
                          "hardware",
                          "skip_jax_distributed_system",
                          "prompt"}) {
    EXPECT_NE(find_key(key), nullptr) << key;
  }
}

TEST(KeyTable, HoldsTheKeysOfOlderRevisions) {
  for (const char* key : {"enable_nnx", "pure_nnx", "pure_nnx_decoder", "ici_tensor_transpose_parallelism",
                          "pagedattn_num_pages", "dpo_beta", "collect_stack_trace", "lora.enable_lora"}) {
    EXPECT_NE(find_key(key), nullptr) << key;
  }
}

TEST(NearestKeys, FindsMissedLettersAndMissingPrefixes) {
  EXPECT_THAT(nearest_keys("learing_rate"), Contains("learning_rate"));
  EXPECT_THAT(nearest_keys("stesp"), Contains("steps"));
  EXPECT_THAT(nearest_keys("decoder_layers"), Contains("base_num_decoder_layers"));
  EXPECT_THAT(nearest_keys("qqqqqqqqqqqq"), IsEmpty());
  EXPECT_THAT(nearest_keys(std::string(100000, 'a')), IsEmpty());
}

TEST(NearestKeys, KnowsWhatOtherTrainersCallThem) {
  EXPECT_THAT(nearest_keys("lr"), ElementsAre("learning_rate"));
  for (const char* name : {"max_seq_len", "seq_len", "block_size", "context_length"}) {
    EXPECT_THAT(nearest_keys(name), ElementsAre("max_target_length")) << name;
  }
  EXPECT_THAT(keys_called("batch_size"), ElementsAre("per_device_batch_size"));
  EXPECT_THAT(nearest_keys("epochs"), ElementsAre("num_epoch"));
  EXPECT_THAT(nearest_keys("seed"), ElementsAre("init_weights_seed", "data_shuffle_seed"));
  EXPECT_THAT(nearest_keys("weight_decay"), ElementsAre("adam_weight_decay"));
  EXPECT_THAT(nearest_keys("grad_clip"), ElementsAre("gradient_clipping_threshold"));
}

TEST(NearestKeys, AMisspeltKeyIsNotJustAnotherWord) {
  EXPECT_TRUE(is_misspelt_key("stepz"));
  EXPECT_TRUE(is_misspelt_key("learning_rat"));
  EXPECT_FALSE(is_misspelt_key("home_of_something"));
}

TEST(TypedValue, SaysWhatTheKeyNeeds) {
  auto message = [](const char* key, const char* text) -> std::string {
    try {
      typed_value(*find_key(key), parse_yaml(text, key));
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message("steps", "many"), HasSubstr("needs an integer, got many"));
  EXPECT_THAT(message("steps", "[1]"), HasSubstr("needs an integer, got [1]"));
  EXPECT_THAT(message("scan_layers", "maybe"), HasSubstr("needs true or false"));
  EXPECT_THAT(message("dtype", "float8"), HasSubstr("not one of the values built here: float32, bfloat16"));
  EXPECT_THAT(message("opt_type", "muon"), HasSubstr("adamw"));
}

TEST(TypedValue, TakesListsInThreeForms) {
  auto list = [](const char* text) {
    return std::get<std::vector<std::string>>(typed_value(*find_key("adamw_mask"), parse_yaml(text, "test")));
  };
  EXPECT_THAT(list("bias"), ElementsAre("bias"));
  EXPECT_THAT(list("[bias, scale]"), ElementsAre("bias", "scale"));
  EXPECT_THAT(list("\"['bias', 'scale']\""), ElementsAre("bias", "scale"));
}

TEST(TypedValue, TakesThePeersChoicesOfKernelsAndMemory) {
  auto text = [](const char* key, const char* value) {
    return std::get<std::string>(typed_value(*find_key(key), parse_yaml(value, key)));
  };
  EXPECT_EQ(text("attention", "cudnn_flash_jax"), "flash");
  EXPECT_EQ(text("remat_policy", "minimal_with_quantization"), "minimal");
  EXPECT_EQ(text("mlpwo", "offload"), "offload");
}

TEST(TypedValue, KnowsThePeersOtherSpellings) {
  auto text = [](const char* key, const char* value) {
    return std::get<std::string>(typed_value(*find_key(key), parse_yaml(value, key)));
  };
  EXPECT_EQ(text("matmul_precision", "float32"), "highest");
  EXPECT_EQ(text("hardware", "gpu_multiprocess"), "gpu");
  EXPECT_EQ(text("remat_policy", "none"), "none");
}

TEST(KeysMarkdown, EqualsTheDocument) {
  const std::string path = "docs/keys.md";
  if (std::getenv("FATHOM_UPDATE") != nullptr) write_file_atomically(path, keys_markdown());
  ASSERT_TRUE(std::filesystem::exists(path));
  EXPECT_TRUE(read_file(path) == keys_markdown()) << "docs/keys.md is out of date: FATHOM_UPDATE=1 writes it anew";
}

}  // namespace
}  // namespace fathom
