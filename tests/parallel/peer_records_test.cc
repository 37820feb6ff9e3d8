// Training steps against what MaxText recorded, whatever the form of the experts: one balance loss for all.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "../support/hf_folder.h"
#include "base/batch_fields.h"
#include "base/file.h"
#include "config/resolve/resolve.h"
#include "mesh_run.h"

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

// The rows of tokens, each one longer than the batch: inputs are all but the last, targets all but the first.
std::map<std::string, HostArray, std::less<>> batch_of(const nlohmann::json& rows) {
  std::map<std::string, HostArray, std::less<>> out;
  const auto count = static_cast<int64_t>(rows.size()), length = static_cast<int64_t>(rows[0].size()) - 1;
  for (const auto& field : BatchFields<HostArray>::fields()) {
    HostArray array = HostArray::allocate(DType::kS32, {count, length});
    const bool targets = field.name == "targets", tokens = targets || field.name == "inputs";
    for (int64_t i = 0; i < count * length; ++i) {
      const auto row = static_cast<size_t>(i / length), place = static_cast<size_t>(i % length);
      const int32_t number = field.name == "inputs_position" ? static_cast<int32_t>(place) : 1;
      array.mutable_view<int32_t>()[static_cast<size_t>(i)] =
          tokens ? rows[row][place + (targets ? 1 : 0)].get<int32_t>() : number;
    }
    out.emplace(field.name, std::move(array));
  }
  return out;
}

// The arguments of a step: the folder's weights, moments and counter zero, the batch, nobody's wish to stop.
std::vector<HostArray> first_arguments(const StateSpec& spec, const Signature& signature, const nlohmann::json& rows) {
  const TensorFolder folder = TensorFolder::open(std::string(kFolder) + "/hf");
  const auto batch = batch_of(rows);
  std::vector<HostArray> out;
  for (const ArgSpec& arg : signature.args) {
    auto entry = spec.index_of.find(arg.name);
    auto field = batch.find(arg.name);
    if (entry != spec.index_of.end() && spec.entries[entry->second].is_parameter()) {
      const StateEntry& e = spec.entries[entry->second];
      out.push_back(hf_array(spec.model, spec.param(e), spec.arrays[e.array], folder));
    } else if (field != batch.end()) {
      out.push_back(field->second);
    } else {
      HostArray zeros = HostArray::allocate(arg.type.dtype, arg.type.shape.sizes());
      std::fill_n(zeros.mutable_data(), zeros.bytes(), std::byte{0});
      out.push_back(std::move(zeros));
    }
  }
  return out;
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
  std::vector<HostArray> arguments = first_arguments(spec, program.signature, record["tokens"]);
  for (const nlohmann::json& step : record["steps"]) {
    std::vector<HostArray> results = run_on_mesh(executable, program.signature, arguments);
    for (size_t i = 0; i < arguments.size(); ++i) {
      const auto& to = program.signature.args[i].donated_to;
      if (to) arguments[i] = results[static_cast<size_t>(*to)];
    }
    std::map<std::string, double, std::less<>> scalars;
    for (size_t r = 0; r < results.size(); ++r) {
      const ResultSpec& result = program.signature.results[r];
      if (result.name != "scalars") continue;
      for (size_t k = 0; k < result.elements.size(); ++k) {
        scalars[result.elements[k]] = static_cast<double>(results[r].view<float>()[k]);
      }
    }
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
