// The wish of one device's process to stop reaches all devices with the results of the step.
#include <gtest/gtest.h>

#include <algorithm>

#include "mesh_run.h"

namespace fathom {
namespace {

std::vector<HostArray> step_arguments(const Config& config, const Program& program, const BatchShape& shape,
                                      std::vector<int32_t> wishes) {
  std::vector<HostArray> out = drawn_parameters(config);
  const std::vector<HostArray> batch = drawn_batch(shape, config.vocab_size);
  size_t next = 0;
  for (const ArgSpec& arg : program.signature.args) {
    if (arg.name.starts_with("params.")) continue;
    if (arg.name.starts_with("inputs") || arg.name.starts_with("targets")) {
      out.push_back(batch[next++]);
      continue;
    }
    HostArray a = HostArray::allocate(arg.type.dtype, arg.type.shape.sizes());
    std::fill_n(a.mutable_data(), a.bytes(), std::byte{0});
    if (arg.name == "stop") std::ranges::copy(wishes, a.mutable_view<int32_t>().begin());
    out.push_back(std::move(a));
  }
  return out;
}

TEST(StopWish, OfOneDeviceReachesAll) {
  const BatchShape shape{4, 32};
  for (const std::vector<std::string>& mesh :
       {std::vector<std::string>{"ici_fsdp_parallelism=2", "ici_expert_parallelism=2"},
        {"ici_data_parallelism=2", "ici_tensor_parallelism=2", "ici_fsdp_parallelism=1"}}) {
    Config config = mesh_config(mesh);
    Program program = train_step(config, state_spec(config, mesh_of(config, 4)), shape);
    const auto& results = program.signature.results;
    auto at = std::ranges::find(results, "scalars", &ResultSpec::name);
    auto element = std::ranges::find(at->elements, "stop") - at->elements.begin();
    for (std::vector<int32_t> wishes : {std::vector<int32_t>{0, 0, 0, 0}, {0, 0, 15, 0}, {2, 0, 0, 0}}) {
      // run_on_mesh checks that all devices hold the same.
      std::vector<HostArray> out = run_on_mesh(program, step_arguments(config, program, shape, wishes));
      auto scalars = out[static_cast<size_t>(at - results.begin())].view<float>();
      EXPECT_EQ(scalars[static_cast<size_t>(element)], static_cast<float>(std::ranges::max(wishes)));
    }
  }
}

}  // namespace
}  // namespace fathom
