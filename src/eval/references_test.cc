#include "eval/references.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "checkpoint/safetensors_writer.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

HostArray floats(std::vector<int64_t> sizes) {
  HostArray out = HostArray::allocate(DType::kF32, std::move(sizes));
  float next = 0;
  for (float& x : out.mutable_view<float>()) x = next++;
  return out;
}

HostArray tokens(std::vector<int64_t> sizes, int64_t first = 0) {
  HostArray out = HostArray::allocate(DType::kS64, std::move(sizes));
  for (int64_t& x : out.mutable_view<int64_t>()) x = first++;
  return out;
}

std::string fault(const std::function<void()>& read) {
  try {
    read();
  } catch (const FormatError& e) {
    return e.what();
  }
  return "";
}

TEST(GoldenLogits, ALineNamesItsRowAndKeepsItsNumbers) {
  TemporaryFolder folder;
  std::string path = folder.write("golden_logits.jsonl",
                                  "{\"prompt\": \"a\", \"tokens\": [7, 3], \"logits\": [[0.1, 1], [2, 3]]}\n\n"
                                  "{\"tokens\": [1], \"logits\": [[5, 6]]}\n");
  auto rows = read_golden_logits(path, "golden_logits.jsonl");
  ASSERT_EQ(rows.size(), 2);
  EXPECT_THAT(rows[0].row.tokens, ElementsAre(7, 3));
  EXPECT_THAT(rows[0].logits.view<float>(), ElementsAre(0.1f, 1, 2, 3));
  EXPECT_EQ(rows[1].row.where, "golden_logits.jsonl:3");
}

TEST(GoldenLogits, NumbersThatAreNoneAreReadAsPythonWritesThem) {
  TemporaryFolder folder;
  std::string path = folder.write("g.jsonl",
                                  "{\"prompt\": \"NaN \\\" Infinity\", \"tokens\": [7], "
                                  "\"logits\": [[NaN, Infinity, -Infinity, 2]]}\n");
  auto rows = read_golden_logits(path, "g.jsonl");
  ASSERT_EQ(rows.size(), 1);
  EXPECT_EQ(rows[0].prompt, "NaN \" Infinity");
  EXPECT_THAT(rows[0].logits.view<float>(), ElementsAre(testing::IsNan(), HUGE_VALF, -HUGE_VALF, 2));
}

TEST(GoldenLogits, ABrokenLineIsNamed) {
  TemporaryFolder folder;
  auto says = [&](const std::string& line) {
    std::string path = folder.write("g.jsonl", "{\"tokens\": [1], \"logits\": [[5]]}\n" + line);
    return fault([&] { read_golden_logits(path, "g.jsonl"); });
  };
  EXPECT_THAT(says("{"), HasSubstr("line 2"));
  EXPECT_THAT(says("{\"tokens\": [1]}"), AllOf(HasSubstr("line 2"), HasSubstr("logits")));
  EXPECT_THAT(says("{\"tokens\": [1, 2], \"logits\": [[5]]}"), HasSubstr("line 2"));
  EXPECT_THAT(says("{\"tokens\": [1, 2], \"logits\": [[5, 6], [7]]}"), HasSubstr("line 2"));
  EXPECT_THAT(says("{\"tokens\": [], \"logits\": []}"), HasSubstr("no tokens"));
  // 2^32 and 2^40 would be token 0 in 32 bits.
  for (const char* id : {"-1", "4294967296", "1099511627776", "18446744073709551615", "1.5", "\"1\""}) {
    EXPECT_THAT(says(fmt::format("{{\"tokens\": [{}], \"logits\": [[5]]}}", id)), HasSubstr("is no token")) << id;
  }
  EXPECT_THAT(says("{\"tokens\": 1, \"logits\": [[5]]}"), HasSubstr("line 2: no list of tokens"));
  EXPECT_THAT(says("{\"tokens\": [1], \"tokens\": [2], \"logits\": [[5]]}"),
              HasSubstr("line 2: the key 'tokens' stands twice"));
  EXPECT_THAT(says(std::string(1000000, '[')), HasSubstr("line 2: more than 100 JSON lists"));
}

TEST(LogitsFile, TakesAnyNumberOfPromptsLastPositionsAndABatch) {
  TemporaryFolder folder;
  write_safetensors(folder / "logits.safetensors", {{"prompt7.tokens", tokens({2})},
                                                    {"prompt7.logits", floats({2, 3})},
                                                    {"far.tokens", tokens({9})},
                                                    {"far.last4_logits", floats({4, 3})},
                                                    {"batch.tokens", tokens({2, 5}, 10)},
                                                    {"batch.logits", floats({2, 5, 3})}});
  EXPECT_EQ(read_prompt_logits(folder / "logits.safetensors").size(), 2);
  auto batch = read_batch_logits(folder / "logits.safetensors");
  ASSERT_EQ(batch.size(), 2);
  EXPECT_THAT(batch[1].row.tokens, ElementsAre(15, 16, 17, 18, 19));
  EXPECT_EQ(batch[1].logits.view<float>()[0], 15);
}

TEST(LogitsFile, NamesTensorsThatDoNotBelongTogether) {
  TemporaryFolder folder;
  auto says = [&](const std::map<std::string, HostArray>& tensors) {
    write_safetensors(folder / "l.safetensors", tensors);
    return fault([&] {
      read_prompt_logits(folder / "l.safetensors");
      read_batch_logits(folder / "l.safetensors");
    });
  };
  EXPECT_THAT(says({{"a.logits", floats({2, 3})}}), HasSubstr("a.tokens"));
  EXPECT_THAT(says({{"a.logits", floats({2, 3})}, {"a.tokens", tokens({3})}}), HasSubstr("2 positions"));
  EXPECT_THAT(says({{"a.last9_logits", floats({9, 3})}, {"a.tokens", tokens({3})}}), HasSubstr("9 positions"));
  EXPECT_THAT(says({{"a.logits", floats({3})}, {"a.tokens", tokens({3})}}), HasSubstr("axes"));
  EXPECT_THAT(says({{"a.logits", floats({1, 3})}, {"a.tokens", tokens({1}, -1)}}), HasSubstr("no token"));
  EXPECT_THAT(says({{"noise", floats({3})}}), HasSubstr("noise"));
  EXPECT_THAT(says({{"a.tokens", tokens({3})}}), HasSubstr("a.tokens: there are no logits of them"));
  EXPECT_THAT(says({{"batch.tokens", tokens({2, 3})}}), HasSubstr("batch.logits is missing"));
  EXPECT_THAT(says({{"batch.logits", floats({2, 3, 4})}}), HasSubstr("batch.tokens is missing"));
}

constexpr const char* kTraining = R"({
    "optimizer": {"lr": 0.5, "betas": [0.1, 0.2], "eps": 1e-8, "weight_decay": 0}, "loss_before": 4,
    "losses_of_steps_1_to_2": [3, 2], "loss_after_step_2": 1, "grad_norms": {"a": 5},
    "parameter_norms_after_step_2": {"a": 4}, "no_gradient": ["b"]})";

TEST(TrainingFile, TakesTheNumberOfStepsAndTheOptimizerFromTheFile) {
  TemporaryFolder folder;
  TrainingFile file = read_training_file(folder.write("training.json", kTraining));
  EXPECT_THAT(file.missing_for_gradients, ElementsAre());
  EXPECT_THAT(file.missing_for_adamw, ElementsAre());
  EXPECT_EQ(file.optimizer, (OptimizerSettings{0.5, 0.1, 0.2, 1e-8, 0, 2}));
  EXPECT_EQ(file.loss_after, 1);
  EXPECT_EQ(file.parameter_norms.at("a"), 4);
  EXPECT_TRUE(file.without_gradient.contains("b"));
  EXPECT_THAT(fault([&] { read_training_file(folder.write("training.json", R"({"loss_before": "x"})")); }),
              HasSubstr("training.json"));
}

TEST(TrainingFile, NotesWhatIsMissingForEachCheck) {
  TemporaryFolder folder;
  auto without = [&](const char* pointer) {
    nlohmann::json file = nlohmann::json::parse(kTraining);
    const nlohmann::json::json_pointer place(pointer);
    file.at(place.parent_pointer()).erase(place.back());
    return read_training_file(folder.write("training.json", file.dump()));
  };
  for (const char* key : {"grad_norms", "no_gradient"}) {
    TrainingFile file = without((std::string("/") + key).c_str());
    EXPECT_THAT(file.missing_for_gradients, ElementsAre(std::string(key) + " is missing"));
    EXPECT_THAT(file.missing_for_adamw, ElementsAre());
  }
  for (const char* key : {"/optimizer", "/optimizer/lr", "/optimizer/betas", "/optimizer/eps",
                          "/optimizer/weight_decay", "/loss_before", "/losses_of_steps_1_to_2", "/loss_after_step_2",
                          "/parameter_norms_after_step_2", "/parameter_norms_after_step_2/a"}) {
    TrainingFile file = without(key);
    EXPECT_THAT(file.missing_for_gradients, ElementsAre()) << key;
    EXPECT_THAT(file.missing_for_adamw, testing::Not(testing::IsEmpty())) << key;
  }
  nlohmann::json cut = nlohmann::json::parse(kTraining);
  cut["losses_of_steps_1_to_2"] = {3};
  EXPECT_THAT(read_training_file(folder.write("training.json", cut.dump())).missing_for_adamw,
              ElementsAre("there are 1 losses of 2 steps"));
}

TEST(TrainingTokens, ARowHoldsOneTokenMoreThanItsLength) {
  TemporaryFolder folder;
  write_safetensors(folder / "t.safetensors", {{"tokens", tokens({2, 4})}});
  TrainingTokens batch = read_training_tokens(folder / "t.safetensors");
  EXPECT_EQ(batch.rows, 2);
  EXPECT_EQ(batch.length, 3);
  write_safetensors(folder / "t.safetensors", {{"tokens", tokens({2, 1})}});
  EXPECT_THAT(fault([&] { read_training_tokens(folder / "t.safetensors"); }), HasSubstr("two tokens"));
}

}  // namespace
}  // namespace fathom
