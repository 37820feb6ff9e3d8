#include "convert/orbax_weights.h"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <limits>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "checkpoint/orbax_writer.h"
#include "convert/to_orbax.h"
#include "model/test_models.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

// All parts of a model, with more experts than layers so that no two axes are of one length by chance.
ModelConfig model(bool scan) {
  ModelConfig m = tiny_v3();
  m.scan_layers = scan;
  m.prediction_layers = 1;
  m.indexer = true;
  m.indexer_heads = 2;
  m.indexer_dim = 16;
  return m;
}

// Weights that are a function of the parameter's name and of the element's place in its layer, so that the scanned and
// the unscanned form hold the same.
class Made : public WeightSource {
 public:
  Made(const ModelConfig& config, std::vector<Param> table, std::vector<ParamArray> arrays)
      : config_(config), table_(std::move(table)), arrays_(std::move(arrays)) {}

  HostArray whole(size_t index) const {
    const ParamArray& array = arrays_[index];
    HostArray out = HostArray::allocate(DType::kF32, array.type.shape.sizes());
    const Param& row = table_[array.row];
    const int64_t elements = row.type.shape.elements();
    for (int64_t i = 0; i < out.elements(); ++i) {
      const int64_t layer = array.layer < 0 ? i / elements : array.layer;
      const auto place = static_cast<uint64_t>(i % elements + 7919 * layer + 104729 * static_cast<int64_t>(array.row));
      const uint64_t mixed = (place + 1) * 0x9e3779b97f4a7c15U >> 48;
      out.mutable_view<float>()[static_cast<size_t>(i)] = static_cast<float>(mixed) / 256.0F;
    }
    return convert(out, array.type.dtype);
  }

  void fill(size_t index, std::span<const SliceMemory> slices) const override {
    const HostArray all = whole(index);
    for (const SliceMemory& s : slices) {
      const HostArray part = cut(all, s.slice);
      std::memcpy(s.data, part.data(), static_cast<size_t>(part.bytes()));
    }
  }
  const std::vector<size_t>& missing() const override { return none_; }
  void warn_of_other_copies() const override {}
  std::vector<int64_t> grain(size_t index) const override {
    return std::vector<int64_t>(arrays_[index].type.shape.sizes().size(), 1);
  }
  const std::vector<ParamArray>& arrays() const { return arrays_; }
  const std::vector<Param>& table() const { return table_; }
  const ModelConfig& config() const { return config_; }

 private:
  ModelConfig config_;
  std::vector<Param> table_;
  std::vector<ParamArray> arrays_;
  std::vector<size_t> none_;
};

Made made(const ModelConfig& m) {
  std::vector<Param> table = param_table(m);
  std::vector<ParamArray> arrays = param_arrays(m, table);
  return {m, std::move(table), std::move(arrays)};
}

WantedWeights wanted_of(const Made& m) { return {.config = m.config(), .table = m.table(), .arrays = m.arrays()}; }

void write(const Made& weights, const std::string& folder, ToOrbax to = {}) {
  to.step_folder = folder + "/0";
  testing::internal::CaptureStdout();
  ConversionProgress progress("test", 2 * orbax_bytes(wanted_of(weights)));
  write_orbax(weights, wanted_of(weights), to, progress);
  testing::internal::GetCapturedStdout();
}

HostArray read(const WeightSource& source, size_t index, const ParamArray& array, const ArraySlice& slice) {
  HostArray out = HostArray::allocate(array.type.dtype, slice.sizes);
  const SliceMemory memory{slice, out.mutable_data()};
  source.fill(index, {&memory, 1});
  return out;
}

ArraySlice all_of(const ParamArray& array) {
  const std::vector<int64_t> sizes = array.type.shape.sizes();
  return {std::vector<int64_t>(sizes.size()), sizes};
}

bool same(const HostArray& a, const HostArray& b) {
  return a.sizes() == b.sizes() && a.dtype() == b.dtype() &&
         std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())) == 0;
}

TEST(OrbaxWeights, EveryArrayComesBackIntoEitherFormOfTheLayers) {
  for (bool written : {true, false}) {
    const TemporaryFolder folder;
    write(made(model(written)), folder.path());
    for (bool wanted : {true, false}) {
      const Made expected = made(model(wanted));
      const OrbaxWeights weights(OrbaxFolder::open(folder.path() + "/0"), wanted_of(expected));
      for (size_t i = 0; i < expected.arrays().size(); ++i) {
        const ParamArray& array = expected.arrays()[i];
        EXPECT_TRUE(same(read(weights, i, array, all_of(array)), expected.whole(i)))
            << array.name << " written " << written << " wanted " << wanted;
      }
    }
  }
}

TEST(OrbaxWeights, AnySliceHoldsItsPart) {
  const TemporaryFolder folder;
  write(made(model(true)), folder.path());
  const Made expected = made(model(true));
  const OrbaxWeights weights(OrbaxFolder::open(folder.path() + "/0/items"), wanted_of(expected));
  for (size_t i = 0; i < expected.arrays().size(); ++i) {
    const ParamArray& array = expected.arrays()[i];
    const HostArray whole = expected.whole(i);
    for (size_t axis = 0; axis < whole.sizes().size(); ++axis) {
      ArraySlice part = all_of(array);
      part.start[axis] = part.sizes[axis] / 3;
      part.sizes[axis] = (part.sizes[axis] + 1) / 2;
      EXPECT_TRUE(same(read(weights, i, array, part), cut(whole, part))) << array.name << " axis " << axis;
    }
  }
}

TEST(OrbaxWeights, EveryFormOfTheFolderHoldsTheSame) {
  for (const ToOrbax& form : {ToOrbax{.ocdbt = false}, ToOrbax{.zarr3 = false}, ToOrbax{.compress = false},
                              ToOrbax{.ocdbt = false, .zarr3 = false, .compress = false}}) {
    const TemporaryFolder folder;
    write(made(model(true)), folder.path(), form);
    const Made expected = made(model(true));
    const OrbaxWeights weights(OrbaxFolder::open(folder.path() + "/0"), wanted_of(expected));
    for (size_t i = 0; i < expected.arrays().size(); ++i) {
      const ParamArray& array = expected.arrays()[i];
      EXPECT_TRUE(same(read(weights, i, array, all_of(array)), expected.whole(i))) << array.name;
    }
  }
}

TEST(OrbaxWeights, PartsThatTheRunLeavesOffAreNoMistakeAndOthersAre) {
  const TemporaryFolder folder;
  write(made(model(true)), folder.path());
  const OrbaxFolder stored = OrbaxFolder::open(folder.path() + "/0");
  const Made plain = made(tiny_v3());
  EXPECT_NO_THROW(OrbaxWeights(stored, wanted_of(plain)));
  ModelConfig other = tiny_v3();
  other.moe_mlp_dim = 24;
  other.layers = 5;
  const Made misfit = made(other);
  EXPECT_THAT([&] { OrbaxWeights(stored, wanted_of(misfit)); },
              ThrowsMessage<FormatError>(AllOf(HasSubstr("misshapen"), HasSubstr("MoeBlock_0.wi_0: [8, 3, 32, 16]"),
                                               Not(HasSubstr("extra")))));
}

TEST(OrbaxWeights, MissingArraysAreNamedUnlessTheyMayBeMissing) {
  const TemporaryFolder folder;
  write(made(tiny_v3()), folder.path());
  const OrbaxFolder stored = OrbaxFolder::open(folder.path() + "/0");
  const Made expected = made(model(true));
  EXPECT_THAT([&] { OrbaxWeights(stored, wanted_of(expected)); },
              ThrowsMessage<FormatError>(AllOf(HasSubstr("missing (36)"), Not(HasSubstr(" more")),
                                               HasSubstr("init_missing_parameters"),
                                               HasSubstr("params.params.mtp_block.mtp_layer_1.mtp_1_embedding_norm"))));
  WantedWeights wanted = wanted_of(expected);
  wanted.may_miss = [](const Param& p) { return p.name.starts_with("mtp.") || p.name.find("indexer") != p.name.npos; };
  const OrbaxWeights weights(stored, wanted);
  for (size_t i : weights.missing()) EXPECT_TRUE(wanted.may_miss(expected.table()[expected.arrays()[i].row]));
  EXPECT_FALSE(weights.missing().empty());
}

// A folder with the router's bias in given places only, with given order of its axes.
void write_bias(const std::string& folder, const std::vector<std::pair<std::string, bool>>& places, float value) {
  const Made weights = made(tiny_v3());
  write(weights, folder + "/source");
  const OrbaxFolder source = OrbaxFolder::open(folder + "/source/0");
  std::vector<StoredArraySpec> specs;
  std::vector<HostArray> values;
  for (const StoredArray& a : source.arrays()) {
    if (a.name.ends_with("gate.bias") || a.name == "step") continue;
    specs.push_back({.path = a.path, .dtype = a.dtype, .sizes = a.sizes, .chunk = a.sizes});
    values.push_back(source.whole(a));
  }
  for (const auto& [collection, layers_first] : places) {
    std::vector<std::string> path;
    const std::string name = collection + ".decoder.moe_layers.DeepSeekMoeBlock_0.MoeBlock_0.gate.bias";
    for (size_t at = 0; at < name.size();) {
      const size_t dot = std::min(name.find('.', at), name.size());
      path.push_back(name.substr(at, dot - at));
      at = dot + 1;
    }
    const std::vector<int64_t> sizes = layers_first ? std::vector<int64_t>{3, 8} : std::vector<int64_t>{8, 3};
    specs.push_back({.path = path, .dtype = DType::kF32, .sizes = sizes, .chunk = sizes});
    values.push_back(HostArray::allocate(DType::kF32, sizes));
    for (int64_t i = 0; i < 24; ++i) {
      const int64_t layer = layers_first ? i / 8 : i % 3, expert = layers_first ? i % 8 : i / 3;
      values.back().mutable_view<float>()[static_cast<size_t>(i)] = value + static_cast<float>(10 * layer + expert);
    }
    value += 1000;
  }
  OrbaxWriter writer(folder + "/0", specs);
  for (size_t i = 0; i < specs.size(); ++i) {
    const std::vector<int64_t> first(specs[i].sizes.size());
    writer.write(i, first, {values[i].data(), static_cast<size_t>(values[i].bytes())});
  }
  writer.finish();
}

TEST(OrbaxWeights, TheRoutersBiasIsFoundInWhateverPlaceARevisionOfThePeerKeepsIt) {
  const Made expected = made(tiny_v3());
  auto index = std::ranges::find(expected.arrays(), "decoder.moe_layers.moe.router_bias", &ParamArray::name);
  const size_t bias = static_cast<size_t>(index - expected.arrays().begin());
  for (const auto& [collection, layers_first] : std::vector<std::pair<std::string, bool>>{
           {"params.params", false}, {"params.params", true}, {"params.MoEBiasVar", true}, {"nnx_aux.model", true}}) {
    const TemporaryFolder folder;
    write_bias(folder.path(), {{collection, layers_first}}, 5);
    const OrbaxWeights weights(OrbaxFolder::open(folder.path() + "/0"), wanted_of(expected));
    const HostArray values = read(weights, bias, *index, all_of(*index));
    for (int64_t i = 0; i < 24; ++i) {
      EXPECT_EQ(values.view<float>()[static_cast<size_t>(i)], 5.0F + static_cast<float>(10 * (i / 8) + i % 8))
          << collection << layers_first;
    }
  }
  const TemporaryFolder folder;
  write_bias(folder.path(), {}, 0);
  EXPECT_THAT([&] { OrbaxWeights(OrbaxFolder::open(folder.path() + "/0"), wanted_of(expected)); },
              ThrowsMessage<FormatError>(AllOf(HasSubstr("missing (1)"), HasSubstr("gate.bias"))));
}

TEST(OrbaxWeights, TwoBiasesThatDifferAreSaid) {
  const Made expected = made(tiny_v3());
  const TemporaryFolder folder;
  write_bias(folder.path(), {{"params.params", false}, {"params.MoEBiasVar", true}}, 5);
  const OrbaxWeights weights(OrbaxFolder::open(folder.path() + "/0"), wanted_of(expected));
  testing::internal::CaptureStderr();
  weights.warn_of_other_copies();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("gate.bias differs from params.MoEBiasVar"));
}

// Experts and layers of one number: the bias fits in both orders of its axes.
TEST(OrbaxWeights, ASquareBiasIsNoCopyOfItself) {
  ModelConfig m = tiny_v3();
  m.experts = 8;
  m.layers = 9;
  const TemporaryFolder folder;
  write(made(m), folder.path());
  const Made expected = made(m);
  const OrbaxWeights weights(OrbaxFolder::open(folder.path() + "/0"), wanted_of(expected));
  testing::internal::CaptureStderr();
  weights.warn_of_other_copies();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  auto index = std::ranges::find(expected.arrays(), "decoder.moe_layers.moe.router_bias", &ParamArray::name);
  const auto bias = static_cast<size_t>(index - expected.arrays().begin());
  EXPECT_TRUE(same(read(weights, bias, *index, all_of(*index)), expected.whole(bias)));
}

TEST(OrbaxWeights, NumbersThatAreNotFiniteAreRefusedByName) {
  const TemporaryFolder folder;
  write_bias(folder.path(), {{"params.params", false}}, std::numeric_limits<float>::infinity());
  const Made expected = made(tiny_v3());
  const OrbaxWeights weights(OrbaxFolder::open(folder.path() + "/0"), wanted_of(expected));
  auto index = std::ranges::find(expected.arrays(), "decoder.moe_layers.moe.router_bias", &ParamArray::name);
  EXPECT_THAT([&] { read(weights, static_cast<size_t>(index - expected.arrays().begin()), *index, all_of(*index)); },
              ThrowsMessage<FormatError>(HasSubstr("router_bias")));
}

}  // namespace
}  // namespace fathom
