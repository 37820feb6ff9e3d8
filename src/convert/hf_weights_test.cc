#include "convert/hf_weights.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/bf16.h"
#include "base/error.h"
#include "base/temporary_folder.h"
#include "checkpoint/safetensors_writer.h"
#include "convert/dequantize.h"
#include "model/test_models.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

// A folder with the tensors of a small V3, and what its arrays should hold.
class HfWeightsTest : public testing::Test {
 protected:
  void set_up(DType stored, DType wanted, bool scan = true) {
    config_.weight_dtype = wanted;
    config_.scan_layers = scan;
    table_ = param_table(config_);
    arrays_ = param_arrays(config_, table_);
    std::mt19937 bits(7);
    std::normal_distribution<float> normal;
    for (const ParamArray& array : arrays_) {
      for (const HfPart& part : hf_parts(config_, table_[array.row], array)) {
        HostArray values = HostArray::allocate(DType::kF32, part.sizes);
        for (float& x : values.mutable_view<float>()) x = normal(bits);
        tensors_[part.name] = convert(values, stored);
      }
    }
  }

  void write() const {
    std::vector<TensorSpec> specs;
    for (const auto& [name, values] : tensors_) specs.push_back({name, values.dtype(), values.sizes()});
    SafetensorsWriterOptions options;
    options.index = plan_shards(specs, 100'000);
    SafetensorsWriter writer(folder_.path(), specs, options);
    for (const auto& [name, values] : tensors_) writer.write(name, values);
    writer.finish();
  }

  HfWeights open() const { return {TensorFolder::open(folder_.path()), {config_, table_, arrays_}}; }

  // An array put together tensor by tensor.
  HostArray expected(const ParamArray& array) const {
    HostArray whole = HostArray::allocate(array.type.dtype, array.type.shape.sizes());
    const int64_t width = byte_size(array.type.dtype);
    for (const HfPart& part : hf_parts(config_, table_[array.row], array)) {
      const HostArray piece = convert(tensors_.at(part.name), array.type.dtype);
      std::memcpy(whole.mutable_data() + part.offset * width, piece.data(), static_cast<size_t>(piece.bytes()));
    }
    return whole;
  }

  size_t index_of(const std::string& name) const {
    auto at = std::find_if(arrays_.begin(), arrays_.end(), [&](const ParamArray& a) { return a.name == name; });
    return static_cast<size_t>(at - arrays_.begin());
  }

  TemporaryFolder folder_;
  ModelConfig config_ = tiny_v3();
  std::vector<Param> table_;
  std::vector<ParamArray> arrays_;
  std::map<std::string, HostArray> tensors_;
};

std::vector<HostArray> filled(const HfWeights& weights, size_t index, DType dtype,
                              const std::vector<ArraySlice>& slices) {
  std::vector<HostArray> out;
  std::vector<SliceMemory> memory;
  for (const ArraySlice& slice : slices) {
    out.push_back(HostArray::allocate(dtype, slice.sizes));
    memory.push_back({slice, out.back().mutable_data()});
  }
  weights.fill(index, memory);
  return out;
}

bool same(const HostArray& a, const HostArray& b) {
  return a.sizes() == b.sizes() && std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())) == 0;
}

// Each axis that can be halved: both halves, in both orders, and one of them alone.
std::vector<std::vector<ArraySlice>> divisions(const std::vector<int64_t>& sizes) {
  const ArraySlice whole{std::vector<int64_t>(sizes.size(), 0), sizes};
  std::vector<std::vector<ArraySlice>> out = {{whole}, {}};
  for (size_t axis = 0; axis < sizes.size(); ++axis) {
    if (sizes[axis] % 2 != 0) continue;
    ArraySlice low = whole;
    low.sizes[axis] /= 2;
    ArraySlice high = low;
    high.start[axis] = low.sizes[axis];
    out.insert(out.end(), {{low, high}, {high, low}, {high}});
  }
  return out;
}

TEST_F(HfWeightsTest, AnySlicesHoldTheNumbersOfTheFolder) {
  for (DType stored : {DType::kBF16, DType::kF32, DType::kF16}) {
    for (DType wanted : {DType::kF32, DType::kBF16}) {
      set_up(stored, wanted, stored != DType::kF16);
      write();
      const HfWeights weights = open();
      for (size_t i = 0; i < arrays_.size(); ++i) {
        const HostArray whole = expected(arrays_[i]);
        for (const auto& slices : divisions(whole.sizes())) {
          const auto parts = filled(weights, i, whole.dtype(), slices);
          for (size_t s = 0; s < slices.size(); ++s)
            EXPECT_TRUE(same(parts[s], cut(whole, slices[s]))) << arrays_[i].name;
        }
      }
    }
  }
}

// Makes matrices of `tensors` the numbers of float8 codes with scales, and gives codes and scales.
std::map<std::string, HostArray> quantize(std::map<std::string, HostArray>& tensors, const std::string& which) {
  std::map<std::string, HostArray> out;
  std::mt19937 bits(11);
  for (auto& [name, values] : tensors) {
    if (values.sizes().size() != 2 || name.find(which) == std::string::npos) {
      out.emplace(name, values);
      continue;
    }
    const int64_t rows = values.sizes()[0], columns = values.sizes()[1];
    HostArray codes = HostArray::allocate(DType::kF8E4M3FN, {rows, columns});
    HostArray scales = HostArray::allocate(DType::kF32, {(rows + 127) / 128, (columns + 127) / 128});
    for (float& scale : scales.mutable_view<float>())
      scale = std::ldexp(1 + static_cast<float>(bits() % 1000) / 999, -9);
    for (int64_t i = 0; i < rows * columns; ++i) {
      const auto code = static_cast<uint8_t>(bits() % 127 | (bits() & 0x80));  // no NaN
      codes.mutable_data()[i] = static_cast<std::byte>(code);
      const int64_t block = i / columns / 128 * scales.sizes()[1] + i % columns / 128;
      values.mutable_view<uint16_t>()[static_cast<size_t>(i)] =
          float_to_bf16(float_of_e4m3fn(code) * scales.view<float>()[static_cast<size_t>(block)]);
    }
    out.emplace(name, codes);
    out.emplace(name + "_scale_inv", scales);
  }
  return out;
}

// The numbers are those of deepseek_fp8_to_bf16 whatever the run's type is: rounded to bfloat16 first.
TEST_F(HfWeightsTest, QuantizedTensorsGiveTheirNumbersInAnySlices) {
  for (DType wanted : {DType::kF32, DType::kBF16}) {
    set_up(DType::kBF16, wanted, wanted == DType::kF32);
    const auto dequantized = [&] {
      auto quantized = quantize(tensors_, "_proj");
      std::swap(quantized, tensors_);
      write();
      return quantized;
    }();
    tensors_ = dequantized;
    const HfWeights weights = open();
    for (size_t i = 0; i < arrays_.size(); ++i) {
      const HostArray whole = expected(arrays_[i]);
      for (const auto& slices : divisions(whole.sizes())) {
        const auto parts = filled(weights, i, whole.dtype(), slices);
        for (size_t s = 0; s < slices.size(); ++s)
          EXPECT_TRUE(same(parts[s], cut(whole, slices[s]))) << arrays_[i].name;
      }
    }
  }
}

TEST_F(HfWeightsTest, AQuantizedTensorOfAnotherShapeIsNamed) {
  set_up(DType::kBF16, DType::kBF16);
  tensors_ = quantize(tensors_, "o_proj");
  const std::string name = "model.layers.1.self_attn.o_proj.weight";
  tensors_[name] = HostArray::allocate(DType::kF8E4M3FN, {3, 5});
  tensors_[name + "_scale_inv"] = HostArray::allocate(DType::kF32, {1, 1});
  write();
  EXPECT_THAT([&] { open(); }, ThrowsMessage<FormatError>(
                                   AllOf(HasSubstr(name + ": [3, 5] in the folder"), Not(HasSubstr("scale_inv")))));
}

TEST_F(HfWeightsTest, ANumberThatIsNotFiniteIsReportedWithItsTensor) {
  set_up(DType::kBF16, DType::kF32);
  const std::string tensor = "model.layers.2.mlp.experts.5.up_proj.weight";
  tensors_[tensor].mutable_view<uint16_t>()[40] = float_to_bf16(INFINITY);
  write();
  const HfWeights weights = open();
  const size_t i = index_of("decoder.moe_layers.moe.experts.w_up");
  const std::vector<int64_t> sizes = arrays_[i].type.shape.sizes();
  EXPECT_THAT(
      [&] {
        filled(weights, i, DType::kF32, {{{0, 0, 0, 0}, sizes}});
      },
      ThrowsMessage<FormatError>(AllOf(HasSubstr("decoder.moe_layers.moe.experts.w_up (" + tensor + ")"),
                                       HasSubstr("not finite"), HasSubstr(folder_.path()))));
  // Expert 5 belongs to somebody else.
  EXPECT_NO_THROW(filled(weights, i, DType::kF32, {{{0, 0, 0, 0}, {sizes[0], 4, sizes[2], sizes[3]}}}));
}

TEST_F(HfWeightsTest, AFileCutShortAfterItWasOpenedIsAnErrorThatNamesIt) {
  set_up(DType::kF32, DType::kF32);
  write();
  const HfWeights weights = open();
  const std::string file = TensorFolder::open(folder_.path()).file_of("lm_head.weight").path();
  std::filesystem::resize_file(file, 4096);
  EXPECT_THAT(
      [&] {
        for (size_t i = 0; i < arrays_.size(); ++i) {
          const auto sizes = arrays_[i].type.shape.sizes();
          filled(weights, i, arrays_[i].type.dtype, {{std::vector<int64_t>(sizes.size(), 0), sizes}});
        }
      },
      ThrowsMessage<FormatError>(AllOf(HasSubstr(file), HasSubstr("the file ends here"))));
}

// Puts the experts of each layer into stacks, as transformers 5 has them in memory.
void stack_experts(const ModelConfig& m, std::map<std::string, HostArray>& tensors) {
  for (int64_t layer = m.dense_layers; layer < m.layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".mlp.experts.";
    auto stack = [&](const std::string& name, std::vector<std::string> parts, std::vector<int64_t> sizes) {
      HostArray whole = HostArray::allocate(DType::kF32, std::move(sizes));
      std::byte* to = whole.mutable_data();
      for (int64_t e = 0; e < m.experts; ++e) {
        for (const std::string& part : parts) {
          auto node = tensors.extract(prefix + std::to_string(e) + "." + part + ".weight");
          std::memcpy(to, node.mapped().data(), static_cast<size_t>(node.mapped().bytes()));
          to += node.mapped().bytes();
        }
      }
      tensors.emplace(prefix + name, std::move(whole));
    };
    stack("gate_up_proj", {"gate_proj", "up_proj"}, {m.experts, 2 * m.moe_mlp_dim, m.d});
    stack("down_proj", {"down_proj"}, {m.experts, m.d, m.moe_mlp_dim});
  }
}

TEST_F(HfWeightsTest, StackedExpertsGiveTheSameSlices) {
  for (bool scan : {true, false}) {
    set_up(DType::kF32, DType::kF32, scan);
    std::vector<HostArray> wanted;
    for (const ParamArray& array : arrays_) wanted.push_back(expected(array));
    stack_experts(config_, tensors_);
    write();
    const HfWeights weights = open();
    for (size_t i = 0; i < arrays_.size(); ++i) {
      for (const auto& slices : divisions(wanted[i].sizes())) {
        const auto parts = filled(weights, i, DType::kF32, slices);
        for (size_t s = 0; s < slices.size(); ++s) {
          EXPECT_TRUE(same(parts[s], cut(wanted[i], slices[s]))) << arrays_[i].name;
        }
      }
    }
    tensors_.clear();
  }
}

TEST_F(HfWeightsTest, AStackOfAnotherShapeIsNamedOnce) {
  set_up(DType::kF32, DType::kF32);
  stack_experts(config_, tensors_);
  tensors_["model.layers.2.mlp.experts.gate_up_proj"] = HostArray::allocate(DType::kF32, {8, 16, 32});
  write();
  EXPECT_THAT([&] { open(); },
              ThrowsMessage<FormatError>(HasSubstr("misshapen (1):\n    model.layers.2.mlp.experts.gate_up_proj: "
                                                   "[8, 16, 32] in the folder, [8, 32, 32] in the model")));
}

TEST_F(HfWeightsTest, LayersThatTheModelDoesNotCountAreNotDropped) {
  set_up(DType::kF32, DType::kF32);
  write();
  config_.layers = 3;
  table_ = param_table(config_);
  arrays_ = param_arrays(config_, table_);
  EXPECT_THAT([&] { open(); }, ThrowsMessage<FormatError>(AllOf(HasSubstr("num_hidden_layers"), HasSubstr("is 3"),
                                                                HasSubstr("there are also (1):\n    model.layers.3"))));
  config_.layers = 5;
  table_ = param_table(config_);
  arrays_ = param_arrays(config_, table_);
  EXPECT_THAT([&] { open(); }, ThrowsMessage<FormatError>(AllOf(HasSubstr("num_hidden_layers"),
                                                                HasSubstr("there are not (1):\n    model.layers.4"))));
}

// Bytes that this process has asked the kernel for.
int64_t bytes_read() {
  std::ifstream file("/proc/self/io");
  std::string word;
  int64_t bytes = -1;
  while (file >> word) {
    if (word == "rchar:") file >> bytes;
  }
  return bytes;
}

TEST_F(HfWeightsTest, OnlyWhatTheSlicesNeedIsRead) {
  if (bytes_read() < 0) GTEST_SKIP() << "/proc/self/io is not there";
  set_up(DType::kBF16, DType::kF32);
  write();
  const HfWeights weights = open();
  const size_t i = index_of("decoder.moe_layers.moe.experts.w_up");
  std::vector<int64_t> sizes = arrays_[i].type.shape.sizes();
  const int64_t before = bytes_read();
  const int64_t own = bytes_read() - before;  // of the question itself
  sizes[1] = 2;
  const auto part = filled(weights, i, DType::kF32, {{{0, 2, 0, 0}, sizes}});
  const int64_t used = bytes_read() - before - 2 * own;
  EXPECT_GE(used, part[0].bytes() / 2);
  EXPECT_LT(used, part[0].bytes() / 2 + 1000);
}

TEST_F(HfWeightsTest, AQuantizedCopyIsComparedByItsNumbers) {
  config_.prediction_layers = 1;
  set_up(DType::kBF16, DType::kBF16);
  const std::string name = "model.embed_tokens.weight", copy = "model.layers.4.embed_tokens.weight";
  tensors_[copy] = tensors_[name];
  auto written = quantize(tensors_, copy);
  written[name] = tensors_[copy];
  tensors_ = written;
  write();
  testing::internal::CaptureStderr();
  open().warn_of_other_copies();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), Not(HasSubstr("embed_tokens")));
}

TEST_F(HfWeightsTest, ModulesForPredictionAreReadWithTheCopiesThatReleasesHold) {
  set_up(DType::kBF16, DType::kBF16);
  const auto without = tensors_;
  config_.prediction_layers = 1;
  set_up(DType::kBF16, DType::kBF16);
  tensors_["model.layers.4.embed_tokens.weight"] = tensors_["model.embed_tokens.weight"];
  tensors_["model.layers.4.shared_head.head.weight"] = tensors_["model.layers.4.eh_proj.weight"];
  EXPECT_GT(tensors_.size(), without.size() + 2);
  write();
  testing::internal::CaptureStderr();
  const HfWeights weights = open();
  weights.warn_of_other_copies();
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("model.layers.4.shared_head.head.weight differs from lm_head.weight"));
  EXPECT_THAT(said, Not(HasSubstr("embed_tokens")));
  const size_t i = index_of("mtp.0.projection");
  const HostArray whole = expected(arrays_[i]);
  EXPECT_TRUE(same(filled(weights, i, DType::kBF16, {{{0, 0}, whole.sizes()}})[0], whole));
}

TEST_F(HfWeightsTest, WhatMayBeMissingIsNamedAndNothingElse) {
  config_.prediction_layers = 1;
  set_up(DType::kBF16, DType::kBF16);
  std::erase_if(tensors_, [](const auto& t) { return t.first.starts_with("model.layers.4."); });
  write();
  const TensorFolder folder = TensorFolder::open(folder_.path());
  EXPECT_THAT([&] { open(); }, ThrowsMessage<FormatError>(HasSubstr("model.layers.4.eh_proj.weight")));
  const HfWeights weights(folder,
                          {.config = config_, .table = table_, .arrays = arrays_, .may_miss = [](const Param& p) {
                             return p.peer.starts_with("mtp_block");
                           }});
  EXPECT_EQ(weights.missing().size(),
            std::ranges::count_if(arrays_, [](const ParamArray& a) { return a.name.starts_with("mtp."); }));
}

TEST_F(HfWeightsTest, AllMisfitsAreListedBeforeAByteIsRead) {
  set_up(DType::kF32, DType::kF32);
  tensors_.erase("model.norm.weight");
  tensors_["lm_head.weight"] = HostArray::allocate(DType::kF32, {3, 2});
  tensors_["model.layers.1.mlp.gate.weight"] = convert(tensors_["model.layers.1.mlp.gate.weight"], DType::kS32);
  for (const char* extra :
       {"model.layers.0.bias", "model.layers.4.eh_proj.weight", "model.layers.1.self_attn.indexer.wk.weight",
        "model.layers.0.self_attn.rotary_emb.inv_freq"}) {
    tensors_[extra] = HostArray::allocate(DType::kF32, {2});
  }
  write();
  EXPECT_THAT([&] { open(); }, ThrowsMessage<FormatError>(AllOf(
                                   HasSubstr("missing (1):\n    model.norm.weight"),
                                   HasSubstr("misshapen (1):\n    lm_head.weight: [3, 2]"),
                                   HasSubstr("not floating-point (1):\n    model.layers.1.mlp.gate.weight: int32"),
                                   HasSubstr("extra (1):\n    model.layers.0.bias"), Not(HasSubstr("eh_proj")))));
}

}  // namespace
}  // namespace fathom
