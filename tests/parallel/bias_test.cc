// The rule that moves the router's bias, against counts and biases of a model in float64 with frozen weights
// (tests/data/maxtext/bias.json says how they were made): in every form of the experts, on one device and on four, in
// one and in two micro-batches, scanned and not.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "mesh_run.h"
#include "peer_batch.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr const char* kFolder = "tests/data/deepseek_v3/hf";

const json& expected() {
  static const json all = json::parse(read_file("tests/data/maxtext/bias.json"));
  return all;
}

struct Run {
  int64_t devices = 1;
  std::vector<std::string> keys;
};

// Steps of a model whose other parameters stand still.
class FrozenSteps {
 public:
  FrozenSteps(const Run& run, const json& rate, int64_t rows_at_least)
      : config_(config_of(run, rate)),
        spec_(state_spec(config_, mesh_of(config_, run.devices))),
        rows_at_least_(rows_at_least),
        program_(train_step(config_, spec_, {(4 + rows_at_least - 1) / rows_at_least * rows_at_least, 24})),
        executable_(compile_on_mesh(program_)) {}

  void step(const json& tokens, const json& segments = {}) {
    const ArraysByName batch = peer_batch(tokens, segments, rows_at_least_);
    std::vector<HostArray> arguments = first_arguments(spec_, program_.signature, kFolder, batch);
    for (size_t i = 0; i < state_.size(); ++i) {
      if (!batch.contains(program_.signature.args[i].name)) arguments[i] = state_[i];
    }
    results_ = run_on_mesh(executable_, program_.signature, arguments);
    take_over(arguments, program_.signature, results_);
    state_ = std::move(arguments);
  }

  void expect_counts(const json& layers) const {
    const auto counts = result_named(program_.signature, results_, "expert_load").view<int32_t>();
    double ratio = 0;
    size_t at = 0;
    for (const json& layer : layers) {
      double sum = 0, largest = 0;
      for (const json& count : layer) {
        EXPECT_EQ(counts[at++], count.get<int32_t>());
        sum += count.get<double>();
        largest = std::max(largest, count.get<double>());
      }
      ratio = std::max(ratio, largest * static_cast<double>(layer.size()) / sum);
    }
    EXPECT_EQ(at, counts.size());
    EXPECT_NEAR(named_numbers(program_.signature, results_, "scalars").at("moe_max_load_ratio"), ratio, 1e-6 * ratio);
  }

  // To the last bit: a bias is moved in float32.
  void expect_bias(const json& layers) const {
    for (size_t i = 0; i < layers.size(); ++i) {
      const bool scanned = config_.scan_layers;
      const HostArray& bias =
          result_named(program_.signature, results_,
                       scanned ? "params.decoder.moe_layers.moe.router_bias"
                               : "params.decoder.moe_layers." + std::to_string(i) + ".moe.router_bias");
      for (size_t e = 0; e < layers[i].size(); ++e) {
        EXPECT_EQ(bias.view<float>()[(scanned ? i * layers[i].size() : 0) + e], layers[i][e].get<float>())
            << "layer " << i << ", expert " << e;
      }
    }
  }

 private:
  static Config config_of(const Run& run, const json& rate) {
    std::vector<std::string> words = {"per_device_batch_size=1", "max_target_length=24", "learning_rate=0",
                                      "routed_bias_update_rate=" + rate.dump(), "remat_policy=full"};
    words.insert(words.end(), run.keys.begin(), run.keys.end());
    return folder_config(kFolder, words);
  }

  Config config_;
  StateSpec spec_;
  int64_t rows_at_least_;
  Program program_;
  Executable executable_;
  std::vector<HostArray> results_, state_;
};

void expect_five_steps(const Run& run, size_t rate, int64_t rows_at_least = 1) {
  const json& one = expected().at("cases").at(rate);
  FrozenSteps steps(run, one.at("routed_bias_update_rate"), rows_at_least);
  for (size_t i = 0; i < one.at("steps").size(); ++i) {
    SCOPED_TRACE("step " + std::to_string(i));
    steps.step(expected().at("tokens").at(i));
    steps.expect_counts(one.at("steps").at(i).at("counts"));
    steps.expect_bias(one.at("steps").at(i).at("bias_after"));
  }
}

TEST(RoutersBias, FollowsTheCountsOfTheSortedForm) {
  expect_five_steps({.devices = 1, .keys = {"sparse_matmul=True"}}, 1);
}

TEST(RoutersBias, FollowsTheCountsOfAllDevices) {
  expect_five_steps({.devices = 4,
                     .keys = {"sparse_matmul=False", "cpu_device_count=4", "ici_fsdp_parallelism=1",
                              "ici_data_parallelism=2", "ici_expert_parallelism=2"}},
                    0);
}

TEST(RoutersBias, FollowsTheCountsOfAllMicroBatchesLayerByLayer) {
  expect_five_steps({.devices = 1,
                     .keys = {"sparse_matmul=False", "gradient_accumulation_steps=2", "scan_layers=False",
                              "per_device_batch_size=2"}},
                    0);
}

TEST(RoutersBias, FollowsTheCountsOfAllDevicesAndMicroBatches) {
  expect_five_steps({.devices = 4,
                     .keys = {"sparse_matmul=True", "cpu_device_count=4", "ici_fsdp_parallelism=1",
                              "ici_expert_parallelism=4", "gradient_accumulation_steps=2"}},
                    1, 8);
}

TEST(RoutersBias, CountsNoPadding) {
  const json& one = expected().at("padding");
  FrozenSteps steps({.devices = 1, .keys = {"sparse_matmul=True"}}, one.at("routed_bias_update_rate"), 1);
  steps.step(expected().at("tokens").at(0), one.at("segments"));
  steps.expect_counts(one.at("counts"));
  steps.expect_bias(one.at("bias_after"));
}

TEST(RoutersBias, CountsWhatIsDropped) {
  const json& one = expected().at("dropping");
  FrozenSteps steps({.devices = 1, .keys = {"sparse_matmul=False", "capacity_factor=1.0"}},
                    one.at("routed_bias_update_rate"), 1);
  steps.step(expected().at("tokens").at(0));
  steps.expect_counts(one.at("counts"));
  steps.expect_bias(one.at("bias_after"));
}

}  // namespace
}  // namespace fathom
