// The quantiser and the products of numbers of 8 bits against tests/data/fp8_train, which ml_dtypes and float64 made.
#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "../tests/support/run_graph.h"
#include "base/bf16.h"
#include "checkpoint/safetensors.h"
#include "fused/fp8.h"
#include "fused/fp8_grouped.h"
#include "fused/fp8_linear.h"
#include "graph/grad/gradients.h"

namespace fathom {
namespace {

std::shared_ptr<const SafetensorsFile> data_file(const std::string& name) {
  return SafetensorsFile::open("tests/data/fp8_train/" + name + ".safetensors");
}

double tolerance(const std::string& product) {
  std::ifstream in("tests/data/fp8_train/tolerances.json");
  return nlohmann::json::parse(in).at(product).at("tolerance").get<double>();
}

float e4m3_to_float(uint8_t code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  if (exponent == 15 && mantissa == 7) return std::nanf("");
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return static_cast<float>((code & 0x80) != 0 ? -magnitude : magnitude);
}

// The nearest number of e4m3, the even one of two.
float nearest_e4m3(float v) {
  const int last = std::max(std::ilogb(v), -6) - 3;
  return std::clamp(std::ldexp(std::nearbyint(std::ldexp(v, -last)), last), -448.0F, 448.0F);
}

// A tensor of bfloat16, float32 or e4m3 as float32.
HostArray as_floats(const HostArray& a) {
  HostArray out = HostArray::allocate(DType::kF32, a.sizes());
  auto to = out.mutable_view<float>();
  for (size_t i = 0; i < to.size(); ++i) {
    switch (a.dtype()) {
      case DType::kBF16:
        to[i] = bf16_to_float(reinterpret_cast<const uint16_t*>(a.data())[i]);
        break;
      case DType::kF8E4M3FN:
        to[i] = e4m3_to_float(reinterpret_cast<const uint8_t*>(a.data())[i]);
        break;
      default:
        to[i] = a.view<float>()[i];
    }
  }
  return out;
}

HostArray tensor(const SafetensorsFile& file, const std::string& name) { return as_floats(file.tensor(name)); }

bool same_bits(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }

// ---- the quantiser ----

struct Quantized {
  HostArray codes, scales;
};

Quantized quantized(const HostArray& x, const Fp8Runs& runs) {
  auto g = std::make_unique<Graph>();
  const Shape shape{{"n", x.sizes()[0]}, {"k", x.sizes()[1]}};
  Fp8Numbers made = fp8_quantized(g->arg("x", {DType::kF32, shape}), runs);
  g->root().results = {made.codes, made.scales};
  auto out = run_graph(std::move(g), {x});
  return {out[0], out[1]};
}

struct QuantizerCase {
  std::string name;
  Fp8Runs runs;
  int64_t block_rows;
};

class Quantizer : public testing::TestWithParam<QuantizerCase> {};

TEST_P(Quantizer, GivesTheCodesAndScalesOfTheReferenceBitForBit) {
  const auto& [name, runs, block_rows] = GetParam();
  const auto file = data_file("quantiser");
  const Quantized made = quantized(tensor(*file, name), runs);
  const HostArray codes = tensor(*file, name + ".codes.any"), scales = tensor(*file, name + ".scales.any");
  const int64_t columns = codes.sizes()[1], blocks = scales.sizes()[1];
  ASSERT_GT(codes.view<float>().size(), 0U);
  for (int64_t i = 0; i < codes.sizes()[0]; ++i) {
    for (int64_t k = 0; k < columns; ++k) {
      const auto at = static_cast<size_t>(i * columns + k);
      const float scale = scales.view<float>()[static_cast<size_t>(i / block_rows * blocks + k / kFp8Block)];
      ASSERT_TRUE(same_bits(made.scales.view<float>()[at], scale)) << i << ", " << k;
      // Zero has two signs.
      ASSERT_EQ(made.codes.view<float>()[at], codes.view<float>()[at]) << i << ", " << k;
    }
  }
}

const Fp8Runs kRows = {"k"}, kBlocks = {"n", "k"};
INSTANTIATE_TEST_SUITE_P(Names, Quantizer,
                         testing::Values(QuantizerCase{"act_bf16", kRows, 1}, QuantizerCase{"act_f32", kRows, 1},
                                         QuantizerCase{"weight_bf16", kBlocks, kFp8Block},
                                         QuantizerCase{"weight_f32", kBlocks, kFp8Block}),
                         [](const auto& info) { return info.param.name; });

// A number that is none must not look like one behind a product; other blocks do not see it.
TEST(QuantizerOfNoNumbers, MakesItsBlockNaNAndNoOther) {
  const auto file = data_file("quantiser");
  const HostArray x = tensor(*file, "act_nonfinite"), codes = tensor(*file, "act_nonfinite.codes.any"),
                  scales = tensor(*file, "act_nonfinite.scales.any");
  const Quantized made = quantized(x, kRows);
  int64_t lost = 0;
  for (size_t at = 0; at < codes.view<float>().size(); ++at) {
    const float scale = scales.view<float>()[at / kFp8Block];
    const float value = made.codes.view<float>()[at] * made.scales.view<float>()[at];
    if (std::isfinite(scale)) {
      ASSERT_EQ(value, codes.view<float>()[at] * scale) << at;
    } else {
      ASSERT_TRUE(std::isnan(value)) << at;
      ++lost;
    }
  }
  EXPECT_GT(lost, 0);
}

// Heads of 192, 20 and 128 numbers: blocks begin and end inside of a head.
TEST(QuantizerOfSeveralAxes, CountsThroughThem) {
  for (int64_t width : {192, 20, 128}) {
    const Shape split{{"d", 3}, {"h", 7}, {"u", width}}, whole{{"d", 3}, {"k", 7 * width}};
    const HostArray x = random_floats(split, 1, 3);
    auto g = std::make_unique<Graph>();
    Value v = g->arg("x", {DType::kF32, split});
    Value at_once = reshape(fp8_rounded(reshape(v, whole), {"d", "k"}), split);
    g->root().results = {fp8_rounded(v, {"d", "h u"}), at_once, fp8_rounded(v, {"h u"}),
                         reshape(fp8_rounded(reshape(v, whole), {"k"}), split)};
    const auto out = run_graph(std::move(g), {x});
    EXPECT_EQ(max_difference(out[0], out[1]), 0) << width;
    EXPECT_EQ(max_difference(out[2], out[3]), 0) << width;
    EXPECT_GT(max_difference(out[0], out[2]), 0) << width;
    EXPECT_GT(max_difference(out[0], x), 0) << width;
  }
}

// ---- the three products ----

HostArray rows_of(const HostArray& x, const HostArray& rows) {
  const int64_t width = x.sizes()[1];
  HostArray out = HostArray::allocate(DType::kF32, {rows.sizes()[0], width});
  for (int64_t i = 0; i < rows.sizes()[0]; ++i) {
    const auto from = x.view<float>().subspan(static_cast<size_t>(rows.view<int64_t>()[static_cast<size_t>(i)] * width),
                                              static_cast<size_t>(width));
    std::ranges::copy(from, out.mutable_view<float>().begin() + i * width);
  }
  return out;
}

// y, dx and dw of a linear layer computed in `dtype`; x [t k], w [n k], dy [t n].
std::vector<HostArray> three_products(const HostArray& x, const HostArray& w, const HostArray& dy, DType dtype) {
  const Axis t{"t", x.sizes()[0]}, k{"k", x.sizes()[1]}, n{"n", w.sizes()[0]};
  auto g = std::make_unique<Graph>();
  Value xs = g->arg("x", {DType::kF32, Shape{t, k}}), ws = g->arg("w", {DType::kF32, Shape{n, k}});
  Value y = fp8_linear(convert(xs, dtype), convert(ws, dtype), "k", {.out = DType::kF32});
  Value loss = reduce_sum(y * g->arg("dy", {DType::kF32, Shape{t, n}}), "");
  std::vector<Value> d = gradients(loss, {xs, ws});
  g->root().results = {y, d[0], d[1]};
  return run_graph(std::move(g), {x, w, dy});
}

TEST(Fp8Linear, ItsThreeProductsAreThoseOfTheReference) {
  const auto file = data_file("linear");
  const auto made = three_products(tensor(*file, "x"), tensor(*file, "w"), tensor(*file, "dy"), DType::kF32);
  const std::string names[] = {"y", "dx", "dw"};
  for (size_t i = 0; i < 3; ++i) {
    const HostArray want = tensor(*file, names[i] + ".any");
    const double worst = max_difference(rows_of(made[i], file->tensor(names[i] + ".rows")), want);
    EXPECT_LE(worst, tolerance(names[i] + ".any")) << names[i];
  }
}

// bfloat16 rounds what e4m3 has rounded: 2^-9 beside 2^-4 of each operand, and the gradients once more.
TEST(Fp8Linear, InBfloat16ItsProductsDifferByRoundingsOfBfloat16) {
  const auto file = data_file("linear");
  const HostArray x = tensor(*file, "x"), w = tensor(*file, "w"), dy = tensor(*file, "dy");
  const auto exact = three_products(x, w, dy, DType::kF32), made = three_products(x, w, dy, DType::kBF16);
  for (size_t i = 0; i < 3; ++i) {
    double error = 0, size = 0;
    for (size_t at = 0; at < exact[i].view<float>().size(); ++at) {
      error += std::pow(exact[i].view<float>()[at] - made[i].view<float>()[at], 2);
      size += std::pow(exact[i].view<float>()[at], 2);
    }
    EXPECT_LT(std::sqrt(error / size), 3 * 0x1p-9) << i;
    EXPECT_GT(error, 0) << i;
  }
}

// A stack of matrices, their number summed over, kept, or a batch axis: each has blocks of its own.
TEST(Fp8Linear, BlocksDoNotReachFromOneMatrixToAnother) {
  const Axis b{"b", 5}, e{"e", 3}, f{"f", 40}, d{"d", 150};
  auto g = std::make_unique<Graph>();
  Value x = g->arg("x", {DType::kF32, Shape{b, e, f}}), w = g->arg("w", {DType::kF32, Shape{e, d, f}});
  Value dy = g->arg("dy", {DType::kF32, Shape{b, d}}), each_dy = g->arg("each_dy", {DType::kF32, Shape{e, b, d}});
  Value y = fp8_linear(x, w, "e f", {.matrices = "e"});
  std::vector<Value> of_sum = gradients(reduce_sum(y * dy, ""), {x, w});
  Value each = fp8_linear(x, w, "f", {.matrices = "e"});
  std::vector<Value> of_each = gradients(reduce_sum(each * each_dy, ""), {x, w});
  Value sum;
  std::vector<Value> dx_sum, dw_sum, dx_each, dw_each, ys;
  for (int64_t i = 0; i < e.size; ++i) {
    auto part = [&](Value v) { return squeeze(slice(v, "e", i, i + 1), "e"); };
    Value xi = part(x), wi = part(w);
    Value yi = fp8_linear(xi, wi, "f");
    sum = sum ? sum + yi : yi;
    std::vector<Value> one = gradients(reduce_sum(yi * dy, ""), {xi, wi});
    std::vector<Value> own = gradients(reduce_sum(yi * part(each_dy), ""), {xi, wi});
    dx_sum.push_back(expand(one[0], "e"));
    dw_sum.push_back(expand(one[1], "e"));
    dx_each.push_back(expand(own[0], "e"));
    dw_each.push_back(expand(own[1], "e"));
    ys.push_back(expand(yi, "e"));
  }
  auto stacked = [&](const std::vector<Value>& parts, std::string_view order) {
    return transpose(concatenate(parts, "e"), order);
  };
  g->root().results = {y,          sum,
                       of_sum[0],  stacked(dx_sum, "b e f"),
                       of_sum[1],  stacked(dw_sum, "e d f"),
                       each,       stacked(ys, "e b d"),
                       of_each[0], stacked(dx_each, "b e f"),
                       of_each[1], stacked(dw_each, "e d f")};
  const auto out = run_graph(std::move(g), {random_floats(x.shape(), 1), random_floats(w.shape(), 2),
                                            random_floats(dy.shape(), 3), random_floats(each_dy.shape(), 4)});
  for (size_t i = 0; i < out.size(); i += 2) EXPECT_LT(max_difference(out[i], out[i + 1]), 1e-4) << i;
}

// ---- experts ----

TEST(Fp8Grouped, ItsOuterProductsBeginTheirBlocksAtEachExpertsFirstRow) {
  const auto file = data_file("grouped");
  const HostArray x = tensor(*file, "x"), dy = tensor(*file, "dy"), rows = file->tensor("rows_per_expert");
  const int64_t spare = 3;  // behind the last group: no numbers
  auto with_spare = [&](const HostArray& a) {
    HostArray out = HostArray::allocate(DType::kF32, {a.sizes()[0] + spare, a.sizes()[1]});
    std::ranges::fill(out.mutable_view<float>(), std::nanf(""));
    std::ranges::copy(a.view<float>(), out.mutable_view<float>().begin());
    return out;
  };
  const Axis m{"m", x.sizes()[0] + spare}, n{"n", dy.sizes()[1]}, k{"k", x.sizes()[1]}, e{"e", rows.sizes()[0]};
  std::vector<int32_t> sizes(rows.view<int64_t>().begin(), rows.view<int64_t>().end());
  auto g = std::make_unique<Graph>();
  Value dys = g->arg("dy", {DType::kF32, Shape{m, n}}), xs = g->arg("x", {DType::kF32, Shape{m, k}});
  g->root().results = {fp8_grouped_outer(dys, xs, g->arg("sizes", {DType::kS32, Shape{e}}))};
  const auto out = run_graph(std::move(g), {with_spare(dy), with_spare(x), integers(Shape{e}, sizes)});
  EXPECT_LE(max_difference(out[0], tensor(*file, "dw.any")), tolerance("grouped dw.any"));
}

TEST(Fp8Grouped, EachExpertsProductsAreThoseOfALinearLayer) {
  const std::vector<int32_t> sizes = {130, 0, 45};
  const Axis m{"m", 175}, n{"n", 150}, k{"k", 140}, e{"e", 3};
  auto g = std::make_unique<Graph>();
  Value x = g->arg("x", {DType::kF32, Shape{m, k}}), w = g->arg("w", {DType::kF32, Shape{e, n, k}});
  Value dy = g->arg("dy", {DType::kF32, Shape{m, n}}), of_group = g->arg("sizes", {DType::kS32, Shape{e}});
  Value y = fp8_grouped_matmul(x, w, of_group, false);
  std::vector<Value> d = gradients(reduce_sum(y * dy, ""), {x, w});
  std::vector<Value> ys, dxs, dws;
  int64_t row = 0;
  for (int64_t i = 0; i < e.size; ++i) {
    const int64_t end = row + sizes[static_cast<size_t>(i)];
    Value wi = squeeze(slice(w, "e", i, i + 1), "e");
    if (end == row) {
      dws.push_back(expand(zeros_like(wi), "e"));
      continue;
    }
    Value xi = slice(x, "m", row, end);
    Value yi = fp8_linear(xi, wi, "k");
    std::vector<Value> di = gradients(reduce_sum(yi * slice(dy, "m", row, end), ""), {xi, wi});
    ys.push_back(yi);
    dxs.push_back(di[0]);
    dws.push_back(expand(di[1], "e"));
    row = end;
  }
  g->root().results = {y, d[0], d[1], concatenate(ys, "m"), concatenate(dxs, "m"), concatenate(dws, "e")};
  const auto out = run_graph(std::move(g), {random_floats(x.shape(), 1), random_floats(w.shape(), 2),
                                            random_floats(dy.shape(), 3), integers(Shape{e}, sizes)});
  for (size_t i = 0; i < 3; ++i) EXPECT_LT(max_difference(out[i], out[i + 3]), 1e-4) << i;
}

// ---- what blocks are for ----

// x has one channel 1,000 times as large as the others, and tokens of sizes over four powers of ten; y is what the
// other channels give. With one scale for all of x, small tokens fall below the least number of e4m3.
TEST(Fp8Blocks, KeepOneLargeChannelFromDrowningTheOthers) {
  const Axis t{"t", 64}, k{"k", 512}, n{"n", 32};
  HostArray x = random_floats(Shape{t, k}, 1), w = random_floats(Shape{n, k}, 2);
  for (int64_t i = 0; i < t.size; ++i) {
    const auto row = x.mutable_view<float>().subspan(static_cast<size_t>(i * k.size), static_cast<size_t>(k.size));
    const auto size = static_cast<float>(std::pow(10, -4.0 * static_cast<double>(i) / static_cast<double>(t.size)));
    for (float& v : row) v *= size;
    row[200] *= 1000;
  }
  for (int64_t i = 0; i < n.size; ++i) w.mutable_view<float>()[static_cast<size_t>(i * k.size + 200)] = 0;
  HostArray with_one_scale = HostArray::allocate(DType::kF32, x.sizes());
  const float scale = std::ranges::max(x.view<float>(), {}, [](float v) { return std::abs(v); }) / 448;
  std::ranges::transform(x.view<float>(), with_one_scale.mutable_view<float>().begin(),
                         [&](float v) { return nearest_e4m3(v / scale) * scale; });
  auto g = std::make_unique<Graph>();
  Value xs = g->arg("x", {DType::kF32, Shape{t, k}}), ws = g->arg("w", {DType::kF32, Shape{n, k}});
  Value exact = dot(xs, ws, "k");
  auto error = [&](Value rounded) {
    Value off = dot(rounded, ws, "k") - exact;
    return reduce_mean(sqrt(reduce_sum(off * off, "n") / reduce_sum(exact * exact, "n")), "t");  // of a token
  };
  g->root().results = {error(fp8_rounded(xs, {"k"})), error(g->arg("one_scale", {DType::kF32, Shape{t, k}}))};
  const auto out = run_graph(std::move(g), {x, w, with_one_scale});
  const float blocks = out[0].view<float>()[0], one_scale = out[1].view<float>()[0];
  EXPECT_LT(blocks, 0.05F);
  EXPECT_LE(blocks, one_scale / 10) << one_scale;
}

}  // namespace
}  // namespace fathom
