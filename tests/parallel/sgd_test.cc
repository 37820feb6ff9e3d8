// opt_type=sgd: parameter - rate * clip * gradient, and nothing kept beside the parameters.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "mesh_run.h"

namespace fathom {
namespace {

constexpr BatchShape kShape{4, 32};
constexpr double kRate = 0.5;

Config sgd_config(std::vector<std::string> keys) {
  keys.insert(keys.begin(), {"opt_type=sgd", "learning_rate=0.5", "warmup_steps_fraction=0", "steps=10",
                             "base_num_decoder_layers=1", "first_num_dense_layers=1"});
  return mesh_config(keys);
}

HostArray filled(const TensorType& type) {
  HostArray out = HostArray::allocate(type.dtype, type.shape.sizes());
  std::fill_n(out.mutable_data(), out.bytes(), std::byte{0});
  return out;
}

struct Step {
  std::vector<HostArray> results;
  Signature signature;

  const HostArray& result(const std::string& name) const {
    auto at = std::ranges::find(signature.results, name, &ResultSpec::name);
    return results.at(static_cast<size_t>(at - signature.results.begin()));
  }
};

Step run_step(const Program& program, const Config& config, const std::vector<HostArray>& parameters) {
  std::vector<HostArray> arguments = parameters;
  for (size_t i = parameters.size(); i < program.signature.args.size(); ++i) {
    const ArgSpec& arg = program.signature.args[i];
    if (arg.name == "inputs") {
      for (HostArray& a : drawn_batch(kShape, config.vocab_size)) arguments.push_back(a);
      i += 4;
    } else {
      arguments.push_back(filled(arg.type));
    }
  }
  return {run_on_mesh(program, arguments), program.signature};
}

TEST(Sgd, TakesTheRateTimesTheClippedGradientOffEachParameter) {
  for (const char* clipping : {"gradient_clipping_threshold=0", "gradient_clipping_threshold=0.1"}) {
    const Config config = sgd_config({"cpu_device_count=1", clipping});
    const StateSpec spec = state_spec(config);
    const std::vector<HostArray> parameters = drawn_parameters(config);
    const Step gradient = run_step(gradient_step(config, spec, kShape), config, parameters);
    const Step step = run_step(train_step(config, spec, kShape), config, parameters);
    const std::vector<size_t> trained = spec.with_role(StateRole::kTrained);
    double squares = 0;
    for (size_t i : trained) {
      for (float x : gradient.result("gradient." + spec.array_name(spec.entries[i])).view<float>()) {
        squares += static_cast<double>(x) * static_cast<double>(x);
      }
    }
    const double threshold = config.gradient_clipping_threshold;
    const double clip = threshold > 0 ? std::min(1.0, threshold / std::sqrt(squares)) : 1;
    for (size_t i : trained) {
      const StateEntry& entry = spec.entries[i];
      const HostArray& old = parameters[entry.array];
      auto g = gradient.result("gradient." + spec.array_name(entry)).view<float>();
      HostArray expected = HostArray::allocate(DType::kF32, old.sizes());
      for (size_t k = 0; k < g.size(); ++k) {
        expected.mutable_view<float>()[k] =
            static_cast<float>(static_cast<double>(old.view<float>()[k]) - kRate * clip * static_cast<double>(g[k]));
      }
      EXPECT_LT(relative_difference(step.result(entry.name), expected), 1e-6) << entry.name << " " << clipping;
      EXPECT_GT(relative_difference(step.result(entry.name), old), 1e-6) << entry.name << " has not moved";
    }
  }
}

TEST(Sgd, KeepsNoMomentsAndDecaysNothing) {
  const StateSpec spec = state_spec(sgd_config({}));
  EXPECT_TRUE(spec.with_role(StateRole::kMoment).empty());
  EXPECT_TRUE(std::ranges::none_of(spec.entries, &StateEntry::decayed));
  const StateSpec adamw = state_spec(sgd_config({"opt_type=adamw"}));
  EXPECT_LT(spec.bytes() * 2, adamw.bytes());
  EXPECT_EQ(train_step(sgd_config({}), spec, kShape).signature.args.size(), spec.entries.size() + 5 + 1);
}

TEST(Sgd, AMeshChangesNoUpdate) {
  const Config one = sgd_config({"cpu_device_count=1"});
  const Config many = sgd_config({"ici_fsdp_parallelism=4"});
  const std::vector<HostArray> parameters = drawn_parameters(one);
  const Step expected = run_step(train_step(one, state_spec(one), kShape), one, parameters);
  const StateSpec spec = state_spec(many, mesh_of(many, 4));
  const Step actual = run_step(train_step(many, spec, kShape), many, parameters);
  for (size_t i : spec.with_role(StateRole::kTrained)) {
    const std::string& name = spec.entries[i].name;
    EXPECT_LT(relative_difference(actual.result(name), expected.result(name)), 2e-6) << name;
  }
  EXPECT_LT(relative_difference(actual.result("parameter_squares"), expected.result("parameter_squares")), 1e-6);
}

}  // namespace
}  // namespace fathom
