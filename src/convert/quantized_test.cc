#include "convert/quantized.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/bf16.h"
#include "base/error.h"
#include "base/temporary_folder.h"
#include "checkpoint/safetensors_writer.h"
#include "convert/dequantize.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

std::vector<uint16_t> numbers_of(const QuantizedTensor& tensor) {
  std::vector<uint16_t> out(static_cast<size_t>(tensor.elements()));
  tensor.read(0, out);
  return out;
}

bool is_nan(uint16_t x) { return (x & 0x7fff) > 0x7f80; }

// NaNs compare as NaN.
void expect_numbers(std::span<const uint16_t> out, const HostArray& expected, const std::string& name) {
  const auto wanted = expected.view<uint16_t>();
  ASSERT_EQ(out.size(), wanted.size()) << name;
  int wrong = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    if (is_nan(out[i]) ? !is_nan(wanted[i]) : out[i] != wanted[i]) ++wrong;
    const bool quiet = !is_nan(out[i]) || (out[i] & 0x40) != 0;
    EXPECT_TRUE(quiet) << "a signalling NaN in " << name;
  }
  EXPECT_EQ(wrong, 0) << name;
}

void expect_folder(const std::string& folder, const std::string& reference, size_t quantized) {
  const TensorFolder tensors = TensorFolder::open(folder);
  const Dequantizer dequantizer(tensors);
  const auto expected = SafetensorsFile::open(reference);
  size_t found = 0, scales = 0;
  for (const std::string& name : tensors.names()) {
    scales += dequantizer.is_scale(name) ? 1 : 0;
    const QuantizedTensor* tensor = dequantizer.find(name);
    if (tensor == nullptr) continue;
    ++found;
    EXPECT_EQ(tensor->sizes(), expected->find(name)->sizes) << name;
    expect_numbers(numbers_of(*tensor), expected->tensor(name), name);
  }
  EXPECT_EQ(found, quantized);
  EXPECT_EQ(scales, quantized);
}

// Scales in float32 and as exponents, in other shards, under both names; partial blocks; every code with scales at the
// ends of the range; FP4.
TEST(Dequantizer, EveryKindOfTensorIsExact) {
  expect_folder("tests/data/fp8/folder", "tests/data/fp8/folder_expected.safetensors", 14);
}

TEST(Dequantizer, WholeModelsAreExact) {
  for (const std::string model : {"deepseek_v3", "deepseek_v32"}) {
    const std::string folder = "tests/data/" + model;
    const auto names = SafetensorsFile::open(folder + "/fp8_dequantized.safetensors")->names().size();
    expect_folder(folder + "/hf_fp8", folder + "/fp8_dequantized.safetensors", names);
  }
}

// A loader asks for the slices of its devices.
TEST(Dequantizer, APartBeginsAndEndsAnywhere) {
  const TensorFolder folder = TensorFolder::open("tests/data/fp8/folder");
  const Dequantizer dequantizer(folder);
  for (const std::string& name : folder.names()) {
    const QuantizedTensor* tensor = dequantizer.find(name);
    if (tensor == nullptr) continue;
    const std::vector<uint16_t> whole = numbers_of(*tensor);
    for (int64_t first : {int64_t{1}, int64_t{127}, tensor->elements() / 3, tensor->elements() - 5}) {
      for (int64_t count : {int64_t{1}, int64_t{4}, tensor->elements() - first}) {
        if (first < 0 || first + count > tensor->elements()) continue;
        std::vector<uint16_t> part(static_cast<size_t>(count));
        tensor->read(first, part);
        EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + first)) << name << " " << first;
      }
    }
  }
}

// A folder of tensors given by type, sizes and bytes.
class QuantizedFolder : public testing::Test {
 protected:
  void add(const std::string& name, DType dtype, std::vector<int64_t> sizes, uint8_t fill, std::string_view type = {}) {
    HostArray values = HostArray::allocate(dtype, sizes);
    std::memset(values.mutable_data(), fill, static_cast<size_t>(values.bytes()));
    specs_.push_back({name, dtype, std::move(sizes), std::string(kModelFile), type});
    values_.push_back(std::move(values));
  }
  void add_floats(const std::string& name, std::vector<int64_t> sizes, float value) {
    add(name, DType::kF32, std::move(sizes), 0);
    for (float& x : values_.back().mutable_view<float>()) x = value;
  }
  TensorFolder write() const {
    SafetensorsWriter writer(folder_.path(), specs_);
    for (size_t i = 0; i < specs_.size(); ++i) writer.write(specs_[i].name, values_[i]);
    writer.finish();
    return TensorFolder::open(folder_.path());
  }
  void expect_refused(const testing::Matcher<const std::string&>& message) const {
    const TensorFolder folder = write();
    EXPECT_THAT([&] { Dequantizer d(folder); }, ThrowsMessage<FormatError>(message));
  }

  TemporaryFolder folder_;
  std::vector<TensorSpec> specs_;
  std::vector<HostArray> values_;
};

TEST_F(QuantizedFolder, AllFaultsAreListedInOneError) {
  add("a.weight", DType::kF8E4M3FN, {130, 256}, 0x38);  // no scale
  add_floats("b.weight_scale_inv", {1, 1}, 1);          // no tensor
  add("c.weight", DType::kF8E4M3FN, {130, 256}, 0x38);
  add_floats("c.weight_scale_inv", {1, 2}, 1);  // should be [2, 2]
  add("d.weight", DType::kBF16, {4, 4}, 0);
  add_floats("d.weight_scale_inv", {1, 1}, 1);  // not quantized
  add("e.weight", DType::kU8, {4, 4}, 0, "F8_E5M2");
  add_floats("e.weight_scale_inv", {1, 1}, 1);
  add("f.weight", DType::kF8E4M3FN, {4, 4}, 0x38);
  add("f.weight_scale_inv", DType::kS32, {1, 1}, 0);
  add("g.weight", DType::kS8, {4, 16}, 0);
  add_floats("g.weight_scale_inv", {4, 2}, 1);  // FP4: should be [4, 1]
  add("h.weight", DType::kF8E4M3FN, {128}, 0x38);
  add_floats("h.weight_scale_inv", {1}, 1);
  expect_refused(AllOf(HasSubstr("FP8 without a scale (1):\n    a.weight (F8_E4M3)"),
                       HasSubstr("scales without a tensor (1):\n    b.weight_scale_inv"),
                       HasSubstr("c.weight F8_E4M3 [130, 256]: its scale is [1, 2], not [2, 2]"),
                       HasSubstr("d.weight_scale_inv: d.weight is BF16"), HasSubstr("e.weight: F8_E5M2"),
                       HasSubstr("of f.weight: I32"), HasSubstr("g.weight I8 [4, 16]: its scale is [4, 2], not [4, 1]"),
                       HasSubstr("h.weight: [128] is no matrix")));
}

TEST_F(QuantizedFolder, AScaleByItsOtherNameIsMissedToo) {
  add("a.scale", DType::kU8, {1, 1}, 127, "F8_E8M0");
  expect_refused(HasSubstr("scales without a tensor (1):\n    a.scale"));
}

TEST_F(QuantizedFolder, TwoScalesOfATensorAreRefused) {
  add("a.weight", DType::kF8E4M3FN, {4, 4}, 0x38);
  add_floats("a.weight_scale_inv", {1, 1}, 1);
  add_floats("a.scale", {1, 1}, 2);
  expect_refused(HasSubstr("two scales of one tensor"));
}

// Other families call the vector of a norm "scale".
TEST_F(QuantizedFolder, AVectorCalledScaleIsATensorOfItsOwn) {
  add("norm.scale", DType::kBF16, {4}, 0);
  add("bytes.weight", DType::kU8, {4, 4}, 3);
  const TensorFolder folder = write();
  const Dequantizer dequantizer(folder);
  EXPECT_FALSE(dequantizer.any());
  EXPECT_FALSE(dequantizer.is_scale("norm.scale"));
}

TEST_F(QuantizedFolder, TheBlockOfTheConfigCounts) {
  add("a.weight", DType::kF8E4M3FN, {70, 40}, 0x38);
  add_floats("a.weight_scale_inv", {3, 2}, 3);
  folder_.write("config.json", R"({"quantization_config": {"weight_block_size": [32, 24]}})");
  const TensorFolder folder = write();
  const Dequantizer dequantizer(folder);
  for (uint16_t x : numbers_of(*dequantizer.find("a.weight"))) ASSERT_EQ(x, float_to_bf16(3));
  for (const char* wrong : {"[32]", "[0, 24]", "[-1, 24]", "\"128\"", "[1e300, 1]"}) {
    folder_.write("config.json", fmt::format("{{\"quantization_config\": {{\"weight_block_size\": {}}}}}", wrong));
    EXPECT_THAT([&] { Dequantizer d(folder); }, ThrowsMessage<FormatError>(HasSubstr("weight_block_size")));
  }
}

// transformers 5 stacks the experts.
TEST_F(QuantizedFolder, MatricesBehindOneAnotherHaveBlocksOfTheirOwn) {
  add("experts.down_proj", DType::kF8E4M3FN, {3, 130, 128}, 0x38);
  add_floats("experts.down_proj_scale_inv", {3, 2, 1}, 0);
  float next = 1;
  for (float& x : values_.back().mutable_view<float>()) x = next++;
  const TensorFolder folder = write();
  const Dequantizer dequantizer(folder);
  const std::vector<uint16_t> out = numbers_of(*dequantizer.find("experts.down_proj"));
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t expert = i / (130 * 128), row = i / 128 % 130;
    ASSERT_EQ(out[i], float_to_bf16(static_cast<float>(2 * expert + row / 128 + 1))) << i;
  }
}

TEST_F(QuantizedFolder, NanCodesAndScalesAreCountedApart) {
  add("a.weight", DType::kF8E4M3FN, {2, 256}, 0x38);
  values_.back().mutable_data()[0] = std::byte{0x7f};
  values_.back().mutable_data()[255] = std::byte{0xff};
  add_floats("a.weight_scale_inv", {1, 2}, 1);
  values_.back().mutable_view<float>()[1] = std::nanf("");
  const TensorFolder folder = write();
  const Dequantizer dequantizer(folder);
  std::vector<uint16_t> out(512);
  const NanNumbers nan = dequantizer.find("a.weight")->read(0, out);
  EXPECT_EQ(nan.codes, 2);
  EXPECT_EQ(nan.scaled, 255);
}

TEST_F(QuantizedFolder, AFileCutShortMeanwhileIsOneError) {
  add("a.weight", DType::kF8E4M3FN, {256, 256}, 0x38);
  add_floats("a.weight_scale_inv", {2, 2}, 1);
  write();
  const TensorFolder folder = TensorFolder::open(folder_.path());
  const Dequantizer dequantizer(folder);
  std::filesystem::resize_file(folder_ / kModelFile, 5000);
  std::vector<uint16_t> out(256 * 256);
  EXPECT_THAT([&] { dequantizer.find("a.weight")->read(0, out); },
              ThrowsMessage<FormatError>(AllOf(HasSubstr("model.safetensors"), HasSubstr("the file ends here"))));
}

}  // namespace
}  // namespace fathom
