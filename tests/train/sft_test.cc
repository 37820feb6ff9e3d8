// Fine-tuning on conversations, as a user runs it.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "checkpoint/safetensors.h"
#include "train_run.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kModule = "maxtext.trainers.post_train.sft.train_sft_deprecated";

// MaxText's command for supervised fine-tuning ("Run DeepSeek"), on a small model, two devices and shorter rows.
Words command_of_the_page(const std::string& output, const Words& more) {
  Words out = {kModule, "src/maxtext/configs/post_train/sft.yml", "base_output_directory=" + output,
               "load_parameters_path=tests/data/deepseek_v3/hf", "run_name=matmul_supervised_fine_tuning",
               "per_device_batch_size=1", "model_name=auto", "steps=5", "max_target_length=128",
               "async_checkpointing=false", "tokenizer_type=huggingface", "tokenizer_path=tests/data/deepseek_v3/hf",
               "attention=flash", "dtype=bfloat16", "weight_dtype=bfloat16", "megablox=False", "sparse_matmul=False",
               "enable_checkpointing=true", "ici_expert_parallelism=2", "ici_fsdp_parallelism=1", "dataset_type=hf",
               // What the machine of the tests needs beside it.
               "hardware=cpu", "cpu_device_count=2", "jax_cache_dir=" + compile_cache()};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

std::vector<json> learned(const std::string& output) {
  std::vector<json> out;
  for (json& record : read_records(output + "/matmul_supervised_fine_tuning/metrics.jsonl")) {
    json& kept = out.emplace_back(json::object());
    for (auto& [name, value] : record.items()) {
      if (!name.starts_with("perf/") && !name.ends_with("_seconds")) kept[name] = value;
    }
  }
  return out;
}

TEST(FineTuning, TheCommandOfThePageGoesOnAfterAKill) {
  TemporaryFolder folder;
  const std::string a = folder / "a", b = folder / "b";
  const Words more = {"hf_path=tests/data/sft/sft.jsonl", "checkpoint_period=2"};
  const Outcome undisturbed = run(command_of_the_page(a, more));
  ASSERT_EQ(undisturbed.exit_code, 0) << undisturbed.err;
  EXPECT_THAT(undisturbed.err, AllOf(HasSubstr("conversations: 200 in hf_path=tests/data/sft/sft.jsonl"),
                                     HasSubstr("6 cut to max_target_length=128")));
  {
    Process killed(command_of_the_page(b, more));
    const fs::path checkpoint = fs::path(b) / "matmul_supervised_fine_tuning/checkpoints/2";
    while (killed.running() && !fs::exists(checkpoint)) std::this_thread::yield();
    killed.send(SIGKILL);
    killed.wait();
  }
  const Outcome again = run(command_of_the_page(b, more));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("going on after step 2"));
  EXPECT_EQ(learned(b), learned(a));
  EXPECT_EQ(learned(a).size(), 5U);
}

// The data set that sft.yml names, in the Hub's cache.
class HubCache : public testing::Test {
 protected:
  HubCache() {
    const fs::path snapshots = fs::path(cache_.path()) / "datasets--HuggingFaceH4--ultrachat_200k/snapshots";
    fs::create_directories(snapshots);
    fs::create_directory_symlink(fs::absolute("tests/data/sft/ultrachat"), snapshots / "0123");
    setenv("HF_HUB_CACHE", cache_.path().c_str(), 1);
  }
  ~HubCache() override { unsetenv("HF_HUB_CACHE"); }

  TemporaryFolder cache_;
  TemporaryFolder folder_;
};

TEST_F(HubCache, TheDataOfTheFileAreFoundTheHeldOutSplitIsEvaluatedAndAnExampleIsShown) {
  const Words small = {"eval_interval=5", "enable_checkpointing=false", "--show_example"};
  const Outcome outcome = run(command_of_the_page(folder_ / "a", small));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("ultrachat_200k/snapshots/0123 (train_sft)"), HasSubstr("(test_sft)"),
                                 HasSubstr("conversations: 30 in hf_path=")));
  EXPECT_THAT(outcome.out, HasSubstr("Completed eval after train step 4"));
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("the first row: "), HasSubstr("<｜Assistant｜>\u27e6"),
                                 HasSubstr("<｜end▁of▁sentence｜>\u27e7")));
  // The loss counts the targets that the dumped batch counts.
  const std::string file = folder_ / "batch.safetensors";
  Words dump = small;
  dump.push_back("--dump_batch=" + file);
  ASSERT_EQ(run(command_of_the_page(folder_ / "b", dump)).exit_code, 0);
  EXPECT_FALSE(fs::exists(folder_ / "b"));
  const auto batch = SafetensorsFile::open(file);
  const HostArray segments = batch->tensor("targets_segmentation");
  const auto counted = std::ranges::count_if(segments.view<int32_t>(), [](int32_t s) { return s != 0; });
  EXPECT_EQ(learned(folder_ / "a")[0]["learning/total_weights"], counted);
  EXPECT_LT(counted, segments.elements() / 2);
}

Outcome mistake(const Words& more, const std::string& output) {
  Words words = {"sft",
                 "model_name=auto",
                 "load_parameters_path=tests/data/deepseek_v3/hf",
                 "base_output_directory=" + output,
                 "run_name=run",
                 "max_target_length=128",
                 "hardware=cpu"};
  words.insert(words.end(), more.begin(), more.end());
  return run(words);
}

TEST(FineTuning, MistakesAreSaidBeforeAnythingIsCompiled) {
  TemporaryFolder folder;
  const Outcome null = mistake({"hf_path=tests/data/sft/malformed/content_null.jsonl"}, folder.path());
  EXPECT_EQ(null.exit_code, 2);
  EXPECT_THAT(null.err,
              AllOf(HasSubstr("content_null.jsonl:7: messages[1].content is null"), Not(HasSubstr("compiling"))));
  const Outcome text = mistake({"hf_path=tests/data/sft/sft.jsonl", "use_sft=no"}, folder.path());
  EXPECT_EQ(text.exit_code, 2);
  EXPECT_THAT(text.err, HasSubstr("use_sft=False: sft trains on conversations"));
  const Outcome all = mistake({"hf_train_files=tests/data/sft/sft.jsonl", "sft_train_on_completion_only=False",
                               "--dump_batch=" + (folder / "all")},
                              folder.path());
  EXPECT_EQ(all.exit_code, 0) << all.err;
  EXPECT_THAT(all.err, HasSubstr("what users say is trained too"));
  const std::string tokenizer = folder / "tokenizer";
  fs::create_directory(tokenizer);
  fs::copy("tests/data/tokenizer/tokenizer.json", tokenizer);
  const Words words = {"hf_path=tests/data/sft/sft.jsonl", "tokenizer_path=" + tokenizer};
  const Outcome none = mistake(words, folder.path());
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("has no conversation template"));
  EXPECT_THAT(none.err, HasSubstr("give one with chat_template_path"));
  Words given = words;
  given.push_back("chat_template_path=" +
                  folder.write("t.jinja",
                               "{% for m in messages %}[{{ m.role }}]{{ m.content }};{% endfor %}"
                               "{% if add_generation_prompt %}[assistant]{% endif %}"));
  given.push_back("--dump_batch=" + (folder / "batch"));
  const Outcome dumped = mistake(given, folder.path());
  EXPECT_EQ(dumped.exit_code, 0) << dumped.err;
}

TEST(FineTuning, PromptsAndCompletionsAreTakenByTheirColumns) {
  TemporaryFolder folder;
  const auto dump = [&](const std::string& columns, const std::string& file) {
    return mistake({"hf_path=tests/data/sft/" + file, "train_data_columns=" + columns,
                    "generate_padding_batch_train=true", "--dump_batch=" + (folder / "batch")},
                   folder.path());
  };
  EXPECT_THAT(dump("[prompt, completion]", "prompt_completion.jsonl").err, HasSubstr("conversations: 30 in"));
  EXPECT_THAT(dump("[question, answer]", "question_answer.jsonl").err, HasSubstr("conversations: 30 in"));
  EXPECT_THAT(dump("[answer, question]", "question_answer.jsonl").err,
              HasSubstr("train_data_columns=[answer, question]: use_sft=True reads [messages], [prompt, completion]"));
  EXPECT_THAT(dump("[text]", "sft.jsonl").err, HasSubstr("train_data_columns=[text]: use_sft=True reads [messages]"));
}

}  // namespace
}  // namespace fathom
