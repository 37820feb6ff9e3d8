// to_maxtext, the two scripts and to_huggingface: nothing of a folder may change on the way there and back.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "../support/process.h"
#include "base/file.h"
#include "checkpoint/orbax_folder.h"
#include "checkpoint/safetensors_folder.h"
#include "checkpoint/safetensors_writer.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

void expect_done(const Words& words) {
  const Outcome outcome = run(words);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

// Every tensor of one folder is in the other with the same type, sizes and bytes, and there is nothing else.
void expect_same_folders(const std::string& a, const std::string& b) {
  const TensorFolder left = TensorFolder::open(a), right = TensorFolder::open(b);
  EXPECT_EQ(left.names(), right.names());
  for (const std::string& name : left.names()) {
    if (right.find(name) == nullptr) continue;
    const HostArray x = left.tensor(name), y = right.tensor(name);
    ASSERT_EQ(x.dtype(), y.dtype()) << name;
    ASSERT_EQ(x.sizes(), y.sizes()) << name;
    EXPECT_EQ(std::memcmp(x.data(), y.data(), static_cast<size_t>(x.bytes())), 0) << name;
  }
}

json config_of(const std::string& folder) { return json::parse(read_file(folder + "/config.json")); }

struct Model {
  const char* name;
  const char* folder;
  const char* save_dtype;

  friend void PrintTo(const Model& model, std::ostream* out) { *out << model.folder; }
};

class RoundTrip : public testing::TestWithParam<Model> {
 protected:
  std::string dtype() const { return fmt::format("--save_dtype={}", GetParam().save_dtype); }
  TemporaryFolder out_;
};

TEST_P(RoundTrip, ScannedAndUnscannedAndBackKeepEveryTensor) {
  const std::string from = GetParam().folder;
  for (const char* scan : {"scan_layers=true", "scan_layers=false"}) {
    const std::string to = out_ / scan, back = to + "_back";
    expect_done({"to_maxtext", "configs/base.yml", "model_name=auto", scan, "attention=dot_product", "hardware=cpu",
                 "base_output_directory=" + to, "skip_jax_distributed_system=True", "--hf_model_path=" + from, dtype(),
                 "--lazy_load_tensors=false", "--eager_load_method=safetensors", "--simulated-cpu-devices-count=4"});
    EXPECT_TRUE(fs::exists(to + "/0/config.json"));
    EXPECT_TRUE(fs::exists(to + "/0/tokenizer.json"));
    EXPECT_TRUE(fs::exists(to + "/0/commit_success.txt"));
    const Outcome same = run({"inspect", "--diff", from, to + "/0"});
    EXPECT_EQ(same.exit_code, 0) << same.out << same.err;
    EXPECT_THAT(same.out, HasSubstr("inspect: 0 differences"));
    expect_done({"to_huggingface", "model_name=auto", "load_parameters_path=" + to + "/0/items", scan,
                 "base_output_directory=" + back});
    expect_same_folders(from, back);
    const json before = config_of(from), after = config_of(back);
    for (const char* field : {"num_nextn_predict_layers", "torch_dtype", "model_type", "num_hidden_layers"}) {
      EXPECT_EQ(before.value(field, json(0)), after.value(field, json(0))) << field;
    }
    EXPECT_TRUE(fs::exists(back + "/tokenizer.json"));
  }
}

TEST_P(RoundTrip, ThroughTheScannedIntoTheUnscannedForm) {
  const std::string from = GetParam().folder, scanned = out_ / "a", unscanned = out_ / "b", back = out_ / "c";
  expect_done({"maxtext.checkpoint_conversion.standalone_scripts.convert_deepseek_family_ckpt", "--base_model_path",
               from, "--maxtext-model-path=" + scanned, "--model_size=auto", dtype()});
  expect_done({"convert_deepseek_family_unscanned_ckpt", "--base_model_path=" + scanned + "/0/items",
               "--maxtext_model_path=" + unscanned, "--model_size", "auto", dtype(), "--compression=none"});
  expect_done({"to_huggingface", "model_name=auto", "load_parameters_path=" + unscanned + "/0",
               "base_output_directory=" + back});
  // The scripts leave modules for prediction off unless --enable_mtp stands there.
  const TensorFolder whole = TensorFolder::open(from), left = TensorFolder::open(back);
  for (const std::string& name : left.names()) {
    ASSERT_NE(whole.find(name), nullptr) << name;
    const HostArray x = whole.tensor(name), y = left.tensor(name);
    EXPECT_EQ(std::memcmp(x.data(), y.data(), static_cast<size_t>(x.bytes())), 0) << name;
  }
  EXPECT_EQ(config_of(back).value("num_nextn_predict_layers", 0), 0);
}

INSTANTIATE_TEST_SUITE_P(All, RoundTrip,
                         testing::Values(Model{"V2", "tests/data/deepseek_v2/hf", "float32"},
                                         Model{"V2InBfloat16", "tests/data/deepseek_v2/hf_bf16", "bfloat16"},
                                         Model{"V3", "tests/data/deepseek_v3/hf", "float32"}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(ToHuggingFace, TakesARunForItsNewestCheckpoint) {
  const std::string from = "tests/data/deepseek_v3/hf";
  const TemporaryFolder out;
  expect_done({"to_maxtext", "model_name=auto", "--hf_model_path=" + from, "--save_dtype=float32",
               "base_output_directory=" + out / "run/checkpoints"});
  expect_done({"to_huggingface", "model_name=auto", "load_parameters_path=" + out / "run",
               "base_output_directory=" + out / "hf"});
  expect_same_folders(from, out / "hf");
  EXPECT_TRUE(fs::exists(out / "hf/tokenizer.json"));
}

TEST(ToMaxtext, MtpIsKeptByDefaultLeftOffWhenAskedAndNamedByTheScriptsFlag) {
  const std::string from = "tests/data/deepseek_v3/hf";
  const TemporaryFolder out;
  const std::string projection = "params.params.mtp_block.mtp_layer_1.mtp_1_projection.kernel";
  auto has = [&](const std::string& folder) {
    return OrbaxFolder::open(out / (folder + "/0")).find(projection) != nullptr;
  };
  const Words maxtext = {"to_maxtext", "model_name=auto", "--hf_model_path=" + from};
  auto with = [&](Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  expect_done(with(maxtext, {"base_output_directory=" + out / "kept"}));
  EXPECT_TRUE(has("kept"));
  expect_done(with(maxtext, {"base_output_directory=" + out / "left", "mtp_num_layers=0"}));
  EXPECT_FALSE(has("left"));
  const Words script = {"convert_deepseek_family_ckpt", "--base_model_path=" + from, "--model_size=auto"};
  expect_done(with(script, {"--enable_mtp", "--maxtext_model_path=" + out / "flag"}));
  EXPECT_TRUE(has("flag"));
  expect_done(with(script, {"--enable_mtp", "True", "--maxtext_model_path=" + out / "word"}));
  EXPECT_TRUE(has("word"));
  expect_done(with(script, {"--enable_mtp=false", "--maxtext_model_path=" + out / "off"}));
  EXPECT_FALSE(has("off"));
}

TEST(ToMaxtext, RouterBiasIsFloat32InBothPlacesWhateverIsSaved) {
  const TemporaryFolder out;
  expect_done({"to_maxtext", "model_name=auto", "--hf_model_path=tests/data/deepseek_v3/hf",
               "base_output_directory=" + out.path()});
  const OrbaxFolder folder = OrbaxFolder::open(out / "0");
  int64_t biases = 0;
  for (const StoredArray& array : folder.arrays()) {
    if (array.name == "step") continue;
    const bool bias = array.name.ends_with("gate.bias");
    biases += bias ? 1 : 0;
    EXPECT_EQ(array.dtype, bias ? DType::kF32 : DType::kBF16) << array.name;
  }
  EXPECT_EQ(biases, 4);  // of the stack and of the module for prediction, twice each
  EXPECT_EQ(folder.scan_layers(), true);
}

TEST(Inspect, FoldersOfTwoFormatsAreComparedNumberByNumber) {
  const TemporaryFolder out;
  const std::string from = "tests/data/deepseek_v3/hf";  // in float32
  expect_done({"to_maxtext", "model_name=auto", "--hf_model_path=" + from, "base_output_directory=" + out.path(),
               "mtp_num_layers=0"});
  const Outcome differs = run({"inspect", "--diff", out / "0/items", from});
  EXPECT_EQ(differs.exit_code, 1);
  EXPECT_THAT(differs.out, HasSubstr("model.layers.3.eh_proj.weight: only in " + from));
  EXPECT_THAT(differs.out, HasSubstr("numbers differ, by"));
}

TEST(ToMaxtext, MistakesAreFoundBeforeAnythingIsWritten) {
  const TemporaryFolder out;
  struct Case {
    Words words;
    std::string said;
  };
  const std::string from = "--hf_model_path=tests/data/deepseek_v3/hf";
  const std::string to = "base_output_directory=" + out / "x";
  for (const Case& c : std::vector<Case>{
           {{"to_maxtext", "model_name=auto", to}, "--hf_model_path"},
           {{"to_maxtext", "model_name=auto", from}, "base_output_directory"},
           {{"to_maxtext", "model_name=auto", from, to, "--save_dtype=float16"}, "--save_dtype=float16"},
           {{"to_maxtext", "model_name=deepseek2-16b", from, to}, "do not fit the model"},
           {{"to_maxtext", "model_name=auto", from, to, "mtp_num_layers=2"}, "model.layers.4.eh_proj.weight"},
           {{"to_maxtext", "model_name=auto", from, "base_output_directory=tests/data/deepseek_v3/hf"}, "neither"},
           {{"to_maxtext", "model_name=auto", from, to, "--hf_model=x"}, "hf_model_path"},
           {{"to_maxtext", "model_name=auto", from, to, "--compression=gzip"}, "zstd or none"},
           {{"convert_deepseek_family_ckpt", "--base_model_path=tests/data/deepseek_v2/hf", "--model_size=auto",
             "--enable_mtp", "--maxtext_model_path=" + out / "x"},
            "holds no module"},
           {{"convert_deepseek_family_ckpt", "--maxtext_model_path=" + out / "x"}, "--model_size"},
           {{"to_huggingface", "model_name=auto", "load_parameters_path=" + out / "gone", to}, "gone"}}) {
    const Outcome outcome = run(c.words);
    EXPECT_EQ(outcome.exit_code, 2) << c.said << "\n" << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(c.said));
    EXPECT_FALSE(fs::exists(out / "x"));
  }
}

// The peer's own checkpoint, which has no config.json beside it, against a Hugging Face folder that was made of it by
// another program.
TEST(ToHuggingFace, ACheckpointOfThePeerGivesTheTensorsThatAnotherConverterGave) {
  const TemporaryFolder out;
  expect_done({"to_huggingface",
               "model_name=deepseek3-671b",
               "override_model_config=True",
               "base_emb_dim=32",
               "base_mlp_dim=48",
               "base_moe_mlp_dim=16",
               "base_num_decoder_layers=4",
               "first_num_dense_layers=1",
               "vocab_size=96",
               "num_experts=4",
               "num_experts_per_tok=2",
               "base_num_query_heads=2",
               "base_num_kv_heads=2",
               "q_lora_rank=24",
               "kv_lora_rank=16",
               "qk_nope_head_dim=16",
               "qk_rope_head_dim=8",
               "v_head_dim=16",
               "load_parameters_path=tests/data/checkpoints/scanned/dual_bias/items",
               "base_output_directory=" + out.path(),
               "--save_dtype=float32"});
  expect_same_folders("tests/data/maxtext/hf", out.path());
  EXPECT_EQ(config_of(out.path())["num_hidden_layers"], 4);
}

TEST(ToHuggingFace, AFolderOfAnotherModelStaysAndAWholeOneIsKept) {
  const TemporaryFolder out;
  const std::string from = "tests/data/deepseek_v2/hf";
  expect_done({"to_maxtext", "model_name=auto", "--hf_model_path=" + from, "base_output_directory=" + out / "a",
               "--save_dtype=float32"});
  const Words back = {"to_huggingface", "model_name=auto", "load_parameters_path=" + out / "a/0/items",
                      "base_output_directory=" + out / "b"};
  expect_done(back);
  const auto written = fs::last_write_time(out / "b/model.safetensors");
  expect_done(back);
  EXPECT_EQ(fs::last_write_time(out / "b/model.safetensors"), written);
  fs::create_directory(out / "c");
  fs::copy_file("tests/data/deepseek_v3/hf/model.safetensors", out / "c/model.safetensors");
  const Outcome other = run({"to_huggingface", "model_name=auto", "load_parameters_path=" + out / "a/0/items",
                             "base_output_directory=" + out / "c"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("of another model"));
}

}  // namespace
}  // namespace fathom
