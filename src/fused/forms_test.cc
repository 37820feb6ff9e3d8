// Which form of a fused op a target gets, and what is said where there is none.
#include <gmock/gmock.h>

#include <set>

#include "fused/adamw.h"
#include "fused/flash_attention.h"
#include "fused/gated_silu.h"
#include "fused/grouped_matmul.h"
#include "graph/lower.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

using testing::HasSubstr;

// The op in a graph, on one device.
using Build = void (*)(Graph& g, DType dtype);

void build_attention(Graph& g, DType dtype) {
  const Axis b{"b", 1}, s{"s", 6}, t{"t", 6}, h{"h", 2}, w{"w", 4};
  Value q = g.arg("q", {dtype, Shape{b, s, h, w}}), k = g.arg("k", {dtype, Shape{b, t, h, w}});
  Value v = g.arg("v", {dtype, Shape{b, t, h, {"u", 4}}}), segments = g.arg("segments", {DType::kS32, Shape{b, s}});
  g.root().results = {flash_attention(q, k, v, segments)};
}

void build_grouped(Graph& g, DType dtype) {
  Value x = g.arg("x", {dtype, Shape{{"m", 6}, {"k", 4}}}),
        w = g.arg("w", {dtype, Shape{{"e", 2}, {"n", 3}, {"k", 4}}});
  g.root().results = {grouped_matmul(x, w, g.arg("sizes", {DType::kS32, Shape{{"e", 2}}}))};
}

void build_silu(Graph& g, DType dtype) {
  Value x = g.arg("x", {dtype, Shape{{"m", 6}, {"k", 4}}});
  g.root().results = {gated_silu(x, x, false)};
}

void build_adamw(Graph& g, DType dtype) {
  Value x = g.arg("x", {dtype, Shape{{"m", 6}}}), one = g.arg("one", {DType::kF32, {}});
  g.root().results = {adamw({}, {x, x, x}, x, {one, one, one, one}).state.parameter};
}

// The ops of the program that the target gets, loops' bodies not looked into; a fallback to the reference is an error.
std::set<Op> ops_of(Build build, const Target& target, DType dtype = DType::kF32) {
  Graph g;
  build(g, dtype);
  std::set<Op> out;
  std::unique_ptr<Graph> lowered = lower(g, {.target = target, .require_kernels = true});
  for (const Node* node : lowered->root().nodes()) out.insert(node->op);
  return out;
}

void expect_refused(Build build, const Target& target, DType dtype, const std::string& reason) {
  EXPECT_THAT([&] { ops_of(build, target, dtype); },
              testing::ThrowsMessage<GraphError>(HasSubstr("takes its composed reference: " + reason)));
}

const Target kCpu{.hardware = Hardware::kCpu, .kernels = {}}, kGpu{.hardware = Hardware::kGpu, .kernels = {}},
    kTpu{.hardware = Hardware::kTpu, .kernels = {}};
const Target kKernels{
    .hardware = Hardware::kCpu,
    .kernels = {std::string(abi::kFlashAttention), std::string(abi::kGroupedMatmul), std::string(abi::kGatedSilu)}};

TEST(Forms, EachHardwareGetsItsOwn) {
  EXPECT_TRUE(ops_of(build_attention, kKernels).contains(Op::kCustomCall));
  EXPECT_TRUE(ops_of(build_attention, kGpu).contains(Op::kScan));
  EXPECT_TRUE(ops_of(build_grouped, kKernels).contains(Op::kCustomCall));
  EXPECT_TRUE(ops_of(build_grouped, kGpu).contains(Op::kGather));
  EXPECT_TRUE(ops_of(build_grouped, kTpu).contains(Op::kRaggedDot));
}

TEST(Forms, PlainOpsAreNoFallback) {
  for (const Target& target : {kGpu, kTpu}) EXPECT_TRUE(ops_of(build_silu, target).contains(Op::kLogistic));
  for (const Target& target : {kGpu, kTpu}) EXPECT_TRUE(ops_of(build_adamw, target).contains(Op::kSqrt));
}

// Its arithmetic is float32, which bfloat16's is not unless the op says so.
TEST(Forms, TheActivationHasAKernelForFloat32) {
  EXPECT_TRUE(ops_of(build_silu, kKernels).contains(Op::kCustomCall));
  EXPECT_TRUE(ops_of(build_silu, kKernels, DType::kBF16).contains(Op::kLogistic));
}

TEST(Forms, AFallbackSaysWhy) {
  expect_refused(build_attention, kCpu, DType::kF32, "the target has no kernel fathom_flash_attention;");
  expect_refused(build_grouped, kCpu, DType::kF32, "the target has no kernel fathom_grouped_matmul;");
  expect_refused(build_silu, kCpu, DType::kF32, "the target has no kernel fathom_gated_silu;");
  expect_refused(build_adamw, kKernels, DType::kF32, "the target has no kernel fathom_adamw;");
  expect_refused(build_grouped, kKernels, DType::kF16,
                 "fathom_grouped_matmul takes float32 and bfloat16, not float16;");
  expect_refused(build_attention, kTpu, DType::kF32, "it has no kernel for tpu;");
}

}  // namespace
}  // namespace fathom
