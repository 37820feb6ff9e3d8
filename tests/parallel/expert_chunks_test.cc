// Experts gathered some at a time, dense or routed, give what all of them at once give on one device; with a bound on
// what devices exchange, of the choices that are kept.
#include <gtest/gtest.h>

#include <set>

#include "../support/run_graph.h"
#include "fused/gathered_experts.h"
#include "fused/routed_experts.h"
#include "graph/grad/gradients.h"
#include "mesh_run.h"

namespace fathom {
namespace {

const Axis kB{"b", 4}, kS{"s", 6}, kD{"d", 8}, kE{"e", 8}, kF{"f", 10}, kK{"k", 3};
constexpr int64_t kMatrixBytes = 320;  // of one expert: 8 x 10 floats

// Arguments: the experts chosen, x, their weights, w_gate, w_up, w_down and dy. Results: y and the gradients of <y,
// dy>.
struct Draft {
  Program program;
  Value experts, dy;
  std::vector<Value> args;  // those with a gradient

  explicit Draft(const std::shared_ptr<const Partition>& partition = nullptr) {
    program.name = "experts";
    program.graph = std::make_unique<Graph>();
    program.graph->partition = partition;
    if (partition) program.signature.mesh = partition->mesh();
    experts = add("experts", {DType::kS32, Shape{kB, kS, kK}});
    for (const Shape& shape : shapes()) args.push_back(add("arg", {DType::kF32, shape}));
    dy = args.back();
    args.pop_back();
  }

  Value add(const std::string& name, const TensorType& type) {
    program.signature.args.push_back({.name = name, .type = type});
    return program.graph->arg(name, type);
  }

  static std::vector<Shape> shapes() {
    return {Shape{kB, kS, kD}, Shape{kB, kS, kK}, Shape{kE, kF, kD},
            Shape{kE, kF, kD}, Shape{kE, kD, kF}, Shape{kB, kS, kD}};
  }

  Value weights_of_all() const { return reduce_sum(one_hot(experts, kE, DType::kF32) * args[1], "k"); }  // [b s e]

  ExpertMatrices matrices(const Partition& p) const {
    return {.w_gate = args[2],
            .w_up = args[3],
            .w_down = args[4],
            .gate_split = p.of({"exp", "mlp_moe", "embed_moe"}, args[2].shape(), "w_gate"),
            .down_split = p.of({"exp", "embed_moe", "mlp_moe"}, args[4].shape(), "w_down")};
  }

  Program finish(Value y) && {
    std::vector<Value> results = gradients(reduce_sum(y * dy, ""), args);
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
  Value y = dot(gate * logistic(gate) * up * d.weights_of_all(), d.args[4], "e f");
  return std::move(d).finish(y);
}

using Keys = std::vector<std::string>;

std::shared_ptr<const Partition> partition_of(const Keys& mesh) {
  Config config = mesh_config(mesh);
  return std::make_shared<const Partition>(mesh_of(config, 4), config.logical_axis_rules);
}

Program dense(const Keys& mesh, int64_t gathered_bytes) {
  auto partition = partition_of(mesh);
  Draft d(partition);
  ExpertMatrices m = d.matrices(*partition);
  EXPECT_TRUE(can_gather_experts(*partition, d.args[0].shape(), m));
  Value y = gathered_experts(d.args[0], d.weights_of_all(), m, {.gathered_bytes = gathered_bytes});
  return std::move(d).finish(y);
}

Program routed_some_rows_at_once(const Keys& mesh, int64_t gathered_bytes, int64_t rows_at_once) {
  auto partition = partition_of(mesh);
  Draft d(partition);
  const RoutedSum sum = routed_experts({d.args[0], d.experts, d.args[1]}, d.matrices(*partition),
                                       {.gathered_bytes = gathered_bytes, .rows_at_once = rows_at_once});
  return std::move(d).finish(sum.y);
}

Program routed(const Keys& mesh, int64_t gathered_bytes) {
  return routed_some_rows_at_once(mesh, gathered_bytes, kRowsAtOnce);
}

// A device has 18 rows or more: several windows for an expert with many.
Program routed_in_windows(const Keys& mesh, int64_t gathered_bytes) {
  return routed_some_rows_at_once(mesh, gathered_bytes, 3);
}

// Its last result says which choices are kept.
Program bounded(const Keys& mesh, double factor) {
  auto partition = partition_of(mesh);
  Draft d(partition);
  const RoutedSum sum = routed_experts({d.args[0], d.experts, d.args[1]}, d.matrices(*partition), {.factor = factor});
  Program out = std::move(d).finish(sum.y);
  out.graph->root().results.push_back(sum.kept);
  out.signature.results.push_back({.name = "kept", .type = sum.kept.type()});
  return out;
}

// With a further argument: 1 for each choice that is kept, else 0.
Program of_kept() {
  Draft d;
  Value kept = d.add("kept", {DType::kF32, Shape{kB, kS, kK}});
  Value weights = reduce_sum(one_hot(d.experts, kE, DType::kF32) * (d.args[1] * kept), "k");
  Value gate = dot(d.args[0], d.args[2], "d"), up = dot(d.args[0], d.args[3], "d");
  Value y = dot(gate * logistic(gate) * up * weights, d.args[4], "e f");
  return std::move(d).finish(y);
}

// Choices of which some experts get none and others many.
HostArray chosen_experts() {
  std::mt19937 bits(9);
  std::vector<int32_t> out;
  for (int64_t token = 0; token < kB.size * kS.size; ++token) {
    std::set<int32_t> choices;
    while (static_cast<int64_t>(choices.size()) < kK.size) {
      choices.insert(static_cast<int32_t>(bits() % (bits() % 2 == 0 ? 4 : 7)));
    }
    out.insert(out.end(), choices.begin(), choices.end());
  }
  return integers(Shape{kB, kS, kK}, out);
}

void expect_results_of_one_device(Program (*program)(const Keys&, int64_t), const std::vector<Keys>& meshes) {
  std::vector<HostArray> inputs{chosen_experts()};
  for (const Shape& shape : Draft::shapes()) {
    inputs.push_back(random_floats(shape, static_cast<uint32_t>(inputs.size())));
  }
  std::vector<HostArray> expected = run_on_mesh(all_at_once(), inputs);
  for (const Keys& mesh : meshes) {
    for (int64_t at_once : {1, 2, 5}) {  // 5 does not divide the experts: 4 are taken
      std::vector<HostArray> actual = run_on_mesh(program(mesh, at_once * kMatrixBytes), inputs);
      ASSERT_EQ(actual.size(), expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_LT(relative_difference(actual[i], expected[i]), 1e-6)
            << mesh[0] << ", " << at_once << " at once, result " << i;
      }
    }
  }
}

TEST(ExpertChunks, OfDenseExpertsGiveTheResultsOfOneDevice) {
  expect_results_of_one_device(dense, {{"ici_fsdp_parallelism=4"},
                                       {"ici_fsdp_parallelism=2", "ici_tensor_parallelism=2"},
                                       {"ici_data_parallelism=2", "ici_fsdp_parallelism=2"},
                                       {"ici_context_parallelism=2", "ici_fsdp_parallelism=2"}});
}

TEST(ExpertChunks, OfRoutedExpertsGiveTheResultsOfOneDevice) {
  expect_results_of_one_device(routed, {{"ici_fsdp_parallelism=4"},
                                        {"ici_fsdp_parallelism=2", "ici_tensor_parallelism=2"},
                                        {"ici_expert_parallelism=2", "ici_fsdp_parallelism=2"}});
}

TEST(ExpertChunks, WhoseRowsAreMetInWindowsGiveTheResultsOfOneDevice) {
  expect_results_of_one_device(routed_in_windows,
                               {{"ici_fsdp_parallelism=4"}, {"ici_expert_parallelism=2", "ici_fsdp_parallelism=2"}});
}

TEST(ExpertChunks, OfDenseExpertsAreNotForMeshesThatSplitTheExperts) {
  auto partition = partition_of({"ici_expert_parallelism=2", "ici_fsdp_parallelism=2"});
  Draft d(partition);
  EXPECT_FALSE(can_gather_experts(*partition, d.args[0].shape(), d.matrices(*partition)));
}

// The rows of each device of the mesh are split over four devices of a group, or over two of two groups.
struct Groups {
  Keys mesh;
  int64_t of;  // devices in a group
};
const std::vector<Groups> kGroups = {{{"ici_expert_parallelism=4", "ici_fsdp_parallelism=1"}, 4},
                                     {{"ici_expert_parallelism=2", "ici_fsdp_parallelism=2"}, 2}};

// Whether a choice is among the first `most` of its device's in its group: by device, token and choice.
std::vector<float> among_the_first(const HostArray& experts, int64_t devices, int64_t most) {
  const auto chosen = experts.view<int32_t>();
  const int64_t rows = kB.size / 4 * devices;  // of a group, whose devices hold neighbouring rows
  std::vector<int64_t> taken;
  std::vector<float> out;
  for (size_t i = 0; i < chosen.size(); ++i) {
    if (static_cast<int64_t>(i) % (rows * kS.size * kK.size) == 0) taken.assign(static_cast<size_t>(devices), 0);
    int64_t& count = taken[static_cast<size_t>(chosen[i] / (kE.size / devices))];
    out.push_back(count++ < most ? 1 : 0);
  }
  return out;
}

std::vector<HostArray> drawn_inputs() {
  std::vector<HostArray> out{chosen_experts()};
  for (const Shape& shape : Draft::shapes()) out.push_back(random_floats(shape, static_cast<uint32_t>(out.size())));
  return out;
}

TEST(BoundedExperts, WithRoomForAllGiveTheNumbersOfTheWorstCase) {
  const std::vector<HostArray> in = drawn_inputs();
  for (const Groups& g : kGroups) {
    const std::vector<HostArray> worst = run_on_mesh(routed(g.mesh, 0), in),
                                 some = run_on_mesh(bounded(g.mesh, 1.9), in);
    ASSERT_EQ(some.size(), worst.size() + 1);
    for (size_t i = 0; i < worst.size(); ++i) EXPECT_EQ(relative_difference(some[i], worst[i]), 0) << i;
    for (bool kept : some.back().view<bool>()) EXPECT_TRUE(kept);
  }
}

TEST(BoundedExperts, KeepTheFirstChoicesOfADeviceAndDropTheOthers) {
  std::vector<HostArray> in = drawn_inputs();
  const int64_t mean = kB.size / 4 * kS.size * kK.size;
  for (const Groups& g : kGroups) {
    for (double factor : {1.0, 0.5}) {
      const std::vector<float> kept =
          among_the_first(in[0], g.of, static_cast<int64_t>(std::ceil(factor * static_cast<double>(mean))));
      std::vector<HostArray> with_kept = in;
      with_kept.push_back(floats(Shape{kB, kS, kK}, kept));
      const std::vector<HostArray> expected = run_on_mesh(of_kept(), with_kept),
                                   actual = run_on_mesh(bounded(g.mesh, factor), in);
      ASSERT_EQ(actual.size(), expected.size() + 1);
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_LT(relative_difference(actual[i], expected[i]), 1e-6) << g.mesh[0] << ", " << factor << ", " << i;
      }
      for (size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(actual.back().view<bool>()[i], kept[i] > 0) << i;
      EXPECT_LT(std::count(kept.begin(), kept.end(), 1.0F), static_cast<std::ptrdiff_t>(kept.size()));
    }
  }
}

}  // namespace
}  // namespace fathom
