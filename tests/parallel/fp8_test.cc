// Products of 8-bit numbers on a mesh are those of one device, and micro-batches add up.
#include <gtest/gtest.h>

#include <cstdint>
#include <set>

#include "../support/run_graph.h"
#include "fused/expert_output.h"
#include "fused/fp8_grouped.h"
#include "fused/fp8_linear.h"
#include "fused/gated_silu.h"
#include "fused/gathered_experts.h"
#include "fused/moe_permute.h"
#include "fused/routed_experts.h"
#include "graph/grad/gradients.h"
#include "mesh_run.h"

namespace fathom {
namespace {

using Keys = std::vector<std::string>;

std::shared_ptr<const Partition> partition_of(const Keys& mesh) {
  if (mesh.empty()) return nullptr;
  const Config config = mesh_config(mesh);
  return std::make_shared<const Partition>(mesh_of(config, 4), config.logical_axis_rules);
}

// A program in the making: its arguments are split as activations and parameters are on the mesh.
struct Draft {
  Program program;
  std::shared_ptr<const Partition> partition;

  explicit Draft(const Keys& mesh) : partition(partition_of(mesh)) {
    program.name = "fp8";
    program.graph = std::make_unique<Graph>();
    program.graph->partition = partition;
    if (partition) program.signature.mesh = partition->mesh();
  }
  Sharding split(const std::vector<std::string>& logical, const Shape& shape) const {
    return partition ? partition->of(logical, shape, "w") : Sharding{};
  }
  Value arg(const TensorType& type, const Sharding& sharding = {}) {
    program.signature.args.push_back({.name = "arg", .type = type, .sharding = sharding});
    return program.graph->arg("arg", type);
  }
  Program finish(Value y, Value dy, const std::vector<Value>& wanted) && {
    std::vector<Value> results = gradients(reduce_sum(y * dy, ""), wanted);
    results.insert(results.begin(), y);
    for (const Value& r : results) {
      program.graph->root().results.push_back(r);
      program.signature.results.push_back({.name = "result", .type = r.type()});
    }
    return std::move(program);
  }
};

void expect_close(const std::vector<HostArray>& actual, const std::vector<HostArray>& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_LT(relative_difference(actual[i], expected[i]), tolerance) << "result " << i;
  }
}

// What sums of float32 in another order give. Where a second product follows, a few numbers in a million fall on the
// other side of a rounding (2^-4). Blocks that are cut differently give 1e-2 and more.
constexpr double kOtherOrder = 2e-6, kOtherRoundings = 2e-3;

const Axis kB{"b", 4}, kS{"s", 96}, kD{"d", 320};

// Heads of 192 numbers: blocks reach from one to the next, and from one device's heads to another's.
TEST(Fp8OnMesh, ALinearLayerIsThatOfOneDevice) {
  const Axis h{"h", 4}, np{"np", 192};
  const Shape xs{kB, kS, kD}, ws{h, np, kD}, ys{kB, kS, h, np};
  auto program = [&](const Keys& mesh) {
    Draft d(mesh);
    Value x = d.arg({DType::kF32, xs}), w = d.arg({DType::kF32, ws}, d.split({"q_heads", "kv", "embed"}, ws));
    Value dy = d.arg({DType::kF32, ys});
    Value y = shard_activation(fp8_linear(shard_activation(x), w, "d"));
    return std::move(d).finish(y, shard_activation(dy), {x, w});
  };
  const std::vector<HostArray> inputs{random_floats(xs, 1), random_floats(ws, 2), random_floats(ys, 3)};
  const std::vector<HostArray> expected = run_on_mesh(program({}), inputs);
  for (const Keys& mesh : std::vector<Keys>{{"ici_fsdp_parallelism=4"},
                                            {"ici_fsdp_parallelism=2", "ici_tensor_parallelism=2"},
                                            {"ici_fsdp_parallelism=1", "ici_tensor_parallelism=4"},
                                            {"ici_context_parallelism=2", "ici_fsdp_parallelism=2"}}) {
    SCOPED_TRACE(mesh[0]);
    expect_close(run_on_mesh(program(mesh), inputs), expected, kOtherOrder);
  }
}

// ---- experts ----

const Axis kE{"e", 8}, kF{"f", 256}, kK{"k", 3};
const Shape kX{kB, kS, kD}, kChoices{kB, kS, kK}, kWide{kE, kF, kD}, kNarrow{kE, kD, kF};

// The forms of the model on one device: tokens sorted by expert, and every expert on every token.
Value sorted_experts(Value x, Value chosen, Value weights, const ExpertMatrices& m, bool fp8) {
  Value experts = merge_axes(chosen, "b s", "tok");
  RowOrder order;
  order.slot_of_row = argsort(merge_axes(experts, "tok k", "m"), "m");
  order.row_of_slot = reshape(argsort(order.slot_of_row, "m"), experts.shape());
  Value rows = rows_of_tokens(merge_axes(x, "b s", "tok"), order);
  Value load = reduce_sum(one_hot(chosen, kE, DType::kS32), "b s k");
  const ExpertProducts products{fp8};
  Value gate = products.matmul(rows, m.w_gate, load), up = products.matmul(rows, m.w_up, load);
  Value y = expert_output({gate, up, load, order}, m.w_down, merge_axes(weights, "b s", "tok"), {.fp8 = fp8});
  return split_axis(y, "tok", {kB, kS});
}

Value weights_of_all(Value chosen, Value weights) {
  return reduce_sum(one_hot(chosen, kE, DType::kF32) * weights, "k");  // [b s e]
}

Value dense_experts(Value x, Value chosen, Value weights, const ExpertMatrices& m) {
  Value gate = fp8_linear(x, m.w_gate, "d", {.matrices = "e"}), up = fp8_linear(x, m.w_up, "d", {.matrices = "e"});
  return fp8_linear(gated_silu(gate, up, false) * weights_of_all(chosen, weights), m.w_down, "e f", {.matrices = "e"});
}

enum class Form : uint8_t { kRouted, kGathered };

// Results: y and the gradients of x, the experts' weights, w_gate, w_up and w_down.
Program experts(Form form, const Keys& mesh, bool fp8) {
  Draft d(mesh);
  Value chosen = d.arg({DType::kS32, kChoices}), x = d.arg({DType::kF32, kX}), weights = d.arg({DType::kF32, kChoices});
  const Sharding gate = d.split({"exp", "mlp_moe", "embed_moe"}, kWide);
  const Sharding down = d.split({"exp", "embed_moe", "mlp_moe"}, kNarrow);
  ExpertMatrices m{.w_gate = d.arg({DType::kF32, kWide}, gate),
                   .w_up = d.arg({DType::kF32, kWide}, gate),
                   .w_down = d.arg({DType::kF32, kNarrow}, down),
                   .gate_split = gate,
                   .down_split = down};
  Value dy = d.arg({DType::kF32, kX});
  const ExpertOptions options{.fp8 = fp8};
  Value y;
  if (form == Form::kRouted) {
    y = d.partition ? routed_experts({x, chosen, weights}, m, options).y : sorted_experts(x, chosen, weights, m, fp8);
  } else {
    y = d.partition ? gathered_experts(x, weights_of_all(chosen, weights), m, options)
                    : dense_experts(x, chosen, weights, m);
  }
  return std::move(d).finish(y, dy, {x, weights, m.w_gate, m.w_up, m.w_down});
}

// Choices of which the last expert gets none.
std::vector<HostArray> inputs_of_experts() {
  std::mt19937 bits(9);
  std::vector<int32_t> chosen;
  for (int64_t token = 0; token < kB.size * kS.size; ++token) {
    std::set<int32_t> choices;
    while (static_cast<int64_t>(choices.size()) < kK.size) {
      choices.insert(static_cast<int32_t>(bits() % (bits() % 2 == 0 ? 4 : 7)));
    }
    chosen.insert(chosen.end(), choices.begin(), choices.end());
  }
  return {integers(kChoices, chosen),    random_floats(kX, 1),          random_floats(kChoices, 2),
          random_floats(kWide, 3, 0.1F), random_floats(kWide, 4, 0.1F), random_floats(kNarrow, 5, 0.1F),
          random_floats(kX, 6)};
}

// Split over the devices by expert, an expert meets the same rows in the same order.
TEST(Fp8OnMesh, RoutedExpertsAreThoseOfOneDevice) {
  const std::vector<HostArray> inputs = inputs_of_experts();
  const std::vector<HostArray> expected = run_on_mesh(experts(Form::kRouted, {}, true), inputs);
  const std::vector<HostArray> actual =
      run_on_mesh(experts(Form::kRouted, {"ici_expert_parallelism=4", "ici_fsdp_parallelism=1"}, true), inputs);
  expect_close(actual, expected, kOtherRoundings);
}

// Where devices share an expert's rows, each begins its own blocks of tokens: the matrices' gradients differ as two
// roundings of the same numbers do (up to 2^-4 of either operand), all else is the same.
TEST(Fp8OnMesh, RoutedExpertsWhoseRowsAreSharedDifferInBlocksOfTokensAlone) {
  const std::vector<HostArray> inputs = inputs_of_experts();
  const std::vector<HostArray> expected = run_on_mesh(experts(Form::kRouted, {}, true), inputs);
  const std::vector<HostArray> unrounded = run_on_mesh(experts(Form::kRouted, {}, false), inputs);
  for (const Keys& mesh :
       std::vector<Keys>{{"ici_fsdp_parallelism=4"}, {"ici_fsdp_parallelism=2", "ici_tensor_parallelism=2"}}) {
    SCOPED_TRACE(mesh[0]);
    const std::vector<HostArray> actual = run_on_mesh(experts(Form::kRouted, mesh, true), inputs);
    for (size_t i = 0; i < 3; ++i) EXPECT_LT(relative_difference(actual[i], expected[i]), kOtherRoundings) << i;
    for (size_t i = 3; i < 6; ++i) {
      EXPECT_LT(relative_difference(actual[i], expected[i]), 2 * 0x1p-4) << i;
      // Neither is farther from the gradient without rounding than the other.
      EXPECT_LT(relative_difference(actual[i], unrounded[i]), 1.1 * relative_difference(expected[i], unrounded[i]));
    }
  }
}

// All tokens are an expert's rows there, 96 on each device; one device has blocks of 128 of them.
TEST(Fp8OnMesh, GatheredExpertsDifferInBlocksOfTokensAlone) {
  const std::vector<HostArray> inputs = inputs_of_experts();
  const std::vector<HostArray> expected = run_on_mesh(experts(Form::kGathered, {}, true), inputs);
  const std::vector<HostArray> actual = run_on_mesh(experts(Form::kGathered, {"ici_fsdp_parallelism=4"}, true), inputs);
  for (size_t i = 0; i < 3; ++i) EXPECT_LT(relative_difference(actual[i], expected[i]), kOtherRoundings) << i;
  for (size_t i = 3; i < 6; ++i) EXPECT_LT(relative_difference(actual[i], expected[i]), 2 * 0x1p-4) << i;
}

// ---- the whole model ----

// Blocks end with a micro-batch. A number that a sum in another order puts on the other side of a rounding moves all
// that follows, routing included: what is left is how far apart two roundings of the same numbers are, which is no
// farther than either is from gradients without rounding.
TEST(Fp8Accumulation, MicroBatchesAddUpToTheGradientsOfEachUpToRounding) {
  const BatchShape both{4, 32}, one{2, 32};
  const Keys keys{"cpu_device_count=1", "load_balance_loss_weight=0", "base_num_decoder_layers=2", "remat_policy=none"};
  auto with = [&](const Keys& more) {
    Keys all = keys;
    all.insert(all.end(), more.begin(), more.end());
    return mesh_config(all);
  };
  const Config plain = with({}), config = with({"quantization=fp8"});
  const Config accumulating = with({"quantization=fp8", "gradient_accumulation_steps=2", "per_device_batch_size=2"});
  const std::vector<HostArray> parameters = drawn_parameters(config);
  const std::vector<HostArray> batch = drawn_batch(both, config.vocab_size);
  // Of each of several batches.
  auto gradients_of = [&](const Config& c, const BatchShape& shape,
                          const std::vector<std::vector<HostArray>>& batches) {
    const Program program = gradient_step(c, state_spec(c), shape);
    const Executable executable = compile_on_mesh(program);
    std::vector<std::vector<HostArray>> out;
    for (const std::vector<HostArray>& rows : batches) {
      std::vector<HostArray> arguments = parameters;
      arguments.insert(arguments.end(), rows.begin(), rows.end());
      out.push_back(run_on_mesh(executable, program.signature, arguments));
    }
    return out;
  };
  // Micro-batch i has the rows i, i + 2.
  auto micro_batch = [&](int64_t i) {
    std::vector<HostArray> out;
    for (const HostArray& field : batch) {
      HostArray rows = HostArray::allocate(field.dtype(), {one.rows, one.length});
      for (int64_t row = 0; row < one.rows; ++row) {
        std::ranges::copy(field.view<int32_t>().subspan(static_cast<size_t>((2 * row + i) * one.length),
                                                        static_cast<size_t>(one.length)),
                          rows.mutable_view<int32_t>().begin() + row * one.length);
      }
      out.push_back(rows);
    }
    return out;
  };
  auto mean_of_both = [&](const Config& c) {
    const auto parts = gradients_of(c, one, {micro_batch(0), micro_batch(1)});
    std::vector<HostArray> mean = parts[0];
    const std::vector<HostArray>& second = parts[1];
    constexpr float kTargets[] = {64, 56};  // every second row ends with 4 places of padding
    for (size_t i = 0; i < mean.size(); ++i) {
      std::ranges::transform(mean[i].view<float>(), second[i].view<float>(), mean[i].mutable_view<float>().begin(),
                             [&](float a, float b) { return (a * kTargets[0] + b * kTargets[1]) / 120; });
    }
    return mean;
  };
  const auto total = gradients_of(accumulating, both, {batch})[0], mean = mean_of_both(config),
             unrounded = mean_of_both(plain);
  for (size_t i = 1; i < total.size(); ++i) {
    const double rounding = relative_difference(mean[i], unrounded[i]);
    EXPECT_LT(relative_difference(total[i], unrounded[i]), 1.5 * rounding) << i;
    EXPECT_LT(relative_difference(total[i], mean[i]), 1.5 * rounding) << i;
    EXPECT_LT(rounding, 0.5) << i;
  }
}

}  // namespace
}  // namespace fathom
