// For tests: a training state with known numbers, as processes hold it that share the devices of one client.
#pragma once

#include <future>
#include <string>
#include <utility>
#include <vector>

#include "config/resolve/resolve.h"
#include "mesh/device_mesh.h"
#include "runtime/plugin_search.h"
#include "session/state_io.h"
#include "session/state_writer.h"

namespace fathom {

class KnownState {
 public:
  static constexpr int kDevices = 4;
  static constexpr int64_t kStep = 7;  // steps done

  // Of a small model with experts and a router's bias on a mesh of four devices; `keys` are added.
  explicit KnownState(std::vector<std::string> keys = {"ici_fsdp_parallelism=2", "ici_expert_parallelism=2"})
      : config(resolved(std::move(keys))), spec(state_spec(config, resolve_mesh(config, kDevices).mesh)) {
    for (size_t i = 0; i < spec.entries.size(); ++i) values.push_back(value_of(i));
  }

  // What a process with these devices holds.
  State of(std::vector<int> devices) const {
    static const auto client =
        Client::create(Plugin::load(find_plugin("", Hardware::kCpu)), {.cpu_device_count = kDevices});
    const auto assignment =
        DeviceAssignment::create(client, spec.partition->mesh(), {.slices = {}, .addressable = std::move(devices)});
    State out(spec);
    for (size_t i = 0; i < values.size(); ++i) {
      out[i] = ShardedArray::from_host(assignment, values[i], spec.entries[i].sharding);
    }
    return out;
  }

  // Two processes with half of the devices each write it together.
  void write_by_two(const std::string& step_folder) const {
    std::vector<std::future<void>> processes;
    for (int process : {0, 1}) {
      processes.push_back(std::async(std::launch::async, [this, process, step_folder] {
        State state = process == 0 ? of({0, 1}) : of({2, 3});
        StateWriter writer(config, spec, {process, 2});
        writer.copy_out(state);
        StepWriter step(step_folder, writer.plan(), writer.share());
        writer.write(step, 1);
        step.finish();
        if (process == 0) step.commit(std::chrono::seconds(60));
      }));
    }
    for (std::future<void>& process : processes) process.get();
  }

  Config config;
  StateSpec spec;
  std::vector<HostArray> values;  // of the entries

 private:
  static Config resolved(std::vector<std::string> keys) {
    keys.insert(keys.begin(), {"configs/base.yml", "model_name=deepseek3-tiny", "run_name=known",
                               "dataset_type=synthetic", "mu_dtype=bfloat16", "cpu_device_count=4"});
    return resolve_config(keys, {}).config;
  }
  // Different numbers everywhere, all of them exact in bfloat16.
  HostArray value_of(size_t entry) const {
    const TensorType& type = spec.entries[entry].type;
    HostArray numbers = HostArray::allocate(DType::kF32, type.shape.sizes());
    auto view = numbers.mutable_view<float>();
    for (size_t i = 0; i < view.size(); ++i) {
      const size_t mixed = (i * 2654435761u + entry * 40503u) % 16384;
      view[i] = spec.entries[entry].role == StateRole::kCounter
                    ? static_cast<float>(kStep)
                    : static_cast<float>(mixed % 128 + 128) * (mixed / 128 % 2 == 0 ? 1.0F : -0.0625F);
    }
    return convert(numbers, type.dtype);
  }
};

}  // namespace fathom
