// Initial weights are the same numbers on every mesh, and no device holds more than its part of them.
#include "program/initial_values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "mesh_run.h"

namespace fathom {
namespace {

using Keys = std::vector<std::string>;

constexpr int64_t kDevices = 4;

// With an indexer, whose keys the command line does not take yet, so that every initialiser occurs.
Config config_with(Keys keys, const Keys& more = {}) {
  keys.insert(keys.end(), more.begin(), more.end());
  Config config = mesh_config(keys);
  config.use_indexer = true;
  config.indexer_n_heads = 4;
  config.indexer_head_dim = 16;
  return config;
}

bool same(const HostArray& a, const HostArray& b) {
  return a.sizes() == b.sizes() && a.dtype() == b.dtype() &&
         std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())) == 0;
}

std::vector<HostArray> drawn(const StateSpec& spec, int64_t seed) {
  return run_on_mesh(init_state(spec, parameters_alone), {seed_words(seed)});
}

// A seed of 64 bits: none of them is left aside.
TEST(InitialSeed, EveryBitCounts) {
  const StateSpec spec = state_spec(config_with({"ici_fsdp_parallelism=1", "cpu_device_count=1"}));
  const Program program = init_state(spec, parameters_alone);
  const Executable executable = compile_on_mesh(program);
  auto first = [&](uint64_t seed) {
    return run_on_mesh(executable, program.signature, {seed_words(static_cast<int64_t>(seed))})[0];
  };
  const HostArray plain = first(5);
  for (int bit : {0, 31, 32, 47, 63}) EXPECT_FALSE(same(first(uint64_t{5} ^ (uint64_t{1} << bit)), plain)) << bit;
}

class InitialValues : public testing::TestWithParam<Keys> {};

// Drawn on one device, once for all meshes of one kind of arrays.
const std::vector<HostArray>& expected_values(const Config& config) {
  static std::map<std::pair<bool, DType>, std::vector<HostArray>> drawn_once;
  auto [at, fresh] = drawn_once.try_emplace({config.scan_layers, config.weight_dtype});
  if (fresh) at->second = drawn(state_spec(config), -5);
  return at->second;
}

TEST_P(InitialValues, AreThoseOfOneDeviceBitForBit) {
  Config config = config_with(GetParam());
  const std::vector<HostArray>& expected = expected_values(config);
  StateSpec many = state_spec(config, mesh_of(config, kDevices));
  std::vector<HostArray> actual = drawn(many, -5);
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(same(actual[i], expected[i])) << many.arrays[i].name;
}

INSTANTIATE_TEST_SUITE_P(
    Meshes, InitialValues,
    testing::Values(Keys{"ici_fsdp_parallelism=4"}, Keys{"ici_fsdp_parallelism=2", "ici_tensor_parallelism=2"},
                    Keys{"ici_expert_parallelism=2", "ici_fsdp_parallelism=2"},
                    Keys{"ici_fsdp_parallelism=4", "scan_layers=False"},
                    Keys{"ici_expert_parallelism=4", "ici_fsdp_parallelism=1", "weight_dtype=bfloat16"}));

class InitialValuesMemory : public testing::TestWithParam<Keys> {};

// Elementwise loops need no memory beside their results. Drawing a whole array anywhere would take four parts of it.
TEST_P(InitialValuesMemory, IsAPartOfTheStateAndNoMore) {
  Config config = config_with(GetParam(), {"base_emb_dim=256", "base_moe_mlp_dim=256"});
  Program program = init_state(state_spec(config, mesh_of(config, kDevices)), every_entry);
  MemoryStats memory = compile_on_mesh(program).program().memory_stats();
  int64_t part = 0;
  for (const ResultSpec& r : program.signature.results) {
    part += local_shape(r.type.shape, r.sharding, program.signature.mesh).elements() * byte_size(r.type.dtype);
  }
  EXPECT_GE(memory.output, part);
  EXPECT_LT(memory.output, part + part / 20);
  EXPECT_LT(memory.temp, part / 20);
}

INSTANTIATE_TEST_SUITE_P(Meshes, InitialValuesMemory,
                         testing::Values(Keys{"ici_fsdp_parallelism=4"},
                                         Keys{"ici_expert_parallelism=2", "ici_fsdp_parallelism=2"}));

TEST(InitialValuesOfALayer, AreThoseOfItsPlaceInTheStack) {
  Config scanned = config_with({"scan_layers=True", "base_num_decoder_layers=4", "first_num_dense_layers=2"});
  Config unscanned = config_with({"scan_layers=False", "base_num_decoder_layers=4", "first_num_dense_layers=2"});
  StateSpec stacks = state_spec(scanned), layers = state_spec(unscanned);
  std::vector<HostArray> whole = drawn(stacks, 3), parts = drawn(layers, 3);
  std::map<size_t, size_t> array_of_row;
  for (size_t i = 0; i < whole.size(); ++i) array_of_row[stacks.arrays[i].row] = i;
  for (size_t i = 0; i < parts.size(); ++i) {
    const ParamArray& array = layers.arrays[i];
    const HostArray& stack = whole[array_of_row.at(array.row)];
    const std::byte* expected = stack.data() + std::max<int64_t>(array.layer, 0) * parts[i].bytes();
    EXPECT_EQ(std::memcmp(parts[i].data(), expected, static_cast<size_t>(parts[i].bytes())), 0) << array.name;
  }
  EXPECT_GT(parts.size(), whole.size());
}

// Two arrays or two layers with one key or one counter would begin as copies of each other.
TEST(InitialValuesOfALayer, AreItsOwn) {
  Config config = config_with({"scan_layers=False", "base_num_decoder_layers=4", "first_num_dense_layers=2"});
  StateSpec layout = state_spec(config);
  std::vector<HostArray> arrays = drawn(layout, 3);
  std::set<std::vector<float>> starts;
  size_t random = 0;
  for (size_t i = 0; i < arrays.size(); ++i) {
    Init init = layout.table[layout.arrays[i].row].init;
    if (init == Init::kOnes || init == Init::kZeros) continue;
    // Up to a factor: each array has its own deviation.
    auto x = arrays[i].view<float>();
    std::vector<float> start;
    for (size_t k = 1; k < 5; ++k) start.push_back(std::round(1000 * x[k] / x[0]));
    starts.insert(start);
    ++random;
  }
  EXPECT_EQ(starts.size(), random);
  EXPECT_GT(random, 40u);
}

bool any_differs(const std::vector<HostArray>& a, const std::vector<HostArray>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!same(a[i], b[i])) return true;
  }
  return false;
}

TEST(InitialValuesOfASeed, DependOnAllItsBits) {
  StateSpec spec = state_spec(mesh_config({"base_num_decoder_layers=1", "first_num_dense_layers=1"}));
  std::vector<HostArray> zero = drawn(spec, 0);
  EXPECT_TRUE(any_differs(zero, drawn(spec, 1)));
  EXPECT_TRUE(any_differs(zero, drawn(spec, int64_t{1} << 32)));
  EXPECT_FALSE(any_differs(zero, drawn(spec, 0)));
}

}  // namespace
}  // namespace fathom
