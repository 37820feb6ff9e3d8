// Attention whose keys and values go round the devices that split the sequence gives what one device gives.
#include <gtest/gtest.h>

#include "../support/run_graph.h"
#include "base/error.h"
#include "fused/flash_attention.h"
#include "graph/grad/gradients.h"
#include "mesh_run.h"

namespace fathom {
namespace {

struct Case {
  const char* name;
  std::vector<std::string> mesh;
  int64_t length, heads, block;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

constexpr int64_t kRows = 4;

std::vector<Shape> shapes(const Case& c) {
  const Axis b{"b", kRows}, h{"h", c.heads}, w{"w", 6}, u{"u", 5};
  return {Shape{b, {"s", c.length}, h, w}, Shape{b, {"t", c.length}, h, w}, Shape{b, {"t", c.length}, h, u},
          Shape{b, {"s", c.length}, h, u}};
}

// Arguments: q, k, v, d_out and segments. Results: the output and the gradients of <output, d_out>.
Program attention(const Case& c, const std::shared_ptr<const Partition>& partition) {
  Program out;
  out.name = "attention";
  out.graph = std::make_unique<Graph>();
  out.graph->partition = partition;
  if (partition) out.signature.mesh = partition->mesh();
  auto add = [&](const TensorType& type) {
    out.signature.args.push_back({.name = "arg", .type = type});
    return out.graph->arg("arg", type);
  };
  std::vector<Value> args;
  for (const Shape& shape : shapes(c)) args.push_back(add({DType::kF32, shape}));
  Value segments = add({DType::kS32, Shape{{"b", kRows}, {"s", c.length}}});
  Value y = flash_attention(args[0], args[1], args[2], segments, {.block = c.block});
  std::vector<Value> results = gradients(reduce_sum(y * args[3], ""), {args[0], args[1], args[2]});
  results.insert(results.begin(), y);
  for (const Value& r : results) {
    out.graph->root().results.push_back(r);
    out.signature.results.push_back({.name = "result", .type = r.type()});
  }
  return out;
}

std::shared_ptr<const Partition> partition_of(const Case& c) {
  Config config = mesh_config(c.mesh);
  return std::make_shared<const Partition>(mesh_of(config, 4), config.logical_axis_rules);
}

// Documents that end within a device's part, at its end and in a later one; padding.
std::vector<HostArray> inputs(const Case& c) {
  std::vector<HostArray> out;
  for (const Shape& shape : shapes(c)) out.push_back(random_floats(shape, static_cast<uint32_t>(out.size())));
  std::vector<int32_t> segments;
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t i = 0; i < c.length; ++i) {
      const int64_t first_end = (row + 1) * c.length / 5, end = c.length - row * 3;
      segments.push_back(i >= end ? 0 : i < first_end ? 1 : 2);
    }
  }
  out.push_back(integers(Shape{{"b", kRows}, {"s", c.length}}, segments));
  return out;
}

class RingAttention : public testing::TestWithParam<Case> {};

TEST_P(RingAttention, GivesOutputAndGradientsOfOneDevice) {
  const Case& c = GetParam();
  const std::vector<HostArray> in = inputs(c);
  const Program split = attention(c, partition_of(c));
  const std::string text = emit(split, {});
  EXPECT_NE(text.find("stablehlo.collective_permute"), std::string::npos);
  const std::vector<HostArray> expected = run_on_mesh(attention(c, nullptr), in), actual = run_on_mesh(split, in);
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_LT(relative_difference(actual[i], expected[i]), 2e-6) << "result " << i;
  }
}

const std::vector<std::string> kFour = {"ici_context_parallelism=4", "ici_fsdp_parallelism=1"};
const std::vector<std::string> kRowsToo = {"ici_context_parallelism=2", "ici_fsdp_parallelism=2"};
const std::vector<std::string> kHeadsToo = {"ici_context_parallelism=2", "ici_tensor_parallelism=2",
                                            "ici_fsdp_parallelism=1"};

INSTANTIATE_TEST_SUITE_P(Meshes, RingAttention,
                         testing::Values(Case{"HeadsThatCannotBeSplit", kFour, 64, 3, 8},
                                         Case{"BlocksThatDoNotFit", kFour, 40, 3, 4},
                                         Case{"OneBlockADevice", kFour, 32, 5, 128},
                                         Case{"RowsSplitToo", kRowsToo, 32, 3, 8},
                                         Case{"HeadsSplitToo", kHeadsToo, 32, 6, 8}),
                         [](const auto& info) { return info.param.name; });

TEST(RingAttention, IsNotWhereTheHeadsCanBeSplit) {
  const Case c{"", kFour, 32, 4, 8};
  const std::string text = emit(attention(c, partition_of(c)), {});
  EXPECT_EQ(text.find("stablehlo.collective_permute"), std::string::npos);
  EXPECT_NE(text.find("stablehlo.all_to_all"), std::string::npos);
}

TEST(RingAttention, HeadsThatTensorParallelismCannotSplitAreRefused) {
  const Case c{"", kHeadsToo, 32, 3, 8};
  try {
    emit(attention(c, partition_of(c)), {});
    ADD_FAILURE() << "not refused";
  } catch (const ConfigError& e) {
    EXPECT_NE(std::string(e.what()).find("3 heads cannot be split over 2 devices (tensor"), std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace fathom
