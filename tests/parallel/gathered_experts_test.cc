// The experts gathered some at a time give what all of them at once give on one device.
#include "fused/gathered_experts.h"

#include <gtest/gtest.h>

#include "../support/run_graph.h"
#include "graph/grad/gradients.h"
#include "graph/partition.h"
#include "mesh_run.h"

namespace fathom {
namespace {

const Axis kB{"b", 4}, kS{"s", 6}, kD{"d", 8}, kE{"e", 6}, kF{"f", 10};

// Arguments x, weights, w_gate, w_up, w_down and dy; results y and the gradients of <y, dy> to the first five.
struct Draft {
  Program program;
  std::vector<Value> args;

  explicit Draft(const std::shared_ptr<const Partition>& partition = nullptr) {
    program.name = "experts";
    program.graph = std::make_unique<Graph>();
    program.graph->partition = partition;
    if (partition) program.signature.mesh = partition->mesh();
    for (const auto& [name, shape] : arguments()) {
      args.push_back(program.graph->arg(name, {DType::kF32, shape}));
      program.signature.args.push_back({.name = name, .type = args.back().type()});
    }
  }

  static std::vector<std::pair<std::string, Shape>> arguments() {
    return {{"x", Shape{kB, kS, kD}},    {"weights", Shape{kB, kS, kE}}, {"w_gate", Shape{kE, kF, kD}},
            {"w_up", Shape{kE, kF, kD}}, {"w_down", Shape{kE, kD, kF}},  {"dy", Shape{kB, kS, kD}}};
  }

  Program finish(Value y) && {
    std::vector<Value> wanted(args.begin(), args.begin() + 5);
    std::vector<Value> results = gradients(reduce_sum(y * args[5], ""), wanted);
    results.insert(results.begin(), y);
    for (const Value& r : results) {
      program.graph->root().results.push_back(r);
      program.signature.results.push_back({.name = "result", .type = r.type()});
    }
    return std::move(program);
  }
};

Program all_at_once() {
  Draft d;
  Value gate = dot(d.args[0], d.args[2], "d"), up = dot(d.args[0], d.args[3], "d");  // [b s e f]
  Value y = dot(gate * logistic(gate) * up * d.args[1], d.args[4], "e f");
  return std::move(d).finish(y);
}

// `gathered_bytes` / (bytes of one matrix, 320) experts at a time.
Program gathered(const std::vector<std::string>& mesh, int64_t gathered_bytes) {
  Config config = mesh_config(mesh);
  auto partition = std::make_shared<const Partition>(mesh_of(config, 4), config.logical_axis_rules);
  Draft d(partition);
  ExpertMatrices m{.w_gate = d.args[2], .w_up = d.args[3], .w_down = d.args[4]};
  m.gate_split = partition->of({"exp", "mlp_moe", "embed_moe"}, m.w_gate.shape(), "w_gate");
  m.down_split = partition->of({"exp", "embed_moe", "mlp_moe"}, m.w_down.shape(), "w_down");
  EXPECT_TRUE(can_gather_experts(*partition, d.args[0].shape(), m));
  Value y = gathered_experts(d.args[0], d.args[1], m, {.gathered_bytes = gathered_bytes});
  return std::move(d).finish(y);
}

TEST(GatheredExperts, InAnyNumberAtATimeGiveTheResultsOfOneDevice) {
  std::vector<HostArray> inputs;
  for (const auto& [name, shape] : Draft::arguments()) {
    inputs.push_back(random_floats(shape, static_cast<uint32_t>(inputs.size() + 1)));
  }
  std::vector<HostArray> expected = run_on_mesh(all_at_once(), inputs);
  const std::vector<std::vector<std::string>> meshes = {
      {"ici_fsdp_parallelism=4"},
      {"ici_fsdp_parallelism=2", "ici_tensor_parallelism=2"},
      {"ici_data_parallelism=2", "ici_fsdp_parallelism=2"},
      {"ici_context_parallelism=2", "ici_fsdp_parallelism=2"},
  };
  for (const auto& mesh : meshes) {
    for (int64_t bytes : {1, 320 * 2, 320 * 5, 1 << 20}) {
      std::vector<HostArray> actual = run_on_mesh(gathered(mesh, bytes), inputs);
      ASSERT_EQ(actual.size(), expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_LT(relative_difference(actual[i], expected[i]), 1e-6)
            << mesh[0] << ", " << bytes << " bytes, result " << i;
      }
    }
  }
}

TEST(GatheredExperts, AreNotForMeshesThatSplitTheExperts) {
  Config config = mesh_config({"ici_expert_parallelism=2", "ici_fsdp_parallelism=2"});
  Partition partition(mesh_of(config, 4), config.logical_axis_rules);
  ExpertMatrices m;
  m.gate_split = partition.of({"exp", "mlp_moe", "embed_moe"}, Shape{kE, kF, kD}, "w_gate");
  m.down_split = partition.of({"exp", "embed_moe", "mlp_moe"}, Shape{kE, kD, kF}, "w_down");
  EXPECT_FALSE(can_gather_experts(partition, Shape{kB, kS, kD}, m));
}

}  // namespace
}  // namespace fathom
