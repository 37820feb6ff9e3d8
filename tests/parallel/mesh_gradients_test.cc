// A mesh changes neither the loss nor a gradient, and an expert without tokens has the gradient 0 in every form.
#include <gtest/gtest.h>

#include "mesh_run.h"
#include "peer_batch.h"

namespace fathom {
namespace {

struct Case {
  const char* name;
  std::vector<std::string> mesh;
  std::vector<std::string> keys;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << testing::PrintToString(c.mesh) << " " << testing::PrintToString(c.keys);
}

constexpr int64_t kDevices = 4;

std::vector<std::string> joined(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Whether all numbers of each layer's last expert are 0: a gradient [.. e out in].
bool last_expert_is_zero(const HostArray& gradient) {
  const std::vector<int64_t>& sizes = gradient.sizes();
  const auto matrix = static_cast<size_t>(sizes[sizes.size() - 2] * sizes[sizes.size() - 1]);
  const size_t layer = matrix * static_cast<size_t>(sizes[sizes.size() - 3]);
  const auto numbers = gradient.view<float>();
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (i % layer >= layer - matrix && numbers[i] != 0) return false;
  }
  return true;
}

class MeshGradients : public testing::TestWithParam<Case> {};

// Float32 sums in another order: each product's sum of n terms differs by about sqrt(n) roundings of 6e-8, and some
// thirty of them lie between a parameter and the loss. 2e-5 is ten times what that gives, and far below what a missing
// or doubled contribution of one device would (at least 1 / 4).
constexpr double kTolerance = 2e-5;

TEST_P(MeshGradients, AreThoseOfOneDevice) {
  const Case& c = GetParam();
  const BatchShape shape{kDevices, 32};
  Config config = mesh_config(joined(c.mesh, c.keys));
  StateSpec one = state_spec(config);
  StateSpec many = state_spec(config, mesh_of(config, kDevices));
  std::vector<HostArray> arguments = drawn_parameters(config);
  for (HostArray& a : drawn_batch(shape, config.vocab_size)) arguments.push_back(a);
  Program expected_program = gradient_step(config, one, shape);
  std::vector<HostArray> expected = run_on_mesh(expected_program, arguments);
  std::vector<HostArray> actual = run_on_mesh(gradient_step(config, many, shape), arguments);
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_LT(relative_difference(actual[i], expected[i]), kTolerance) << expected_program.signature.results[i].name;
  }
  for (size_t i : one.with_role(StateRole::kTrained)) {
    const std::string name = "gradient." + one.array_name(one.entries[i]);
    if (!one.param(one.entries[i]).routed) continue;
    EXPECT_TRUE(last_expert_is_zero(result_named(expected_program.signature, expected, name))) << name;
    EXPECT_TRUE(last_expert_is_zero(result_named(expected_program.signature, actual, name))) << name;
  }
}

const std::vector<std::string> kFsdp = {"ici_fsdp_parallelism=4"};
const std::vector<std::string> kTensor = {"ici_fsdp_parallelism=2", "ici_tensor_parallelism=2"};
const std::vector<std::string> kExpert2 = {"ici_data_parallelism=2", "ici_expert_parallelism=2",
                                           "ici_fsdp_parallelism=1"};
const std::vector<std::string> kExpert4 = {"ici_expert_parallelism=4", "ici_fsdp_parallelism=1"};
const std::vector<std::string> kExpertFsdp = {"ici_expert_parallelism=2", "ici_fsdp_parallelism=2"};
const std::vector<std::string> kContext = {"ici_context_parallelism=2", "ici_fsdp_parallelism=2"};
const std::vector<std::string> kGrouped = {"sparse_matmul=True", "megablox=True", "attention=flash"};
const std::vector<std::string> kDense = {"sparse_matmul=False", "megablox=False", "attention=dot_product"};
const std::vector<std::string> kCapped = {"sparse_matmul=False", "megablox=False", "attention=dot_product",
                                          "capacity_factor=1.0"};
const std::vector<std::string> kBlocks = {"sparse_matmul=True", "attention=flash", "num_vocab_tiling=5"};
const std::vector<std::string> kNoRemat = {"sparse_matmul=True", "megablox=True", "attention=flash",
                                           "remat_policy=none"};
const std::vector<std::string> kUnscanned = {"sparse_matmul=True", "megablox=True", "attention=flash",
                                             "scan_layers=False"};
const std::vector<std::string> kSparse = {"attention=flash",
                                          "use_indexer=True",
                                          "indexer_n_heads=4",
                                          "indexer_head_dim=72",
                                          "indexer_topk=8",
                                          "indexer_loss_scaling_factor=0.5",
                                          "indexer_sparse_training=True"};
const std::vector<std::string> kSparsePlain = joined(kSparse, {"attention=dot_product"});
const std::vector<std::string> kOddIndexer = joined(kSparse, {"indexer_n_heads=3"});
const std::vector<std::string> kWarmup = joined(kSparse, {"indexer_sparse_training=False"});
const std::vector<std::string> kWarmupUnscanned = joined(kWarmup, {"scan_layers=False"});
// A second module sees what the first made; the variant takes the model's norm into both uses of it.
const std::vector<std::string> kPredictions = joined(kGrouped, {"mtp_num_layers=2"});
const std::vector<std::string> kPredictionsDense = joined(kDense, {"mtp_num_layers=1", "mtp_variant=maxtext"});
// A bound that no device comes near.
const std::vector<std::string> kBounded = joined(kGrouped, {"ragged_buffer_factor=1000"});
// Heads that the context axis cannot split.
const std::vector<std::string> kOddHeads = joined(kGrouped, {"base_num_query_heads=3", "base_num_kv_heads=3"});
const std::vector<std::string> kReferences = {"sparse_matmul=True", "megablox=True", "attention=flash", "kernels=off"};

INSTANTIATE_TEST_SUITE_P(
    Meshes, MeshGradients,
    testing::Values(Case{"FsdpGrouped", kFsdp, kGrouped}, Case{"FsdpDense", kFsdp, kDense},
                    Case{"FsdpWithoutRemat", kFsdp, kNoRemat}, Case{"FsdpUnscanned", kFsdp, kUnscanned},
                    Case{"TensorGrouped", kTensor, kGrouped}, Case{"TensorDense", kTensor, kDense},
                    Case{"TensorLossInBlocks", kTensor, kBlocks}, Case{"ContextLossInBlocks", kContext, kBlocks},
                    Case{"TensorCapped", kTensor, kCapped}, Case{"Expert4Capped", kExpert4, kCapped},
                    Case{"ExpertFsdpCapped", kExpertFsdp, kCapped}, Case{"ContextCapped", kContext, kCapped},
                    Case{"TensorUnscanned", kTensor, kUnscanned}, Case{"Expert2Grouped", kExpert2, kGrouped},
                    Case{"Expert2Bounded", kExpert2, kBounded}, Case{"ContextRing", kContext, kOddHeads},
                    Case{"Expert2Dense", kExpert2, kDense}, Case{"Expert2WithoutRemat", kExpert2, kNoRemat},
                    Case{"Expert4Grouped", kExpert4, kGrouped}, Case{"Expert4Dense", kExpert4, kDense},
                    Case{"Expert4Unscanned", kExpert4, kUnscanned}, Case{"ExpertFsdpGrouped", kExpertFsdp, kGrouped},
                    Case{"ContextGrouped", kContext, kGrouped}, Case{"ContextDense", kContext, kDense},
                    Case{"ContextUnscanned", kContext, kUnscanned}, Case{"FsdpSparse", kFsdp, kSparse},
                    Case{"TensorSparse", kTensor, kSparse}, Case{"TensorOddIndexer", kTensor, kOddIndexer},
                    Case{"Expert4Sparse", kExpert4, kSparse}, Case{"ContextSparse", kContext, kSparse},
                    Case{"ContextSparsePlain", kContext, kSparsePlain}, Case{"TensorWarmup", kTensor, kWarmup},
                    Case{"ContextWarmup", kContext, kWarmup}, Case{"TensorPredictions", kTensor, kPredictions},
                    Case{"ContextPredictions", kContext, kPredictionsDense},
                    Case{"ExpertFsdpPredictions", kExpertFsdp, kPredictions},
                    Case{"ExpertFsdpWarmup", kExpertFsdp, kWarmupUnscanned}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace fathom
