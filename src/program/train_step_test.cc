#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "config/resolve/resolve.h"
#include "graph/fused_op.h"
#include "graph/lower.h"
#include "kernels/abi.h"
#include "mesh/device_mesh.h"
#include "program/programs.h"

namespace fathom {
namespace {

Config configured(std::vector<std::string> keys) {
  keys.insert(keys.begin(), {"configs/base.yml", "dataset_type=synthetic", "run_name=test"});
  return resolve_config(keys, {}).config;
}

Program staged(const Config& config, const BatchShape& batch) { return train_step(config, state_spec(config), batch); }

int64_t count(const std::string& text, std::string_view words) {
  int64_t found = 0;
  for (size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) ++found;
  return found;
}

int64_t count_ops(const std::string& text) { return count(text, " = \""); }

// Bytes of what the forward scans over layers stack for the backward pass.
int64_t residual_bytes(const Program& program) {
  std::unique_ptr<Graph> graph = lower(*program.graph, {});
  int64_t bytes = 0;
  for (Node* node : graph->root().nodes()) {
    if (node->op != Op::kScan || node->attr<ScanAttrs>().axis != "l" || node->attr<ScanAttrs>().reverse) continue;
    for (size_t i = static_cast<size_t>(node->attr<ScanAttrs>().carries); i < node->results.size(); ++i) {
      bytes += node->results[i].bytes();
    }
  }
  return bytes;
}

// Every node with its op, operands, types and scope, bodies included: "7 dot(3, 5) f32[b=2 d=8] decoder/mla".
void outline(const Region& region, std::string& out) {
  for (const Value& arg : region.args()) out += fmt::format("{} {}\n", arg.node().id, arg.type().to_string());
  for (const Node* node : region.nodes()) {
    out += fmt::format("{} {}(", node->id, name(node->op));
    for (const Value& v : node->operands) out += fmt::format(" {}.{}", v.node().id, v.index());
    out += " )";
    for (const TensorType& type : node->results) out += " " + type.to_string();
    if (node->op == Op::kFused) out += fmt::format(" {}", node->attr<FusedAttrs>().op->name);
    out += " " + node->scope + "\n";
    for (const auto& body : node->regions) outline(*body, out);
  }
  for (const Value& r : region.results) out += fmt::format("-> {}.{}\n", r.node().id, r.index());
}

constexpr int64_t kRows = 2;
constexpr int64_t kLength = 8;

std::vector<std::string> tiny(std::vector<std::string> more) {
  std::vector<std::string> keys = {"model_name=deepseek3-tiny", "dtype=float32", "per_device_batch_size=2",
                                   "max_target_length=8"};
  keys.insert(keys.end(), more.begin(), more.end());
  return keys;
}

// Of the counts that layers with experts give beside their output.
int64_t load_bytes(const Config& config) {
  return (config.num_decoder_layers - config.first_num_dense_layers) * config.num_experts * 4;
}

TEST(TrainStep, KeepsNothingButTheLayerInputsUnderFullRemat) {
  Config config = configured(tiny({"remat_policy=full"}));
  int64_t layer_input = kRows * kLength * config.emb_dim * 4;
  EXPECT_EQ(residual_bytes(staged(config, {kRows, kLength})),
            config.num_decoder_layers * layer_input + load_bytes(config));
}

TEST(TrainStep, KeepsTheSavedNamesAndNothingElse) {
  Config config = configured(tiny({"remat_policy=custom", "out_proj=device"}));
  int64_t each = kRows * kLength * config.emb_dim * 4;  // the output projection is as wide as the layer's input
  EXPECT_EQ(residual_bytes(staged(config, {kRows, kLength})),
            config.num_decoder_layers * 2 * each + load_bytes(config));
}

// Elements of the largest value, bodies included.
int64_t largest_value(const Region& region) {
  int64_t most = 0;
  for (const Node* node : region.nodes()) {
    for (const TensorType& type : node->results) most = std::max(most, type.shape.elements());
    for (const auto& body : node->regions) most = std::max(most, largest_value(*body));
  }
  return most;
}

TEST(TrainStep, SparseAttentionInBlocksHasNoValueOfLengthTimesLength) {
  const int64_t length = 4096;
  for (const char* stage : {"indexer_sparse_training=True", "indexer_sparse_training=False"}) {
    Config config =
        configured(tiny({"use_indexer=True", "indexer_n_heads=2", "indexer_head_dim=64", "indexer_topk=32",
                         "indexer_loss_scaling_factor=0.5", "attention=flash", "max_target_length=4096",
                         "vocab_size=256", "override_model_config=True", "per_device_batch_size=1", stage}));
    for (Hardware hardware : {Hardware::kCpu, Hardware::kGpu, Hardware::kTpu}) {
      std::unique_ptr<Graph> graph = lower(*staged(config, {1, length}).graph, {.target = {.hardware = hardware}});
      EXPECT_LT(largest_value(graph->root()), length * length) << stage << ", " << name(hardware);
    }
  }
}

// The dense warm-up: each layer's gradient comes out of the forward scan.
TEST(TrainStep, TheIndexersWarmupKeepsNoLayerInput) {
  Config config = configured(tiny({"use_indexer=True", "indexer_n_heads=2", "indexer_head_dim=64", "indexer_topk=4",
                                   "indexer_loss_scaling_factor=0.5", "remat_policy=none"}));
  ASSERT_TRUE(config.indexer_dense_warmup);
  StateSpec spec = state_spec(config);
  int64_t kept = config.num_decoder_layers * kRows * kLength * 4;  // the loss of each token
  for (size_t i : spec.with_role(StateRole::kTrained)) kept += spec.entries[i].type.bytes();
  kept += (config.num_decoder_layers - config.first_num_dense_layers) * config.num_experts * 4;  // the experts' load
  EXPECT_LE(residual_bytes(staged(config, {kRows, kLength})), kept);
  for (const StateEntry& entry : spec.entries) {
    const bool learns = entry.role == StateRole::kTrained || entry.role == StateRole::kMoment;
    if (!learns) continue;
    EXPECT_NE(entry.name.find(".mla.indexer."), std::string::npos) << entry.name;
  }
}

TEST(TrainStep, OffloadedTensorsWaitInTheHostsMemoryAndNothingElseIsKept) {
  Config config = configured(tiny({"remat_policy=custom", "decoder_layer_input=offload", "hardware=tpu"}));
  const Program program = staged(config, {kRows, kLength});
  EXPECT_EQ(residual_bytes(program),
            config.num_decoder_layers * kRows * kLength * config.emb_dim * 4 + load_bytes(config));
  const std::string text = emit(program, {.target = {.hardware = Hardware::kTpu, .kernels = {}}});
  // Two stacks of layers, there and back.
  EXPECT_EQ(count(text, "_xla_buffer_placement = \"pinned_host\""), 2);
  EXPECT_EQ(count(text, "_xla_buffer_placement = \"device\""), 2);
  EXPECT_EQ(count(emit(program), "_xla_buffer_placement"), 0) << "the memory of a CPU is the host's";
}

// 4,080 tokens: 4,096 is the first power of two not below. Without the factor a block's least scale would round away
// what a token of a large batch gives.
TEST(TrainStep, WithFp8TheLossIsMultipliedByThePowerOfTwoOfItsTokensAndTheGradientsAreDividedByIt) {
  auto text = [](std::vector<std::string> keys) {
    return emit(staged(configured(tiny(std::move(keys))), {kRows, 255 * kLength}));
  };
  const std::string plain = text({}), fp8 = text({"quantization=fp8"});
  EXPECT_EQ(count(plain, "dense<4096.0>") + count(plain, "dense<0.00024414062>"), 0);
  EXPECT_EQ(count(fp8, "dense<4096.0>"), 1);
  EXPECT_GT(count(fp8, "dense<0.00024414062>"), 0);
  // Of two micro-batches as many tokens make a step.
  const std::string halves = text({"quantization=fp8", "gradient_accumulation_steps=2"});
  EXPECT_EQ(count(halves, "dense<4096.0>"), 1);
}

// Profiles tell the passes by these words.
TEST(TrainStep, ScopesTellForwardRecomputedAndBackwardWorkApart) {
  std::string full = emit(staged(configured(tiny({"remat_policy=full"})), {kRows, kLength}));
  for (const char* scope : {"\"decoder/moe_layers/mla\"", "\"remat/decoder/moe_layers/mla\"",
                            "\"grad/decoder/moe_layers/mla\"", "\"optimizer\""}) {
    EXPECT_NE(full.find(scope), std::string::npos) << scope;
  }
  EXPECT_EQ(full.find("grad/remat/"), std::string::npos);
  std::string none = emit(staged(configured(tiny({"remat_policy=none"})), {kRows, kLength}));
  EXPECT_EQ(none.find("remat/"), std::string::npos);
}

// What changes is donated to the result of its own name; what does not change is not donated.
TEST(TrainStep, DonatesWhatItChangesToTheResultOfTheSameName) {
  Config config = configured(tiny({"trainable_parameters_mask=['.*moe_layers.*']"}));
  StateSpec spec = state_spec(config);
  Program program = train_step(config, spec, {kRows, kLength});
  const Signature& s = program.signature;
  std::set<std::string> donated;
  for (const ArgSpec& arg : s.args) {
    if (!arg.donated_to) continue;
    donated.insert(arg.name);
    EXPECT_EQ(s.results[static_cast<size_t>(*arg.donated_to)].name, arg.name);
  }
  std::set<std::string> changed;
  for (const StateEntry& e : spec.entries) {
    if (e.role != StateRole::kFrozen && e.role != StateRole::kMovedByRule) changed.insert(e.name);
  }
  EXPECT_EQ(donated, changed);
}

TEST(State, AFrozenParameterHasNoMomentsNoGradientAndNoDecay) {
  Config config = configured(tiny({"trainable_parameters_mask=['.*moe_layers.*']"}));
  StateSpec spec = state_spec(config);
  std::set<std::string> gradients;
  for (const ResultSpec& r : gradient_step(config, spec, {kRows, kLength}).signature.results) gradients.insert(r.name);
  int frozen = 0;
  for (const StateEntry& e : spec.entries) {
    if (e.role != StateRole::kFrozen) continue;
    ++frozen;
    EXPECT_FALSE(e.decayed) << e.name;
    for (const char* moment : {"mu.", "nu."}) EXPECT_FALSE(spec.index_of.contains(moment + spec.array_name(e)));
    EXPECT_FALSE(gradients.contains("gradient." + spec.array_name(e))) << e.name;
  }
  EXPECT_GT(frozen, 5);
}

TEST(State, TheRoutersBiasIsMovedByRuleAlone) {
  StateSpec spec = state_spec(configured(tiny({})));
  EXPECT_EQ(spec.entries[spec.index("params.decoder.moe_layers.moe.router_bias")].role, StateRole::kMovedByRule);
  EXPECT_FALSE(spec.index_of.contains("mu.decoder.moe_layers.moe.router_bias"));
}

TEST(TrainStep, MovesTheRoutersBiasInPlaceWhereARateIsGiven) {
  for (const char* scanned : {"scan_layers=True", "scan_layers=False"}) {
    Config config = configured(tiny({"routed_bias_update_rate=0.001", scanned}));
    StateSpec spec = state_spec(config);
    Program program = train_step(config, spec, {kRows, kLength});
    size_t moved = 0;
    for (const ArgSpec& arg : program.signature.args) {
      if (arg.name.ends_with(".router_bias") && arg.donated_to) ++moved;
    }
    EXPECT_EQ(moved, spec.with_role(StateRole::kMovedByRule).size()) << scanned;
    EXPECT_GT(moved, 0U);
  }
}

// The sum over the devices' wishes is what each process reads, so that all leave after the same step.
TEST(TrainStep, TakesOneWishToStopFromEachDevice) {
  Config config = configured(tiny({"cpu_device_count=4", "ici_fsdp_parallelism=4"}));
  Program program = train_step(config, state_spec(config, resolve_mesh(config, 4).mesh), {4, kLength});
  const ArgSpec& stop = program.signature.args.back();
  EXPECT_EQ(stop.name, "stop");
  EXPECT_EQ(stop.type.shape.sizes(), (std::vector<int64_t>{4}));
  EXPECT_EQ(stop.sharding.dims, (std::vector<std::vector<std::string>>{{"fsdp"}}));
}

TEST(TrainStep, IsTheSameTextEachTime) {
  Config config = configured(tiny({}));
  EXPECT_EQ(emit(staged(config, {kRows, kLength})), emit(staged(config, {kRows, kLength})));
}

TEST(TrainStep, IsTheSameGraphForEveryPlatform) {
  std::string first;
  for (const char* hardware : {"cpu", "tpu", "gpu"}) {
    Config config = configured(tiny({std::string("hardware=") + hardware, "attention=flash", "sparse_matmul=True"}));
    std::string all;
    outline(staged(config, {kRows, kLength}).graph->root(), all);
    if (first.empty()) first = all;
    EXPECT_EQ(all, first) << hardware;
  }
}

void count_products_without_scope(const Region& region, int64_t& count) {
  for (const Node* node : region.nodes()) {
    count += node->op == Op::kDot && node->scope.empty() ? 1 : 0;
    for (const auto& body : node->regions) count_products_without_scope(*body, count);
  }
}

TEST(TrainStep, EveryProductKeepsItsScopeWhenItIsLowered) {
  Config config = configured(tiny({"sparse_matmul=True"}));
  std::unique_ptr<Graph> graph = lower(*staged(config, {kRows, kLength}).graph, {});
  int64_t count = 0;
  count_products_without_scope(graph->root(), count);
  EXPECT_EQ(count, 0);
}

TEST(TrainStep, StaysWithinTheTextBudgetAtFullSize) {
  Config config = configured({"model_name=deepseek3-671b", "dtype=bfloat16", "weight_dtype=bfloat16", "attention=flash",
                              "per_device_batch_size=1", "max_target_length=1024"});
  std::string text = emit(staged(config, {128, 1024}));
  EXPECT_LT(count_ops(text), 20000);
  EXPECT_LT(text.size(), 5'000'000U);
  EXPECT_EQ(text.find("dense<\"0x"), std::string::npos) << "a hex-packed constant";
}

// The text of a program with the CPU's kernels on a mesh that splits heads and experts.
std::string text_on_mesh() {
  Config config = configured(
      tiny({"sparse_matmul=True", "attention=flash", "cpu_device_count=8", "use_indexer=True", "indexer_n_heads=4",
            "indexer_head_dim=72", "indexer_topk=4", "indexer_loss_scaling_factor=0.5", "indexer_sparse_training=True",
            "ici_tensor_parallelism=2", "ici_expert_parallelism=2", "ici_fsdp_parallelism=2"}));
  EmitOptions options;
  for (std::string_view kernel : {abi::kSelectedAttention, abi::kSelectedAttentionGrad, abi::kIndexerSelection,
                                  abi::kIndexerKeys, abi::kSelectedIndexerLoss, abi::kSelectedIndexerLossGrad}) {
    options.target.kernels.emplace(kernel);
  }
  const StateSpec spec = state_spec(config, resolve_mesh(config, 8).mesh);
  return emit(train_step(config, spec, {8, kLength}), options);
}

// Two gathers that run at the same time on one channel take each other's parts.
TEST(TrainStep, CollectivesHaveEachAChannelOfItsOwn) {
  const std::string text = text_on_mesh();
  std::vector<std::string> channels;
  for (const std::string word : {"channel_handle<handle = ", "channel_id = "}) {
    for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
      channels.push_back(text.substr(at + word.size(), text.find_first_of(", ", at + word.size()) - at - word.size()));
    }
  }
  EXPECT_GT(channels.size(), 20U);
  EXPECT_EQ(std::set<std::string>(channels.begin(), channels.end()).size(), channels.size());
}

// XLA may give a result that nobody says the layout of the one that a gather behind it would like.
TEST(TrainStep, KernelsSayTheLayoutOfTheirArrays) {
  const std::string text = text_on_mesh();
  int64_t calls = 0;
  for (size_t at = text.find("call_target_name = \"fathom_"); at != std::string::npos;
       at = text.find("call_target_name = \"fathom_", at + 1)) {
    const std::string line = text.substr(at, text.find('\n', at) - at);
    if (line.find(abi::kUninitialized) != std::string::npos || line.find("aliases") != std::string::npos) continue;
    EXPECT_NE(line.find("result_layouts = [dense<["), std::string::npos) << line;
    ++calls;
  }
  EXPECT_GT(calls, 8);
}

}  // namespace
}  // namespace fathom
