// Training steps against what MaxText recorded, whatever the form of the experts: one balance loss for all.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "config/resolve/resolve.h"
#include "mesh_run.h"
#include "peer_batch.h"

namespace fathom {
namespace {

constexpr const char* kFolder = "tests/data/maxtext";

struct Form {
  const char* name;
  int64_t devices;
  std::vector<std::string> keys;
};
void PrintTo(const Form& form, std::ostream* out) { *out << form.name; }

Config config_of(const Form& form) {
  std::vector<std::string> keys = {"model_name=auto",
                                   std::string("load_parameters_path=") + kFolder + "/hf",
                                   "max_target_length=16",
                                   "per_device_batch_size=1",
                                   "steps=12",
                                   "warmup_steps_fraction=0.25",
                                   "attention=dot_product",
                                   "load_balance_loss_weight=0.01",
                                   "ici_fsdp_parallelism=1"};
  for (const std::string& key : form.keys) {
    const std::string_view name = std::string_view(key).substr(0, key.find('=') + 1);
    std::erase_if(keys, [&](const std::string& k) { return k.starts_with(name); });
    keys.push_back(key);
  }
  keys.insert(keys.begin(),
              {"configs/base.yml", "dataset_type=synthetic", "run_name=test", "dtype=float32", "weight_dtype=float32"});
  return resolve_config(keys, {}).config;
}

class PeerRecords : public testing::TestWithParam<Form> {};

// Float32 sums in another order: 2e-6 on the losses of equal weights, which AdamW magnifies by dividing small gradients
// by their own size. The two definitions of the balance loss differ by 1e-4 of it.
TEST_P(PeerRecords, OfTwelveStepsWithTheBalanceLossAreMet) {
  const nlohmann::json record = nlohmann::json::parse(read_file(std::string(kFolder) + "/training.json"));
  const Config config = config_of(GetParam());
  const StateSpec spec = state_spec(config, mesh_of(config, GetParam().devices));
  const Program program = train_step(config, spec, {4, 16});
  const Executable executable = compile_on_mesh(program);
  std::vector<HostArray> arguments =
      first_arguments(spec, program.signature, std::string(kFolder) + "/hf", peer_batch(record["tokens"]));
  for (const nlohmann::json& step : record["steps"]) {
    std::vector<HostArray> results = run_on_mesh(executable, program.signature, arguments);
    take_over(arguments, program.signature, results);
    const auto scalars = named_numbers(program.signature, results, "scalars");
    SCOPED_TRACE(step.dump());
    auto recorded = [&](const char* name) { return step[std::string("learning/") + name].get<double>(); };
    EXPECT_NEAR(scalars.at("lm_loss"), recorded("lm_loss"), 5e-6);
    EXPECT_NEAR(scalars.at("moe_lb_loss"), recorded("moe_lb_loss"), 2e-8);
    EXPECT_NEAR(scalars.at("loss"), recorded("loss"), 5e-6);
    EXPECT_NEAR(scalars.at("raw_grad_norm"), recorded("raw_grad_norm"), 1e-5);
    EXPECT_NEAR(scalars.at("learning_rate"), recorded("current_learning_rate"), 1e-11);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Forms, PeerRecords,
    testing::Values(Form{"Dense", 1, {"sparse_matmul=False", "cpu_device_count=1"}},
                    Form{"Grouped", 1, {"sparse_matmul=True", "cpu_device_count=1"}},
                    Form{"Gathered", 4, {"sparse_matmul=False", "ici_fsdp_parallelism=4", "cpu_device_count=4"}},
                    Form{"Exchanged", 4, {"sparse_matmul=True", "ici_expert_parallelism=4", "cpu_device_count=4"}}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace fathom
