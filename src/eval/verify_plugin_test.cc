// Real model folders against their references, and each reference changed in one place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_writer.h"
#include "eval/verify.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAreArray;
using testing::HasSubstr;
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
  ModelCopy(const std::string& name, LayerForms forms, const Names& only = {}) {
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
        VerifyOptions{.folder = folder_.path(), .only = only, .forms = forms, .config = {"jax_cache_dir="}});
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

  // Without one tensor.
  void without_tensor(const std::string& file, const std::string& name, const Names& checks) {
    auto open = SafetensorsFile::open(folder_ / file);
    std::map<std::string, HostArray> rest;
    for (const std::string& other : open->names()) {
      if (other != name) rest.emplace(other, open->tensor(other));
    }
    ASSERT_EQ(rest.size() + 1, open->names().size()) << name;
    if (rest.empty()) rest.emplace("other", open->tensor(name));
    expect_failing(file, name + " removed", checks, [&](const std::string&) {
      TemporaryFolder other;
      write_safetensors(other / "f.safetensors", rest);
      return read_file(other / "f.safetensors");
    });
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
      return changed(file, text, [&](json& object) { object[json::json_pointer(pointer)] = value; });
    });
  }

  // The same without the value.
  void without(const std::string& file, const std::string& pointer, const Names& checks) {
    expect_failing(file, pointer + " removed", checks, [&](const std::string& text) {
      return changed(file, text, [&](json& object) {
        const json::json_pointer place(pointer);
        json& parent = object.at(place.parent_pointer());
        parent.is_array() ? parent.erase(std::stoul(place.back())) : static_cast<void>(parent.erase(place.back()));
      });
    });
  }

  std::string operator/(const std::string& file) const { return folder_ / file; }

 private:
  template <class F>
  static std::string changed(const std::string& file, const std::string& text, F change) {
    size_t end = file.ends_with(".jsonl") ? text.find('\n') : text.size();
    json object = json::parse(text.substr(0, end));
    change(object);
    return object.dump() + text.substr(end);
  }

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

// A reference that is orphaned, cut or gone from a file that is there.
void remove_forward_references(ModelCopy& model) {
  model.without("golden_logits.jsonl", "/logits", {"logits"});
  model.without("golden_logits.jsonl", "/tokens", {"logits"});
  model.without("golden_logits.jsonl", "/logits/0", {"logits"});
  for (const char* name : {"prompt2.tokens", "prompt2.logits", "long.last8_logits"}) {
    model.without_tensor("logits.safetensors", name, {"logits"});
  }
  for (const char* name : {"batch.tokens", "batch.logits"}) {
    model.without_tensor("logits.safetensors", name, {"batch"});
  }
  for (const char* name : {"embedding", "final_norm", "layers.0.mlp", "layers.2.out", "layers.1.self_attn"}) {
    model.without_tensor("intermediates.safetensors", name, {"intermediates"});
  }
  for (const char* name : {"layers.1.router.scores", "layers.2.router.experts", "layers.1.router.weights"}) {
    model.without_tensor("intermediates.safetensors", name, {"router"});
  }
  model.without_tensor("intermediates.safetensors", "tokens", {"intermediates", "router"});
}

void remove_training_references(ModelCopy& model) {
  model.without_tensor("grads.safetensors", "lm_head.weight", {"gradients"});
  model.without("training.json", "/grad_norms", {"gradients"});
  model.without("training.json", "/grad_norms/model.norm.weight", {"gradients"});
  model.without("training.json", "/no_gradient", {"gradients"});
  for (const char* place :
       {"/optimizer", "/optimizer/lr", "/loss_before", "/losses_of_steps_1_to_5", "/losses_of_steps_1_to_5/4",
        "/loss_after_step_5", "/parameter_norms_after_step_5", "/parameter_norms_after_step_5/lm_head.weight"}) {
    model.without("training.json", place, {"adamw"});
  }
  model.without_tensor("train_batch.safetensors", "tokens", {"gradients", "adamw"});
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

void change_scores(ModelCopy& model) {
  const std::string file = "mmlu_scores.jsonl";
  model.value(file, "/logprobs/2", -9.0, {"mmlu"});
  model.value(file, "/choice", 1, {"mmlu"});
  model.value(file, "/tokens/5", 7, {"mmlu"});
  model.value(file, "/prompt", "The following", {"mmlu"});
  model.value(file, "/subject", "law", {"mmlu"});
  for (const char* place : {"/tokens", "/logprobs", "/logprobs/3", "/choice", "/margin", "/prompt"}) {
    model.without(file, place, {"mmlu"});
  }
}

TEST(Verify, DeepseekV2PassesAndEachChangedReferenceFailsItsCheckAlone) {
  ModelCopy model("deepseek_v2", LayerForms::kScanned);
  Names checks = kModelChecks;
  checks.insert(checks.end(), {"decode", "bf16", "mmlu"});
  const std::vector<CheckRow> rows = model.run();
  EXPECT_THAT(with_status(rows, CheckStatus::kOk), ElementsAreArray(checks)) << format_report(rows, {}, false);
  change_forward_references(model);
  change_training_references(model);
  change_scores(model);
  model.tensor("logits_bf16.safetensors", "logits", 5, 99.0f, {"bf16"});
  model.value("decode.json", "/1/tokens/31", 7, {"decode"});
  for (const char* place : {"/1/tokens", "/2/prompt_tokens"}) model.without("decode.json", place, {"decode"});
  remove_forward_references(model);
  remove_training_references(model);
  for (const char* name : {"tokens", "logits"}) model.without_tensor("logits_bf16.safetensors", name, {"bf16"});
}

TEST(Verify, DeepseekV3PassesWithAndWithoutScanAndEachChangedReferenceFailsItsCheckAlone) {
  Names checks = kModelChecks;
  checks.insert(checks.end(), {"fp8", "mmlu"});
  Verifier both(
      {.folder = "tests/data/deepseek_v3", .only = checks, .forms = LayerForms::kBoth, .config = {"jax_cache_dir="}});
  const std::vector<CheckRow> rows = both.run();
  EXPECT_THAT(with_status(rows, CheckStatus::kOk), ElementsAreArray(checks)) << format_report(rows, {}, false);
  ModelCopy model("deepseek_v3", LayerForms::kScanned, checks);
  change_forward_references(model);
  change_training_references(model);
  const std::string numbers = "fp8_dequantized.safetensors", weight = "model.layers.1.mlp.experts.3.up_proj.weight";
  const auto bits = SafetensorsFile::open(model / numbers)->tensor(weight).view<uint16_t>()[7];
  model.tensor(numbers, weight, 7, static_cast<uint16_t>(bits ^ 1), {"fp8"});
  model.tensor("logits_fp8.safetensors", "logits", 5, 99.0f, {"fp8"});
  model.without_tensor(numbers, weight, {"fp8"});
  for (const char* name : {"tokens", "logits"}) model.without_tensor("logits_fp8.safetensors", name, {"fp8"});
}

TEST(Verify, DeepseekV3PredictsAsEachVariantAndEachChangedReferenceFails) {
  ModelCopy model("deepseek_v3", LayerForms::kScanned, {"mtp"});
  const std::vector<CheckRow> rows = model.run();
  EXPECT_THAT(with_status(rows, CheckStatus::kOk), ElementsAreArray({"mtp"})) << format_report(rows, {}, false);
  const std::string name = "model.layers.3.eh_proj.weight";
  for (const std::string variant : {"checkpoint", "maxtext"}) {
    const std::string at = "/" + variant;
    for (const char* key : {"/mtp_loss", "/lm_loss", "/total", "/totals_of_steps_1_to_5/4",
                            "/mtp_losses_of_steps_1_to_5/2", "/parameter_norms_after_step_5/lm_head.weight"}) {
      model.value("mtp.json", at + key, 1.0, {"mtp"});
    }
    model.value("mtp.json", at + "/grad_norms/" + name, 1.0, {"mtp"});
    model.without("mtp.json", at + "/grad_norms/" + name, {"mtp"});
    model.without("mtp.json", at + "/totals_of_steps_1_to_5/4", {"mtp"});
    model.without("mtp.json", at + "/parameter_norms_after_step_5/lm_head.weight", {"mtp"});
    model.without("mtp.json", at + "/lm_loss", {"mtp"});
    model.without_tensor("mtp_logits.safetensors", variant + ".logits", {"mtp"});
    model.tensor("mtp_grads_" + variant + ".safetensors", name, 3, 1.0f, {"mtp"});
    model.tensor("mtp_logits.safetensors", variant + ".logits", 99, 99.0f, {"mtp"});
  }
  for (const char* place : {"/pre_own/mtp_loss", "/post_main/mtp_loss"}) {
    model.value("mtp.json", place, 1.5, {"mtp"});
    model.without("mtp.json", place, {"mtp"});
  }
  model.without("mtp.json", "/weight", {"mtp"});
  model.without("mtp.json", "/post_main", {"mtp"});
  model.without_tensor("mtp_logits.safetensors", "prompt.tokens", {"mtp"});
  fs::remove(model / "mtp_grads_maxtext.safetensors");
  EXPECT_THAT(with_status(model.run(), CheckStatus::kFailed), ElementsAreArray({"mtp"}));
}

TEST(Verify, AReferenceWithoutWhatItIsComparedWithFails) {
  ModelCopy model("deepseek_v2", LayerForms::kScanned);
  fs::remove(model / "train_batch.safetensors");
  fs::remove(model / "hf_bf16");
  EXPECT_THAT(with_status(model.run(), CheckStatus::kFailed), ElementsAreArray({"gradients", "adamw", "bf16"}));
}

TEST(Verify, DeepseekV32PassesAndEachChangedReferenceOfTheIndexerFailsItsCheckAlone) {
  ModelCopy model("deepseek_v32", LayerForms::kScanned);
  Names checks = kModelChecks;
  checks.insert(checks.end(), {"decode", "fp8", "indexer", "mmlu"});
  const std::vector<CheckRow> rows = model.run();
  EXPECT_THAT(with_status(rows, CheckStatus::kOk), ElementsAreArray(checks)) << format_report(rows, {}, false);
  model.tensor("intermediates.safetensors", "layers.1.indexer.scores", 0, 99.0f, {"intermediates"});
  const auto chosen =
      SafetensorsFile::open(model / "intermediates.safetensors")->tensor("layers.2.indexer.mask").view<uint8_t>()[0];
  model.tensor("intermediates.safetensors", "layers.2.indexer.mask", 0, static_cast<uint8_t>(chosen ^ 1),
               {"intermediates"});
  model.without_tensor("intermediates.safetensors", "layers.0.indexer.mask", {"intermediates"});
  const std::string name = "model.layers.1.self_attn.indexer.wk.weight";
  for (const char* stage : {"sparse", "dense_warmup_paper", "dense_warmup_maxtext"}) {
    const std::string in_stage = std::string("/") + stage;
    for (const char* key : {"/indexer_loss", "/lm_loss", "/per_layer/1"}) {
      model.value("indexer.json", in_stage + key, 1.0, {"indexer"});
    }
    model.value("indexer.json", in_stage + "/grad_norms/" + name, 1.0, {"indexer"});
    model.without("indexer.json", in_stage + "/grad_norms/" + name, {"indexer"});
    model.tensor("indexer_grads.safetensors", std::string(stage) + ":" + name, 3, 1.0f, {"indexer"});
    model.without_tensor("indexer_grads.safetensors", std::string(stage) + ":" + name, {"indexer"});
  }
}

TEST(Verify, AMeshThatDoesNotDivideTheBatchesFillsThemUp) {
  Verifier verifier({.folder = "tests/data/deepseek_v32",
                     .only = {"batch", "gradients"},
                     .config = {"jax_cache_dir=", "cpu_device_count=4", "ici_fsdp_parallelism=2",
                                "ici_expert_parallelism=2", "attention=flash"}});
  const std::vector<CheckRow> rows = verifier.run();
  EXPECT_THAT(with_status(rows, CheckStatus::kOk), ElementsAreArray({"batch", "gradients"}))
      << format_report(rows, {}, false);
}

TEST(Verify, ATokenBeyondTheVocabularyOrBeyondItsTypeIsAnError) {
  ModelCopy model("deepseek_v2", LayerForms::kScanned);
  for (const json& id : {json(1792), json(4294967296), json(1099511627776), json(-1)}) {
    EXPECT_ANY_THROW(model.value("golden_logits.jsonl", "/tokens/1", id, {})) << id;
  }
}

// ---- small folders of other libraries' models ----

// Runs the checks that the folder has references for; exactly these pass.
void expect_passing(const std::string& folder, const Names& checks, const Names& keys = {}) {
  SCOPED_TRACE(folder);
  Names words = {"jax_cache_dir="};
  words.insert(words.end(), keys.begin(), keys.end());
  Verifier verifier({.folder = folder, .config = words});
  const std::vector<CheckRow> rows = verifier.run();
  EXPECT_THAT(with_status(rows, CheckStatus::kOk), ElementsAreArray(checks)) << format_report(rows, {}, false);
  EXPECT_THAT(with_status(rows, CheckStatus::kFailed), ElementsAreArray(Names{})) << format_report(rows, {}, false);
}

TEST(VerifyFolder, TheNormsInsideAttentionKeepTheirOwnEpsilon) {
  expect_passing("tests/data/cases/mla_norm_eps", {"logits"});
  expect_passing("tests/data/cases/mla_norm_eps/large", {"logits"});
  Verifier maxtext({.folder = "tests/data/cases/mla_norm_eps/large", .config = {"jax_cache_dir=", "defaults=maxtext"}});
  EXPECT_THAT(with_status(maxtext.run(), CheckStatus::kFailed), ElementsAreArray({"logits"}));
}

TEST(VerifyFolder, ExpertsMayBeStacked) { expect_passing("tests/data/cases/fused_experts", {"logits"}); }

TEST(VerifyFolder, FieldsOfBookkeepingAreNoObstacle) {
  expect_passing("tests/data/cases/config_bookkeeping/old_dump", {"logits"});
  expect_passing("tests/data/cases/config_bookkeeping/x__attn_implementation_autoset", {"logits"});
}

// The reference values are transformers', which does not read norm_topk_prob of a V2 model; DeepSeek's own code does.
TEST(VerifyFolder, V2NormalisesTheWeightsWhenItsConfigurationSaysSo) {
  expect_passing("tests/data/cases/v2_norm_topk_prob", {"logits"}, {"norm_topk_prob=false"});
  Verifier verifier({.folder = "tests/data/cases/v2_norm_topk_prob", .config = {"jax_cache_dir="}});
  EXPECT_THAT(with_status(verifier.run(), CheckStatus::kFailed), ElementsAreArray({"logits"}));
}

// A copy of a case whose config.json is changed.
std::string refusal_of_config(const std::function<void(json&)>& change) {
  TemporaryFolder folder;
  fs::copy("tests/data/cases/mla_norm_eps", folder.path(), fs::copy_options::recursive);
  fs::permissions(folder / "hf/config.json", fs::perms::owner_write, fs::perm_options::add);
  json config = json::parse(read_file(folder / "hf/config.json"));
  change(config);
  write_file_atomically(folder / "hf/config.json", config.dump());
  Verifier verifier({.folder = folder.path(), .config = {"jax_cache_dir="}});
  try {
    verifier.run();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(VerifyFolder, ANumberOfLayersThatIsNotTheFoldersIsAnError) {
  for (int layers : {2, 4}) {
    EXPECT_THAT(refusal_of_config([&](json& config) { config["num_hidden_layers"] = layers; }),
                HasSubstr("num_hidden_layers"))
        << layers;
  }
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
  EXPECT_THAT(with_status(folder.run(), CheckStatus::kOk), ElementsAreArray({"encode", "decode_tokens", "chat"}));
  folder.value("encode.jsonl", "/ids", {5}, {"encode"});
  folder.value("encode.jsonl", "/decoded", "x", {"encode"});
  folder.value("decode.jsonl", "/decoded", "x", {"decode_tokens"});
  folder.value("decode.jsonl", "/decoded_skip_special", "x", {"decode_tokens"});
  for (const char* part : {"/ids", "/text", "/decoded", "/decoded_skip_special"}) {
    folder.without("encode.jsonl", part, {"encode"});
  }
  for (const char* part : {"/ids", "/decoded", "/decoded_skip_special"}) {
    folder.without("decode.jsonl", part, {"decode_tokens"});
  }
  for (const char* part : {"/ids", "/text", "/messages", "/assistant_mask"})
    folder.without("chat.jsonl", part, {"chat"});
  folder.value("chat.jsonl", "/text", "x", {"chat"});
  folder.value("chat.jsonl", "/ids/0", 5, {"chat"});
  folder.value("chat.jsonl", "/assistant_mask/0", 1, {"chat"});
}

}  // namespace
}  // namespace fathom
