// The command `decode` as a user gives it.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <regex>
#include <thread>

#include "base/file.h"
#include "tokenizer/tokenizer.h"
#include "train_run.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string kModel = "tests/data/deepseek_v3/hf";

// With 32 new tokens; `words` may replace keys.
Words decode_words(const Words& words) {
  Words all = {"decode",
               "configs/base.yml",
               "hardware=cpu",
               "jax_cache_dir=" + compile_cache(),
               "model_name=auto",
               "dtype=float32",
               "weight_dtype=float32",
               "max_prefill_predict_length=16",
               "max_target_length=48"};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}
Outcome decode(const Words& words) { return run(decode_words(words)); }

struct Reference {
  std::string prompt;
  std::vector<int32_t> tokens;
  std::string text;
};

// What Hugging Face decodes greedily: 32 tokens, no end of sentence among them.
std::vector<Reference> references() {
  const auto tokenizer = Tokenizer::load(kModel);
  std::vector<Reference> out;
  for (const json& one : json::parse(read_file("tests/data/deepseek_v3/decode.json"))) {
    std::vector<int32_t> tokens = one["tokens"];
    out.push_back({one["prompt"], tokens, tokenizer->decode(tokens, true)});
  }
  return out;
}

std::string line_of(const Reference& r) { return "Input `" + r.prompt + "` -> `" + r.text + "`\n"; }
std::string ids_of(const Reference& r) {
  std::string out;
  for (int32_t id : r.tokens) out += (out.empty() ? "" : ",") + std::to_string(id);
  return out + "\n";
}

// The page's command, its places filled in: float32, in which the reference was made, its 32 tokens, two devices.
Words command_of_the_page(const std::string& folder, const std::string& prompt) {
  return {"decode", "src/maxtext/configs/base.yml", "base_output_directory=" + folder + "/out", "run_name=decode",
          "model_name=auto", "tokenizer_type=huggingface", "tokenizer_path=" + kModel, "hf_access_token=secret",
          "load_parameters_path=" + folder + "/0/items", "scan_layers=False", "enable_checkpointing=true",
          "async_checkpointing=false", "per_device_batch_size=1", "max_prefill_predict_length=100",
          "max_target_length=132", "attention=dot_product", "dtype=float32", "weight_dtype=float32", "megablox=False",
          "sparse_matmul=False", "ici_tensor_parallelism=2", "ici_fsdp_parallelism=1", "prompt=" + prompt,
          // What the machine of the tests needs beside it.
          "hardware=cpu", "cpu_device_count=2", "jax_cache_dir=" + compile_cache()};
}

TEST(Decode, OfThePagesCommandOnAnUnscannedCheckpointIsTheReferencesText) {
  TemporaryFolder folder;
  const Outcome converted =
      run({"convert_deepseek_family_unscanned_ckpt", "--base_model_path", kModel, "--maxtext_model_path", folder.path(),
           "--model_size", "auto", "--save_dtype", "float32"});
  ASSERT_EQ(converted.exit_code, 0) << converted.err;
  const Reference want = references()[0];
  const Outcome got = run(command_of_the_page(folder.path(), want.prompt));
  EXPECT_EQ(got.exit_code, 0) << got.err;
  EXPECT_EQ(got.out, line_of(want));
  EXPECT_THAT(got.err, AllOf(HasSubstr("first token after "), HasSubstr("seed 1234"), Not(HasSubstr("secret"))));
}

TEST(Decode, OfTokensPrintsTokens) {
  const Outcome got = decode({"load_parameters_path=" + kModel, "--prompt_ids=0,451,223", "--ids"});
  EXPECT_EQ(got.out, ids_of(references()[0])) << got.err;
}

TEST(Decode, OfManyPromptsKeepsTheirOrder) {
  TemporaryFolder folder;
  const std::vector<Reference> want = references();
  std::string prompts;
  for (size_t i = 0; i < want.size(); ++i) {
    json line = {{"prompt", want[i].prompt}};
    if (i == 1) line["max_new_tokens"] = 3;
    prompts += line.dump() + "\n";
  }
  write_file_atomically(folder / "prompts.jsonl", prompts);
  const Outcome got = decode({"load_parameters_path=" + kModel, "--prompts=" + (folder / "prompts.jsonl"),
                              "--output=" + (folder / "out.jsonl"), "per_device_batch_size=2"});
  ASSERT_EQ(got.exit_code, 0) << got.err;
  EXPECT_THAT(got.out, IsEmpty());
  const std::vector<json> records = read_records(folder / "out.jsonl");
  ASSERT_EQ(records.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    std::vector<int32_t> tokens = want[i].tokens;
    if (i == 1) tokens.resize(3);
    EXPECT_EQ(records[i]["prompt"], want[i].prompt);
    EXPECT_EQ(records[i]["tokens"], tokens);
  }
  EXPECT_EQ(records[0]["text"], want[0].text);
}

// The first step's rate is 0: the weights are those that it began with.
TEST(Decode, TakesTheNewestStepOfARun) {
  TemporaryFolder folder;
  const Outcome trained =
      train(keys_with({"steps=1", "enable_checkpointing=true", "z_loss_multiplier=0"}, folder.path()));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const Reference want = references()[1];
  const Outcome by_folder = decode({"load_parameters_path=" + (folder / "run"), "prompt=" + want.prompt});
  EXPECT_EQ(by_folder.out, line_of(want)) << by_folder.err;
  const Outcome by_name = decode({"base_output_directory=" + folder.path(), "run_name=run", "prompt=" + want.prompt});
  EXPECT_EQ(by_name.out, line_of(want)) << by_name.err;
  // The file names the weights that the run began with.
  const Outcome by_file = run({"decode", folder / "run/config.yml", "max_prefill_predict_length=16",
                               "max_target_length=48", "prompt=" + want.prompt});
  EXPECT_EQ(by_file.out, line_of(want)) << by_file.err;
  EXPECT_THAT(by_file.err, HasSubstr("newest step, " + (folder / "run/checkpoints/0")));
}

TEST(Decode, OfAFloat8FolderIsThatOfItsWeightsInBfloat16) {
  TemporaryFolder folder;
  const Outcome converted = run({"deepseek_fp8_to_bf16", "--input-fp8-hf-path=tests/data/deepseek_v3/hf_fp8",
                                 "--output-bf16-hf-path=" + (folder / "bf16")});
  ASSERT_EQ(converted.exit_code, 0) << converted.err;
  auto ids = [&](const std::string& weights) {
    return decode({"load_parameters_path=" + weights, "weight_dtype=bfloat16", "--prompt_ids=0,451,223", "--ids",
                   "--ignore_eos"});
  };
  const Outcome got = ids("tests/data/deepseek_v3/hf_fp8");
  EXPECT_EQ(got.exit_code, 0) << got.err;
  EXPECT_EQ(std::ranges::count(got.out, ','), 31) << got.out;
  EXPECT_EQ(got.out, ids(folder / "bf16").out);
}

// Trained from nothing: the module's guesses are worth something only after some hundred steps.
TEST(Decode, WithTheModuleOfATrainedModelTakesFewerPassesToTheSameTokens) {
  TemporaryFolder folder;
  const Outcome trained = train(keys_with(
      {"steps=300", "enable_checkpointing=true", "checkpoint_period=1000", "mtp_num_layers=1",
       "mtp_loss_scaling_factor=0.5", "learning_rate=3e-3", "learning_rate_schedule_steps=300",
       "warmup_steps_fraction=0.05", "per_device_batch_size=4", "max_target_length=64", "z_loss_multiplier=0"},
      folder.path()));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  std::string prompts;
  for (const char* text : {"Return a new", "The ", "class of the", "import the module and", "a string"}) {
    prompts += json{{"prompt", text}}.dump() + "\n";
  }
  write_file_atomically(folder / "prompts.jsonl", prompts);
  auto decoded = [&](const Words& more) {
    Words words = {"load_parameters_path=" + (folder / "run"), "max_target_length=96", "per_device_batch_size=5",
                   "--prompts=" + (folder / "prompts.jsonl"), "--ignore_eos"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome got = decode(words);
    EXPECT_EQ(got.exit_code, 0) << got.err;
    return got;
  };
  const Outcome alone = decoded({}), drafted = decoded({"decode_draft=mtp"});
  EXPECT_EQ(drafted.out, alone.out);
  EXPECT_THAT(alone.err, Not(HasSubstr("draft: ")));
  std::smatch said;
  ASSERT_TRUE(std::regex_search(drafted.err, said, std::regex("draft: ([0-9]+) of ([0-9]+) guesses"))) << drafted.err;
  const int accepted = std::stoi(said[1]), guessed = std::stoi(said[2]);
  EXPECT_GT(accepted, 0.3 * guessed);
  EXPECT_LE(accepted + guessed, 5 * 80) << "each pass gives a token, and one more where the guess is right";
}

TEST(Decode, InPiecesOfThePeersKeyIsTheSame) {
  const Reference want = references()[0];
  const Outcome got = decode(
      {"load_parameters_path=" + kModel, "prompt=" + want.prompt, "use_chunked_prefill=true", "prefill_chunk_size=2"});
  EXPECT_EQ(got.out, line_of(want)) << got.err;
}

TEST(Decode, FailsWhereTheTextIsNotTheAssertedOne) {
  const Reference want = references()[0];
  const Words words = {"load_parameters_path=" + kModel, "prompt=" + want.prompt};
  Words right = words, wrong = words;
  right.push_back("autoregressive_decode_assert=" + want.text.substr(0, 9));
  wrong.push_back("autoregressive_decode_assert=x");
  EXPECT_EQ(decode(right).exit_code, 0);
  const Outcome got = decode(wrong);
  EXPECT_EQ(got.exit_code, 1);
  EXPECT_THAT(got.err, HasSubstr("autoregressive_decode_assert"));
}

TEST(Decode, DrawsTheSameTextWithTheSameSeedOnAMesh) {
  const Words words = {"load_parameters_path=" + kModel,
                       "decode_sampling_strategy=composite",
                       "decode_sampling_top_k=40",
                       "decode_sampling_nucleus_p=0.95",
                       "--ids",
                       "--ignore_eos"};
  auto drawn = [&](const Words& more) {
    Words all = words;
    all.insert(all.end(), more.begin(), more.end());
    const Outcome got = decode(all);
    EXPECT_EQ(got.exit_code, 0) << got.err;
    return got.out;
  };
  const std::string first = drawn({"--seed=7"});
  EXPECT_EQ(drawn({"--seed=7", "cpu_device_count=2"}), first);
  EXPECT_NE(drawn({"--seed=8"}), first);
}

TEST(Decode, SaysWhatIsWrongBeforeAnythingIsLoaded) {
  auto refusal = [](const Words& words) {
    const Outcome got = decode(words);
    EXPECT_EQ(got.exit_code, 2) << got.err;
    EXPECT_THAT(got.out, IsEmpty());
    EXPECT_THAT(got.err, AllOf(Not(HasSubstr("compil")), Not(HasSubstr("loading"))));
    return got.err;
  };
  const std::string model = "load_parameters_path=" + kModel;
  EXPECT_THAT(refusal({model, "max_prefill_predict_length=4", "prompt=The lazy dog jumps over"}),
              AllOf(HasSubstr("12 tokens"), HasSubstr("max_prefill_predict_length is 4")));
  EXPECT_THAT(refusal({model, "--prompt_ids=1,1792"}), HasSubstr("vocabulary of 1792"));
  EXPECT_THAT(refusal({model, "--output=x.jsonl"}), HasSubstr("--output"));
  EXPECT_THAT(refusal({model, "--prompt_ids=1,2", "prompt=The"}), HasSubstr("prompt and --prompt_ids exclude"));
  EXPECT_THAT(refusal({model, "prompt=null"}), HasSubstr("prompt=null: is no text"));
  TemporaryFolder folder;
  const std::string broken = folder.write("p.jsonl", "{\"prompt_ids\": [1]}\n{\"prompt\": x}\n");
  EXPECT_THAT(
      refusal({model, "--prompts=" + broken}),
      AllOf(HasSubstr("p.jsonl: line 2: not JSON: at column 12: invalid literal"), Not(HasSubstr("exception"))));
  EXPECT_THAT(refusal({model, "--prompts=nowhere.jsonl"}), HasSubstr("nowhere.jsonl"));
  EXPECT_THAT(refusal({model, "decode_sampling_strategy=topk"}), HasSubstr("decode_sampling_top_k above 0"));
  EXPECT_THAT(refusal({model, "decode_draft=mtp", "decode_sampling_strategy=weighted"}),
              HasSubstr("needs decode_sampling_strategy=greedy"));
  EXPECT_THAT(
      refusal({"load_parameters_path=tests/data/deepseek_v2/hf", "decode_draft=mtp", "--prompt_ids=1", "--ids"}),
      HasSubstr("deepseek_v2/hf holds no module for multi-token prediction"));
  EXPECT_THAT(refusal({"model_name=deepseek3-tiny", "tokenizer_path=" + kModel}),
              HasSubstr("no weights: give load_parameters_path=FOLDER"));
}

// What is finished stays, and the same command makes the rest alone.
TEST(Decode, ThatIsStoppedKeepsWhatIsFinishedAndGoesOn) {
  TemporaryFolder folder;
  std::string prompts;
  for (int i = 0; i < 40; ++i) prompts += json{{"prompt_ids", {0, 451, 223 + i}}}.dump() + "\n";
  const std::string file = folder.write("p.jsonl", prompts), whole = folder / "whole", stopped = folder / "stopped";
  const Words words = {"load_parameters_path=" + kModel, "per_device_batch_size=3", "--prompts=" + file, "--ignore_eos",
                       "decode_sampling_strategy=weighted"};
  auto to = [&](const std::string& output, const Words& more) {
    Words all = words;
    all.push_back("--output=" + output);
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  ASSERT_EQ(decode(to(whole, {})).exit_code, 0);
  {
    Process running(decode_words(to(stopped, {})));
    // Two lines at least: the last one is cut short below.
    auto lines = [&] { return std::filesystem::exists(stopped) ? std::ranges::count(read_file(stopped), '\n') : 0; };
    while (running.running() && lines() < 2) std::this_thread::yield();
    running.send(SIGTERM);
    EXPECT_EQ(running.wait(), 128 + SIGTERM);
  }
  const std::string all = read_file(whole), kept = read_file(stopped);
  EXPECT_GT(std::ranges::count(kept, '\n'), 0);
  EXPECT_LT(kept.size(), all.size());
  EXPECT_TRUE(all.starts_with(kept));
  write_file_atomically(stopped, kept.substr(0, kept.size() - 3));
  const Outcome rest = decode(to(stopped, {}));
  EXPECT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_THAT(rest.err, HasSubstr(" of 40 prompts are done in "));
  EXPECT_EQ(read_file(stopped), all);
  const Outcome nothing = decode(to(stopped, {}));
  EXPECT_EQ(nothing.exit_code, 0);
  EXPECT_THAT(nothing.err, AllOf(HasSubstr("40 of 40 prompts are done in "), Not(HasSubstr("first token after"))));
  // Of another run they are written over, and said so.
  const Outcome other = decode(to(stopped, {"--seed=7"}));
  EXPECT_THAT(other.err, HasSubstr("holds completions of other prompts, weights or keys; they are replaced"));
  EXPECT_NE(read_file(stopped), all);
  EXPECT_EQ(std::ranges::count(read_file(stopped), '\n'), 40);
}

TEST(Decode, OfAnotherModelOfTheSameWeightsBeginsAnew) {
  TemporaryFolder folder;
  const std::string file = folder.write("p.jsonl", R"({"prompt_ids": [0, 451, 223], "max_new_tokens": 3})");
  Words words = {"load_parameters_path=" + kModel, "--ids", "--prompts=" + file, "--output=" + (folder / "out")};
  ASSERT_EQ(decode(words).exit_code, 0);
  words.insert(words.end(), {"override_model_config=True", "num_experts_per_tok=1"});
  const Outcome other = decode(words);
  EXPECT_EQ(other.exit_code, 0) << other.err;
  EXPECT_THAT(other.err, HasSubstr("holds completions of other prompts, weights or keys; they are replaced"));
}

TEST(Decode, DoesNotGoOnBehindACompletionThatWasChanged) {
  TemporaryFolder folder;
  const std::string file = folder.write("p.jsonl", R"({"prompt_ids": [0, 451, 223], "max_new_tokens": 3})");
  const std::string output = folder / "out";
  const Words words = {"load_parameters_path=" + kModel, "--prompts=" + file, "--output=" + output};
  ASSERT_EQ(decode(words).exit_code, 0);
  std::string text = read_file(output);
  text.insert(text.find("\"text\":\"") + 8, "my ");
  write_file_atomically(output, text);
  const Outcome refused = decode(words);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("out: line 1"), HasSubstr("changed since it was written"),
                                 HasSubstr("give --output another name")));
  EXPECT_EQ(read_file(output), text);
}

// The marks of lines hold what the weights are, and not where they lie alone.
TEST(Decode, OfOtherWeightsInTheSameFolderBeginsAnew) {
  TemporaryFolder folder;
  const std::string model = folder / "model", weights = model + "/model.safetensors", output = folder / "out";
  std::filesystem::copy(kModel, model);
  const std::string file = folder.write("p.jsonl", R"({"prompt_ids": [0, 451, 223], "max_new_tokens": 3})");
  const Words words = {"load_parameters_path=" + model, "--ids", "--prompts=" + file, "--output=" + output};
  ASSERT_EQ(decode(words).exit_code, 0);
  EXPECT_THAT(decode(words).err, HasSubstr("1 of 1 prompt are done in "));
  change_weights(weights);
  const Outcome other = decode(words);
  EXPECT_EQ(other.exit_code, 0) << other.err;
  EXPECT_THAT(other.err, HasSubstr("holds completions of other prompts, weights or keys; they are replaced"));
}

TEST(Decode, RefusesToWriteOverWhatIsNoFileOfCompletions) {
  TemporaryFolder folder;
  const std::string prompts = folder.write("p.jsonl", R"({"prompt_ids": [1, 2]})");
  for (const std::string text : {"keep me\n", "keep me", "{\"prompt_ids\": [1, 2], \"tokens\": [3]}\n"}) {
    const std::string other = folder.write("notes.txt", text);
    const Outcome refused =
        decode({"load_parameters_path=" + kModel, "--ids", "--prompts=" + prompts, "--output=" + other});
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_THAT(refused.err, AllOf(HasSubstr("notes.txt: line 1"), HasSubstr("give --output another name"),
                                   Not(HasSubstr("exception"))));
    EXPECT_EQ(read_file(other), text);
  }
}

TEST(Decode, OfPromptsOnStdinIsThatOfAFile) {
  TemporaryFolder folder;
  const std::string prompts =
      "{\"prompt_ids\": [0, 451, 223], \"max_new_tokens\": 5}\n\n"
      "{\"prompt_ids\": [0, 7], \"max_new_tokens\": 2}\n{\"prompt_ids\": [0, 9]}\n";
  const Words words = {"load_parameters_path=" + kModel, "--ids", "per_device_batch_size=2"};
  auto with = [&](const Words& more) {
    Words all = decode_words(words);
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const Outcome of_file = run(with({"--prompts=" + folder.write("p.jsonl", prompts)}));
  ASSERT_EQ(of_file.lines().size(), 3u) << of_file.err;
  EXPECT_EQ(run(with({"--prompts=-"}), prompts).out, of_file.out);
  EXPECT_EQ(run(with({"--prompts", "-"}), prompts).out, of_file.out);
  const Outcome wrong = run(with({"--prompts=-"}), prompts + "{}\n");
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("stdin: line 5: an object has either"));
  EXPECT_THAT(run(with({"--prompts=-"}), "").err, HasSubstr("stdin: there are no prompts"));
}

TEST(Decode, OfManyPromptsWithIdsWritesNoText) {
  TemporaryFolder folder;
  const std::string file = folder.write("p.jsonl", R"({"prompt_ids": [0, 451, 223], "max_new_tokens": 3})");
  const Outcome got = decode({"load_parameters_path=" + kModel, "--ids", "--prompts=" + file});
  ASSERT_EQ(got.exit_code, 0) << got.err;
  const json line = json::parse(got.out);
  EXPECT_TRUE(line.contains("tokens") && !line.contains("text")) << got.out;
}

TEST(Decode, RefusesToWriteOverItsPrompts) {
  TemporaryFolder folder;
  const std::string file = folder.write("p.jsonl", R"({"prompt_ids": [1, 2]})");
  const Outcome refused = decode({"load_parameters_path=" + kModel, "--ids", "--prompts=" + file, "--output=" + file});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("is the file of the prompts"));
}

TEST(Results, ThatCannotBeWrittenAreAFault) {
  const std::string command = std::string(std::getenv("FATHOM_BINARY")) + " keys >/dev/full 2>/dev/null";
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 1);
}

}  // namespace
}  // namespace fathom
