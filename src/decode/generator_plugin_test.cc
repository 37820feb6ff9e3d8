// Decoding with a cache against the forward pass without one.
#include <gmock/gmock.h>

#include <algorithm>
#include <memory>

#include "config/resolve/resolve.h"
#include "decode/generator.h"
#include "session/state_load.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;
using Words = std::vector<std::string>;
using Tokens = std::vector<int32_t>;

// A model of tests/data on virtual devices.
struct Model {
  Config config;
  Session session;
  StateSpec spec;
  State state;

  explicit Model(const std::string& name, const Words& keys = {})
      : config(split_for_decoding(resolved(name, keys))),
        session(config),
        spec(state_spec(config, session.mesh().mesh)),
        state(make_parameters(session, config, spec)) {}

  static Config resolved(const std::string& name, const Words& keys) {
    Words words = {"model_name=auto",
                   "load_parameters_path=tests/data/" + name + "/hf",
                   "hardware=cpu",
                   "dtype=float32",
                   "weight_dtype=float32",
                   "matmul_precision=highest",
                   "steps=1",
                   "run_name=decode",
                   "jax_cache_dir=",
                   "enable_checkpointing=false",
                   "per_device_batch_size=1"};
    words.insert(words.end(), keys.begin(), keys.end());
    return resolve_config(words, {}, {.needs_data = false}).config;
  }

  // Of each row the argmax of the logits at the places from `first` on, by the forward pass.
  std::vector<Tokens> argmax_of_forward(const std::vector<Tokens>& rows, const std::vector<int64_t>& first) {
    size_t longest = 0;
    for (const Tokens& row : rows) longest = std::max(longest, row.size());
    const BatchShape shape{.rows = std::ssize(rows), .length = static_cast<int64_t>(longest)};
    const Compiled program = session.compile([&] { return forward(config, spec, shape); });
    auto array = [&](auto value) {
      HostArray a = HostArray::allocate(DType::kS32, {shape.rows, shape.length});
      for (size_t r = 0; r < rows.size(); ++r) {
        for (size_t i = 0; i < longest; ++i) a.mutable_view<int32_t>()[r * longest + i] = value(r, i);
      }
      return session.upload(a);
    };
    NamedArrays inputs;
    inputs["inputs"] = array([&](size_t r, size_t i) { return i < rows[r].size() ? rows[r][i] : 0; });
    inputs["inputs_position"] = array([](size_t, size_t i) { return static_cast<int32_t>(i); });
    inputs["inputs_segmentation"] = array([&](size_t r, size_t i) { return i < rows[r].size() ? 1 : 0; });
    const HostArray logits = run_on(session, program, state, inputs).at("logits").to_host();
    const auto width = static_cast<size_t>(spec.model.vocab);
    std::vector<Tokens> out(rows.size());
    for (size_t r = 0; r < rows.size(); ++r) {
      for (size_t i = static_cast<size_t>(first[r]); i < rows[r].size(); ++i) {
        auto place = logits.view<float>().subspan((r * longest + i) * width, width);
        out[r].push_back(static_cast<int32_t>(std::ranges::max_element(place) - place.begin()));
      }
    }
    return out;
  }
};

// Of unequal lengths; more of them than the indexer of the small V3.2 keeps.
std::vector<Prompt> prompts(int64_t most) {
  std::vector<Prompt> out;
  for (int64_t length : {3, 41, 17}) {
    Prompt prompt{.ids = {}, .most = most};
    for (int64_t i = 0; i < length; ++i)
      prompt.ids.push_back(static_cast<int32_t>((7 + 131 * i * i + 17 * length) % 1700));
    out.push_back(prompt);
  }
  return out;
}

GeneratorOptions options_of(const std::vector<Prompt>& prompts, int64_t piece = 0) {
  GeneratorOptions out{.prompts = std::ssize(prompts), .piece = piece};
  for (const Prompt& p : prompts) {
    out.longest = std::max(out.longest, std::ssize(p.ids));
    out.length = std::max(out.length, std::ssize(p.ids) + p.most - 1);
  }
  return out;
}

std::vector<Tokens> decoded(Model& model, const std::vector<Prompt>& prompts, int64_t piece = 0) {
  Generator generator(model.session, model.config, model.spec, options_of(prompts, piece));
  return generator.run(model.state, prompts, {});
}

// With guesses of the module for prediction, which untrained weights get wrong nearly always: rows go on unequally.
std::vector<Tokens> drafted(Model& model, const std::vector<Prompt>& prompts, int64_t piece) {
  GeneratorOptions options = options_of(prompts, piece);
  options.draft = true;
  Generator generator(model.session, model.config, model.spec, options);
  std::vector<Tokens> out = generator.run(model.state, prompts, {});
  EXPECT_GT(generator.times().drafted, generator.times().accepted);
  EXPECT_THAT(generator.run(model.state, std::span(prompts).subspan(1, 1), {}), ElementsAre(out[1])) << "alone";
  return out;
}

struct Case {
  const char* name;
  const char* model;
  Words keys;
  int64_t piece;       // of the prefill; 0: one piece
  bool draft = false;  // by the module for prediction
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

const std::vector<Case> kCases = {
    {"V2", "deepseek_v2", {}, 0},
    {"V3InPieces", "deepseek_v3", {"scan_layers=false", "sparse_matmul=false"}, 16},
    {"V32InPieces", "deepseek_v32", {}, 16},
    {"V32InPiecesThatTheIndexerKeepsAllOf", "deepseek_v32", {"scan_layers=false"}, 7},
    {"V32Flash", "deepseek_v32", {"attention=flash"}, 0},
    {"V2InEightBits", "deepseek_v2", {"quantize_weights=int8"}, 0},
    {"V3InEightBits", "deepseek_v3", {"quantize_weights=int8", "scan_layers=false"}, 16},
    {"V3WithDraftsOnAMesh",
     "deepseek_v3",
     {"mtp_num_layers=1", "mtp_variant=maxtext", "ici_tensor_parallelism=2", "cpu_device_count=2"},
     0,
     true},
    {"V32WithDraftsInPieces",
     "deepseek_v32",
     {"mtp_num_layers=1", "init_missing_parameters=['.*mtp_block.*']", "scan_layers=false"},
     16,
     true},
};

class GreedyDecoding : public testing::TestWithParam<Case> {};

TEST_P(GreedyDecoding, IsTheArgmaxOfTheForwardPassAtEachPlace) {
  Model model(GetParam().model, GetParam().keys);
  const std::vector<Prompt> asked = prompts(20);
  const std::vector<Tokens> made = (GetParam().draft ? drafted : decoded)(model, asked, GetParam().piece);
  std::vector<Tokens> rows;
  std::vector<int64_t> first;
  for (size_t i = 0; i < asked.size(); ++i) {
    ASSERT_EQ(made[i].size(), 20u);
    rows.push_back(asked[i].ids);
    rows.back().insert(rows.back().end(), made[i].begin(), made[i].end() - 1);
    first.push_back(std::ssize(asked[i].ids) - 1);
  }
  EXPECT_THAT(made, ElementsAreArray(model.argmax_of_forward(rows, first)));
}

INSTANTIATE_TEST_SUITE_P(Models, GreedyDecoding, testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.name; });

TEST(Decoding, OnAMeshGivesTheTokensOfOneDevice) {
  struct Mesh {
    Words keys;
    int64_t piece;
  };
  const std::vector<Prompt> asked = prompts(12);
  const std::vector<Tokens> one = [&] {
    Model model("deepseek_v32");
    return decoded(model, asked);
  }();
  for (const Mesh& mesh : {Mesh{{"ici_fsdp_parallelism=2", "ici_tensor_parallelism=2"}, 16},
                           Mesh{{"ici_fsdp_parallelism=1", "ici_data_parallelism=2", "ici_expert_parallelism=2"}, 0}}) {
    Words keys = mesh.keys;
    keys.emplace_back("cpu_device_count=4");
    Model model("deepseek_v32", keys);
    EXPECT_THAT(decoded(model, asked, mesh.piece), ElementsAreArray(one)) << keys[0] << " " << keys[1];
  }
}

TEST(Decoding, GoesOnWhereACacheOf2048TokensEnded) {
  Model model("deepseek_v3", {"scan_layers=false"});
  Prompt asked{.ids = {}, .most = 6};
  for (int64_t i = 0; i < kPrefillPiece; ++i) asked.ids.push_back(static_cast<int32_t>((i * i * 31 + 5) % 1700));
  const Tokens whole = decoded(model, {asked})[0];
  asked.ids.insert(asked.ids.end(), whole.begin(), whole.begin() + 2);
  asked.most = 4;
  EXPECT_THAT(decoded(model, {asked})[0], ElementsAreArray(std::span(whole).subspan(2)));
}

// All that needs no model of its own, on one that is compiled once.
class SmallDecoding : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // With a module for prediction, of which decoding knows nothing.
    model_ = std::make_unique<Model>("deepseek_v3", Words{"mtp_num_layers=1"});
    greedy_ = std::make_unique<Generator>(model_->session, model_->config, model_->spec, options_of(prompts(10)));
  }
  static void TearDownTestSuite() {
    greedy_.reset();
    model_.reset();
  }
  static std::unique_ptr<Model> model_;
  static std::unique_ptr<Generator> greedy_;
};
std::unique_ptr<Model> SmallDecoding::model_;
std::unique_ptr<Generator> SmallDecoding::greedy_;

TEST_F(SmallDecoding, OfOtherPromptsBeforeLeavesNothingBehind) {
  std::vector<Prompt> asked = prompts(10);
  const std::vector<Tokens> first = greedy_->run(model_->state, asked, {});
  std::vector<Prompt> others = asked;
  for (Prompt& p : others) std::ranges::reverse(p.ids);
  EXPECT_NE(greedy_->run(model_->state, others, {}), first);
  EXPECT_EQ(greedy_->run(model_->state, asked, {}), first);
  EXPECT_EQ(greedy_->run(model_->state, std::span(asked).subspan(1, 1), {}), std::vector<Tokens>{first[1]}) << "alone";
}

TEST_F(SmallDecoding, OfARowEndsAtTheEndOfSentenceAndTheOthersGoOn) {
  std::vector<Prompt> asked = prompts(10);
  asked[2].most = 2;
  const std::vector<Tokens> all = greedy_->run(model_->state, asked, {});
  const int32_t eos = all[0][4];
  auto until = [&](const Tokens& tokens) { return Tokens(tokens.begin(), std::ranges::find(tokens, eos)); };
  std::vector<Tokens> told(3);
  const std::vector<Tokens> ended =
      greedy_->run(model_->state, asked, {.eos = eos, .first_prompt = 0, .on_token = [&](size_t prompt, int32_t token) {
                                            told[prompt].push_back(token);
                                          }});
  EXPECT_THAT(ended, ElementsAre(until(all[0]), until(all[1]), until(all[2])));
  EXPECT_LT(ended[0].size(), 5u);
  EXPECT_EQ(all[2].size(), 2u);
  EXPECT_EQ(told, ended);
}

TEST_F(SmallDecoding, AtTheFirstTokenMayBeTheEnd) {
  std::vector<Prompt> asked = {prompts(10)[0]};
  const int32_t eos = greedy_->run(model_->state, asked, {})[0][0];
  EXPECT_THAT(greedy_->run(model_->state, asked, {.eos = eos})[0], IsEmpty());
}

TEST_F(SmallDecoding, DrawsTheSameWhateverRunsBeside) {
  const std::vector<Prompt> asked = prompts(10);
  GeneratorOptions options = options_of(asked);
  options.sampling = {.strategy = DecodeStrategy::kWeighted, .temperature = 3, .seed = 5};
  Generator generator(model_->session, model_->config, model_->spec, options);
  const std::vector<Tokens> together = generator.run(model_->state, asked, {});
  EXPECT_NE(together, greedy_->run(model_->state, asked, {}));
  for (size_t i = 0; i < asked.size(); ++i) {
    const auto alone = generator.run(model_->state, std::span(asked).subspan(i, 1), {.first_prompt = i});
    EXPECT_EQ(alone[0], together[i]) << i;
  }
}

}  // namespace
}  // namespace fathom
