#include "mesh_run.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "base/batch_fields.h"
#include "config/resolve/resolve.h"
#include "kernels/ffi/handlers.h"
#include "mesh/device_mesh.h"
#include "runtime/buffer.h"
#include "runtime/executable.h"
#include "runtime/ffi_table.h"
#include "runtime/mesh_slice.h"
#include "runtime/plugin_search.h"

namespace fathom {
namespace {

const Plugin& plugin() {
  static const Plugin& loaded = [&]() -> const Plugin& {
    const Plugin& p = Plugin::load(find_plugin("", Hardware::kCpu));
    std::vector<FfiHandler> handlers;
    for (const KernelHandler& k : cpu_kernel_handlers()) handlers.push_back({k.name, k.handler});
    register_handlers(p, handlers);
    return p;
  }();
  return loaded;
}

const std::shared_ptr<const Client>& client_of(int64_t devices) {
  static std::map<int64_t, std::shared_ptr<const Client>> clients;
  auto& client = clients[devices];
  if (!client) client = Client::create(plugin(), {.cpu_device_count = static_cast<int>(devices)});
  return client;
}

constexpr float kIdle = -100;  // a bias that no score outweighs

bool same_bytes(const HostArray& a, const HostArray& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())) == 0;
}

}  // namespace

Config mesh_config(std::vector<std::string> keys) {
  std::vector<std::string> all = {"configs/base.yml",
                                  "dataset_type=synthetic",
                                  "run_name=test",
                                  "model_name=deepseek3-tiny",
                                  "override_model_config=True",
                                  "base_num_decoder_layers=3",
                                  "first_num_dense_layers=1",
                                  "vocab_size=256",
                                  "dtype=float32",
                                  "weight_dtype=float32",
                                  "max_target_length=32",
                                  "per_device_batch_size=1",
                                  "cpu_device_count=4",
                                  "load_balance_loss_weight=0.01"};
  all.insert(all.end(), keys.begin(), keys.end());
  return resolve_config(all, {}).config;
}

Mesh mesh_of(const Config& config, int64_t devices) { return resolve_mesh(config, devices).mesh; }

Executable compile_on_mesh(const Program& program, bool kernels) {
  const std::shared_ptr<const Client>& client = client_of(program.signature.mesh.devices());
  EmitOptions options;
  if (kernels) {
    for (const KernelHandler& k : cpu_kernel_handlers()) options.target.kernels.emplace(k.name);
  }
  CompileOptions compile;
  compile.device_ids.clear();
  for (const Device& d : client->devices()) compile.device_ids.push_back(d.id);
  return Executable::compile(client, emit(program, options), compile);
}

std::vector<HostArray> run_on_mesh(const Program& program, const std::vector<HostArray>& arguments, bool kernels) {
  return run_on_mesh(compile_on_mesh(program, kernels), program.signature, arguments);
}

std::vector<HostArray> run_on_mesh(const Executable& executable, const Signature& s,
                                   const std::vector<HostArray>& arguments) {
  int64_t devices = s.mesh.devices();
  const std::shared_ptr<const Client>& client = client_of(devices);
  std::vector<std::vector<Buffer>> buffers(static_cast<size_t>(devices));
  std::vector<std::vector<Buffer*>> lists(static_cast<size_t>(devices));
  for (int64_t d = 0; d < devices; ++d) {
    auto& mine = buffers[static_cast<size_t>(d)];
    for (size_t i = 0; i < arguments.size(); ++i) {
      ArraySlice slice = slice_at(arguments[i].sizes(), s.args[i].sharding, s.mesh, d);
      mine.push_back(
          Buffer::from_host(client, cut(arguments[i], slice), *client->addressable_devices()[static_cast<size_t>(d)]));
    }
    for (Buffer& b : mine) lists[static_cast<size_t>(d)].push_back(&b);
  }
  Execution run = executable.execute_sharded(lists);
  run.done.await();
  std::vector<HostArray> out;
  for (size_t r = 0; r < s.results.size(); ++r) {
    const ResultSpec& spec = s.results[r];
    HostArray whole = HostArray::allocate(spec.type.dtype, spec.type.shape.sizes());
    std::map<ArraySlice, HostArray> seen;
    for (int64_t d = 0; d < devices; ++d) {
      ArraySlice slice = slice_at(whole.sizes(), spec.sharding, s.mesh, d);
      HostArray part = run.outputs[static_cast<size_t>(d)][r].to_host();
      auto [at, fresh] = seen.try_emplace(slice, part);
      EXPECT_TRUE(fresh || same_bytes(at->second, part)) << spec.name << " differs between devices that share it";
      paste(whole, slice, part);
    }
    out.push_back(whole);
  }
  return out;
}

std::vector<HostArray> drawn_parameters(const Config& config) {
  const StateSpec spec = state_spec(config);
  std::mt19937 bits(7);
  std::normal_distribution<float> normal(0, 0.1F);
  std::vector<HostArray> out;
  for (size_t place : spec.parameters()) {
    const StateEntry& entry = spec.entries[place];
    HostArray array = HostArray::allocate(DType::kF32, entry.type.shape.sizes());
    const float mean = spec.param(entry).init == Init::kOnes ? 1 : 0;
    for (float& x : array.mutable_view<float>()) x = mean + normal(bits);
    if (spec.param(entry).name.ends_with(".moe.router_bias")) {
      const auto numbers = array.mutable_view<float>();
      const auto experts = static_cast<size_t>(config.num_experts);
      for (size_t i = experts - 1; i < numbers.size(); i += experts) numbers[i] = kIdle;
    }
    out.push_back(std::move(array));
  }
  return out;
}

std::vector<HostArray> drawn_batch(const BatchShape& shape, int64_t vocabulary) {
  BatchFields<HostArray> batch;
  for (const auto& field : batch.fields()) {
    batch.*field.member = HostArray::allocate(DType::kS32, {shape.rows, shape.length});
  }
  std::mt19937 bits(11);
  for (int64_t row = 0; row < shape.rows; ++row) {
    const int64_t second = 5 + row % 3;
    const int64_t end = row % 2 == 0 ? shape.length : shape.length - 4;
    for (int64_t at = 0; at < shape.length; ++at) {
      size_t i = static_cast<size_t>(row * shape.length + at);
      bool padding = at >= end;
      int32_t segment = padding ? 0 : at < second ? 1 : 2;
      batch.inputs.mutable_view<int32_t>()[i] =
          padding ? 0 : static_cast<int32_t>(bits() % static_cast<uint64_t>(vocabulary));
      batch.inputs_position.mutable_view<int32_t>()[i] = static_cast<int32_t>(padding       ? 0
                                                                              : at < second ? at
                                                                                            : at - second);
      batch.inputs_segmentation.mutable_view<int32_t>()[i] = segment;
      batch.targets.mutable_view<int32_t>()[i] =
          padding ? 0 : static_cast<int32_t>(bits() % static_cast<uint64_t>(vocabulary));
      batch.targets_segmentation.mutable_view<int32_t>()[i] = segment;
    }
  }
  std::vector<HostArray> out;
  for (const auto& field : batch.fields()) out.push_back(batch.*field.member);
  return out;
}

double relative_difference(const HostArray& a, const HostArray& b) {
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  double difference = 0;
  double norm = 0;
  auto x = a.view<float>();
  auto y = b.view<float>();
  for (size_t i = 0; i < x.size(); ++i) {
    difference += std::pow(static_cast<double>(x[i]) - y[i], 2);
    norm += std::pow(static_cast<double>(y[i]), 2);
  }
  if (std::isnan(difference) || std::isnan(norm)) return std::numeric_limits<double>::infinity();
  return norm == 0 ? (difference == 0 ? 0 : std::numeric_limits<double>::infinity()) : std::sqrt(difference / norm);
}

}  // namespace fathom
