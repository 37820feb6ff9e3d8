// Real model folders against their references, and each reference changed in one place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "checkpoint/safetensors.h"
#include "eval/verify.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAreArray;
using testing::UnorderedElementsAreArray;
using Names = std::vector<std::string>;

const Names kModelChecks = {"logits", "batch", "intermediates", "router", "gradients", "adamw"};

Names with_status(const std::vector<CheckRow>& rows, CheckStatus status) {
  Names out;
  for (const CheckRow& row : rows) {
    if (row.status == status) out.push_back(row.name);
  }
  return out;
}

// A copy of a folder of tests/data whose reference files may be changed; weights are links.
class ModelCopy {
 public:
  ModelCopy(const std::string& name, LayerForms forms) {
    const fs::path source = fs::absolute("tests/data/" + name);
    for (const auto& entry : fs::directory_iterator(source)) {
      const fs::path target = folder_ / entry.path().filename().string();
      if (entry.is_directory()) {
        fs::create_directory_symlink(entry.path(), target);
      } else {
        fs::copy_file(entry.path(), target);
      }
    }
    verifier_ = std::make_unique<Verifier>(
        VerifyOptions{.folder = folder_.path(), .forms = forms, .config = {"jax_cache_dir="}});
  }

  std::vector<CheckRow> run() { return verifier_->run(); }

  // Runs with the file's content changed: exactly these checks must fail.
  void expect_failing(const std::string& file, const std::string& what, const Names& checks,
                      const std::function<std::string(std::string)>& change) {
    SCOPED_TRACE(file + ": " + what);
    const std::string path = folder_ / file;
    const std::string original = read_file(path);
    write_file_atomically(path, change(original));
    EXPECT_THAT(with_status(run(), CheckStatus::kFailed), UnorderedElementsAreArray(checks));
    write_file_atomically(path, original);
  }

  // Element `index` of a tensor gets `value`.
  template <class T>
  void tensor(const std::string& file, const std::string& name, int64_t index, T value, const Names& checks) {
    const TensorInfo info = *SafetensorsFile::open(folder_ / file)->find(name);
    ASSERT_EQ(byte_size(info.dtype), static_cast<int64_t>(sizeof(T))) << name;
    expect_failing(file, name, checks, [&](std::string bytes) {
      std::memcpy(bytes.data() + info.offset + index * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
      return bytes;
    });
  }

  // The value at a JSON pointer; of the first line when the file has lines.
  void value(const std::string& file, const std::string& pointer, const json& value, const Names& checks) {
    expect_failing(file, pointer, checks, [&](const std::string& text) {
      size_t end = file.ends_with(".jsonl") ? text.find('\n') : text.size();
      json object = json::parse(text.substr(0, end));
      object[json::json_pointer(pointer)] = value;
      return object.dump() + text.substr(end);
    });
  }

 private:
  TemporaryFolder folder_;
  std::unique_ptr<Verifier> verifier_;
};

void change_forward_references(ModelCopy& model) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  model.value("golden_logits.jsonl", "/logits/2/7", 99.0, {"logits"});
  model.tensor("logits.safetensors", "prompt5.logits", 40, 99.0f, {"logits"});
  model.tensor("logits.safetensors", "prompt0.logits", 0, nan, {"logits"});
  model.tensor("logits.safetensors", "long.last8_logits", 1800, 99.0f, {"logits"});
  model.tensor("logits.safetensors", "batch.logits", 40000, 99.0f, {"batch"});
  model.tensor("intermediates.safetensors", "embedding", 70, 99.0f, {"intermediates"});
  model.tensor("intermediates.safetensors", "layers.2.out", 1, 99.0f, {"intermediates"});
  model.tensor("intermediates.safetensors", "layers.0.self_attn", 1, nan, {"intermediates"});
  model.tensor("intermediates.safetensors", "layers.1.router.scores", 9, 99.0f, {"router"});
  model.tensor("intermediates.safetensors", "layers.2.router.weights", 3, 99.0f, {"router"});
  model.tensor("intermediates.safetensors", "layers.1.router.experts", 4, int64_t{-1}, {"router"});
  model.tensor("intermediates.safetensors", "tokens", 2, int64_t{5}, {"intermediates", "router"});
}

void change_training_references(ModelCopy& model) {
  model.tensor("grads.safetensors", "lm_head.weight", 77, 1.0f, {"gradients"});
  model.tensor("grads.safetensors", "model.layers.1.mlp.experts.3.down_proj.weight", 5, 1.0f, {"gradients"});
  model.value("training.json", "/grad_norms/model.norm.weight", 1.0, {"gradients"});
  model.value("training.json", "/no_gradient", {"model.norm.weight"}, {"gradients"});
  model.value("training.json", "/loss_before", 1.0, {"adamw"});
  model.value("training.json", "/losses_of_steps_1_to_5/3", 1.0, {"adamw"});
  model.value("training.json", "/loss_after_step_5", 1.0, {"adamw"});
  model.value("training.json", "/parameter_norms_after_step_5/lm_head.weight", 1.0, {"adamw"});
  model.tensor("train_batch.safetensors", "tokens", 3, int64_t{5}, {"gradients", "adamw"});
}

TEST(Verify, DeepseekV2PassesAndEachChangedReferenceFailsItsCheckAlone) {
  ModelCopy model("deepseek_v2", LayerForms::kScanned);
  Names checks = kModelChecks;
  checks.push_back("bf16");
  const std::vector<CheckRow> rows = model.run();
  EXPECT_THAT(with_status(rows, CheckStatus::kOk), ElementsAreArray(checks)) << format_report(rows, {}, false);
  change_forward_references(model);
  change_training_references(model);
  model.tensor("logits_bf16.safetensors", "logits", 5, 99.0f, {"bf16"});
}

TEST(Verify, DeepseekV3PassesWithAndWithoutScanAndEachChangedReferenceFailsItsCheckAlone) {
  ModelCopy model("deepseek_v3", LayerForms::kBoth);
  const std::vector<CheckRow> rows = model.run();
  EXPECT_THAT(with_status(rows, CheckStatus::kOk), ElementsAreArray(kModelChecks)) << format_report(rows, {}, false);
  change_forward_references(model);
  change_training_references(model);
}

TEST(Verify, AccumulatedMicroBatchesGiveTheGradientsOfTheWholeBatch) {
  Verifier verifier({.folder = "tests/data/deepseek_v2",
                     .only = {"gradients"},
                     .config = {"jax_cache_dir=", "gradient_accumulation_steps=2"}});
  const std::vector<CheckRow> rows = verifier.run();
  EXPECT_THAT(with_status(rows, CheckStatus::kOk), ElementsAreArray({"gradients"})) << format_report(rows, {}, false);
}

TEST(Verify, TokenizerFolderPassesAndEachChangedReferenceFailsItsCheckAlone) {
  ModelCopy folder("tokenizer", LayerForms::kScanned);
  EXPECT_THAT(with_status(folder.run(), CheckStatus::kOk), ElementsAreArray({"encode", "decode_tokens"}));
  folder.value("encode.jsonl", "/ids", {5}, {"encode"});
  folder.value("encode.jsonl", "/decoded", "x", {"encode"});
  folder.value("decode.jsonl", "/decoded", "x", {"decode_tokens"});
  folder.value("decode.jsonl", "/decoded_skip_special", "x", {"decode_tokens"});
}

}  // namespace
}  // namespace fathom
