// Training goes on from states that MaxText wrote, with its numbers. tests/data/maxtext/resume.json: MaxText 0.2.5 gone
// on from the same states, on one batch given again and again.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/file.h"
#include "checkpoint/orbax_folder.h"
#include "train_run.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr double kRounding = 1e-6;  // of the peer's own numbers, relative

json expected() { return json::parse(read_file("tests/data/maxtext/resume.json")); }

std::string text(const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// The tokens of the peer's batch as rows of ids, often enough for all steps.
std::string token_rows(const TemporaryFolder& folder, const json& tokens) {
  std::string lines;
  for (int step = 0; step < 8; ++step) {
    for (const json& row : tokens) lines += json{{"tokens", row}}.dump() + "\n";
  }
  return folder.write("tokens.jsonl", lines);
}

Words keys_of(const json& all, const json& one, const TemporaryFolder& folder) {
  json keys = all.at("common_keys");
  keys.update(one.at("keys"));
  keys.erase("dataset_type");
  Words out;
  for (const auto& [key, value] : keys.items()) out.push_back(key + "=" + text(value));
  for (const char* word : {"defaults=maxtext", "dataset_type=files", "tokenize_train_data=False", "packing=False",
                           "run_name=resumed", "enable_data_shuffling=False", "enable_tensorboard=false",
                           "hardware=cpu", "checkpoint_period=1", "matmul_precision=highest"}) {
    out.emplace_back(word);
  }
  out.push_back("jax_cache_dir=" + compile_cache());
  out.push_back("base_output_directory=" + folder.path());
  out.push_back("dataset_path=" + token_rows(folder, all.at("tokens_4x17")));
  out.push_back("load_full_state_path=tests/data/" + one.at("state").get<std::string>() + "/items");
  return out;
}

double l2(const OrbaxFolder& folder, const std::function<bool(const std::string&)>& chosen) {
  double sum = 0;
  for (const StoredArray& array : folder.arrays()) {
    if (!chosen(array.name)) continue;
    const HostArray whole = convert(folder.whole(array), DType::kF32);
    for (float x : whole.view<float>()) sum += static_cast<double>(x) * static_cast<double>(x);
  }
  return std::sqrt(sum);
}

// The routers' biases stand beside the parameters: "...gate.bias" of the same path.
void expect_biases(const OrbaxFolder& saved, const json& biases) {
  for (const auto& [path, numbers] : biases.items()) {
    const auto stored = std::ranges::find_if(saved.arrays(), [&, end = "." + path](const StoredArray& a) {
      return a.name.starts_with("nnx_aux") && a.name.ends_with(end);
    });
    ASSERT_NE(stored, saved.arrays().end()) << path;
    const HostArray bias = convert(saved.whole(*stored), DType::kF32);
    const json flat = numbers.flatten();
    ASSERT_EQ(bias.view<float>().size(), flat.size()) << path;
    // Stored [e] or [l e], row by row.
    size_t i = 0;
    for (const json& layer : numbers.front().is_array() ? numbers : json::array({numbers})) {
      for (const json& b : layer) EXPECT_NEAR(bias.view<float>()[i++], b.get<float>(), 1e-7) << path;
    }
  }
}

// What the peer does there is its own (the note in the file): from the second step on its model is another one.
bool differs_after_a_step(const std::string& name) { return name == "full_mtp unscanned"; }

std::vector<const char*> compared_scalars(const json& step, const json& keys) {
  std::vector<const char*> out = {"learning/current_learning_rate",
                                  "learning/loss",
                                  "learning/raw_grad_norm",
                                  "learning/grad_norm",
                                  "learning/param_norm",
                                  "learning/total_weights"};
  if (keys.contains("mtp_num_layers")) out.insert(out.end(), {"learning/lm_loss", "learning/mtp_loss"});
  // The peer's grouped path has another balance loss than its dense one, whose we take.
  if (step.at("learning/moe_lb_loss") > 0 && !keys.contains("megablox")) out.push_back("learning/moe_lb_loss");
  return out;
}

class PeerResume : public testing::TestWithParam<std::string> {};

TEST_P(PeerResume, GoesOnWithThePeersNumbers) {
  const json all = expected();
  const json one = *std::ranges::find_if(all.at("cases"), [](const json& c) { return c.at("name") == GetParam(); });
  TemporaryFolder folder;
  const Outcome outcome = train(keys_of(all, one, folder));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::vector<json> done = read_records(folder / "resumed/metrics.jsonl");
  ASSERT_EQ(done.size(), one.at("steps").size());
  const bool alone = differs_after_a_step(GetParam());
  for (size_t i = 0; i < (alone ? 1 : done.size()); ++i) {
    const json& step = one.at("steps")[i];
    EXPECT_EQ(done[i].at("step"), step.at("step"));
    for (const char* scalar : compared_scalars(step, one.at("keys"))) {
      const double ours = done[i].at(scalar), theirs = step.at(scalar);
      EXPECT_NEAR(ours, theirs, 4 * kRounding * std::fabs(theirs)) << scalar << " of step " << step.at("step");
    }
  }
  if (alone) return;
  const OrbaxFolder saved = OrbaxFolder::open(folder / "resumed/checkpoints/4");
  for (const auto& [name, norm] : one.at("parameter_l2_after_last_step").items()) {
    const double ours = l2(saved, [&](const std::string& stored) { return stored == "params.params." + name; });
    EXPECT_NEAR(ours, norm.get<double>(), 4 * kRounding * norm.get<double>()) << name;
  }
  expect_biases(saved, one.at("steps").back().value("router bias after the step", json::object()));
  for (const char* moment : {"mu", "nu"}) {
    const double theirs = one.at("adam_l2_after_last_step").at(moment);
    const double ours = l2(saved, [&](const std::string& stored) {
      // With a mask the moments stand deeper in the tree.
      return stored.starts_with("opt_state.") && stored.find(fmt::format(".0.{}.", moment)) != std::string::npos;
    });
    EXPECT_NEAR(ours, theirs, 10 * kRounding * theirs) << moment;
  }
}

// Losses of a forward pass in float64, of the first two rows, by the state with a module for prediction.
TEST(Oracle, PredictsWithTheSameLosses) {
  json all = expected();
  json one = *std::ranges::find_if(all.at("cases"), [](const json& c) { return c.at("name") == "full_mtp"; });
  all["tokens_4x17"].erase(3);
  all["tokens_4x17"].erase(2);
  one["keys"].update({{"per_device_batch_size", 2}, {"steps", 3}});
  TemporaryFolder folder;
  const Outcome outcome = train(keys_of(all, one, folder));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json first = read_records(folder / "resumed/metrics.jsonl").at(0);
  EXPECT_NEAR(first.at("learning/lm_loss").get<double>(), 5.016638190, 1e-6);
  EXPECT_NEAR(first.at("learning/mtp_loss").get<double>(), 0.520241684, 1e-7);
}

std::vector<std::string> names() {
  std::vector<std::string> out;
  const json all = expected();
  for (const json& one : all.at("cases")) out.push_back(one.at("name"));
  return out;
}

INSTANTIATE_TEST_SUITE_P(States, PeerResume, testing::ValuesIn(names()), [](const auto& tested) {
  std::string name = tested.param;
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace fathom
