// The wish of one device's process to stop reaches all devices with the results of the step.
#include <gtest/gtest.h>

#include <algorithm>

#include "mesh_run.h"

namespace fathom {
namespace {

// Zeros, which a step can be made of too, and the wishes.
std::vector<HostArray> step_arguments(const Signature& signature, std::vector<int32_t> wishes) {
  std::vector<HostArray> out;
  for (const ArgSpec& arg : signature.args) {
    HostArray& a = out.emplace_back(HostArray::allocate(arg.type.dtype, arg.type.shape.sizes()));
    std::fill_n(a.mutable_data(), a.bytes(), std::byte{0});
    if (arg.name == "stop") std::ranges::copy(wishes, a.mutable_view<int32_t>().begin());
  }
  return out;
}

TEST(StopWish, OfOneDeviceReachesAll) {
  Config config = mesh_config({"base_num_decoder_layers=1", "ici_fsdp_parallelism=2", "ici_expert_parallelism=2"});
  Program program = train_step(config, state_spec(config, mesh_of(config, 4)), {4, 32});
  const Signature& signature = program.signature;
  auto at = std::ranges::find(signature.results, "scalars", &ResultSpec::name);
  auto element = std::ranges::find(at->elements, "stop") - at->elements.begin();
  Executable executable = compile_on_mesh(program);
  for (std::vector<int32_t> wishes : {std::vector<int32_t>{0, 0, 0, 0}, {0, 0, 15, 0}, {2, 0, 0, 0}}) {
    // run_on_mesh checks that all devices hold the same.
    std::vector<HostArray> out = run_on_mesh(executable, signature, step_arguments(signature, wishes));
    auto scalars = out[static_cast<size_t>(at - signature.results.begin())].view<float>();
    EXPECT_EQ(scalars[static_cast<size_t>(element)], static_cast<float>(std::ranges::max(wishes)));
  }
}

}  // namespace
}  // namespace fathom
