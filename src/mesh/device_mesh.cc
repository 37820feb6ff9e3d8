#include "mesh/device_mesh.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace fathom {

namespace {

// A mesh axis and its two keys; `key` is the middle of ici_<key>_parallelism.
struct AxisKeys {
  const char* axis;
  const char* key;
  int64_t Config::*ici;
  int64_t Config::*dcn;
};

constexpr AxisKeys kAxes[] = {
    {"diloco", "diloco", &Config::ici_diloco_parallelism, &Config::dcn_diloco_parallelism},
    {"data", "data", &Config::ici_data_parallelism, &Config::dcn_data_parallelism},
    {"stage", "pipeline", &Config::ici_pipeline_parallelism, &Config::dcn_pipeline_parallelism},
    {"fsdp", "fsdp", &Config::ici_fsdp_parallelism, &Config::dcn_fsdp_parallelism},
    {"fsdp_transpose", "fsdp_transpose", &Config::ici_fsdp_transpose_parallelism,
     &Config::dcn_fsdp_transpose_parallelism},
    {"context", "context", &Config::ici_context_parallelism, &Config::dcn_context_parallelism},
    {"context_usp_ulysses", "context_usp_ulysses", &Config::ici_context_usp_ulysses_parallelism,
     &Config::dcn_context_usp_ulysses_parallelism},
    {"context_autoregressive", "context_autoregressive", &Config::ici_context_autoregressive_parallelism,
     &Config::dcn_context_autoregressive_parallelism},
    {"tensor", "tensor", &Config::ici_tensor_parallelism, &Config::dcn_tensor_parallelism},
    {"tensor_transpose", "tensor_transpose", &Config::ici_tensor_transpose_parallelism,
     &Config::dcn_tensor_transpose_parallelism},
    {"tensor_sequence", "tensor_sequence", &Config::ici_tensor_sequence_parallelism,
     &Config::dcn_tensor_sequence_parallelism},
    {"expert", "expert", &Config::ici_expert_parallelism, &Config::dcn_expert_parallelism},
    {"autoregressive", "autoregressive", &Config::ici_autoregressive_parallelism,
     &Config::dcn_autoregressive_parallelism},
};

const AxisKeys* find_axis(const std::string& axis) {
  for (const AxisKeys& keys : kAxes) {
    if (axis == keys.axis) return &keys;
  }
  return nullptr;
}

std::string key_name(const char* group, const AxisKeys& keys) {
  return fmt::format("{}_{}_parallelism", group, keys.key);
}

struct Group {
  const char* name;  // "ici" or "dcn"
  int64_t Config::*AxisKeys::*member;
  int64_t total;  // devices of a slice, or slices
  const char* total_name;
};

// A product of axes beyond it is no machine's; one more axis of the largest size does not overflow.
constexpr int64_t kBeyond = int64_t{1} << 40;

// What makes a wrong product right.
std::string advice(const Config& config, const Group& group, int64_t product) {
  const bool virtual_devices = config.hardware == Hardware::kCpu && config.compile_topology.empty();
  if (!virtual_devices || group.member != &AxisKeys::ici || product > 1024) return "";
  return fmt::format(": on the CPU cpu_device_count={} makes that many", product);
}

// The sizes along mesh_axes, their one -1 filled so that the product is the group's total.
std::vector<Axis> fill(const Config& config, const Group& group) {
  std::vector<Axis> axes;
  std::string given;  // "ici_fsdp_parallelism=2 x ici_tensor_parallelism=2"
  const AxisKeys* open = nullptr;
  int64_t product = 1;
  for (const std::string& name : config.mesh_axes) {
    const AxisKeys& keys = *find_axis(name);
    int64_t size = config.*(keys.*(group.member));
    axes.push_back({name, size});
    if (size == -1) {
      if (open != nullptr) {
        throw ConfigError(fmt::format("{}=-1 and {}=-1: only one of the {}_* keys may be -1",
                                      key_name(group.name, *open), key_name(group.name, keys), group.name));
      }
      open = &keys;
    } else if (size < 1) {
      throw ConfigError(fmt::format("{}={}: must be at least 1, or -1", key_name(group.name, keys), size));
    } else if (size > 1) {
      product = std::min(product, kBeyond) * size;
      given += fmt::format("{}{}={}", given.empty() ? "" : " x ", key_name(group.name, keys), size);
    }
  }
  bool fits = open != nullptr ? group.total % product == 0 : product == group.total;
  if (!fits) {
    std::string_view one = group.member == &AxisKeys::ici ? "one device" : "one slice";
    std::string count = group.total == 1 ? std::string(one) : fmt::format("{} {}", group.total, group.total_name);
    std::string result =
        given.find(" x ") == std::string::npos || product > kBeyond ? "" : fmt::format(" = {}", product);
    throw ConfigError(fmt::format("{}{} does not {} the {}{}", given.empty() ? std::string(group.name) : given, result,
                                  open != nullptr ? "divide" : "equal", count, advice(config, group, product)));
  }
  for (Axis& axis : axes) {
    if (axis.size == -1) axis.size = group.total / product;
  }
  return axes;
}

// Every axis of mesh_axes must be known, and an axis that is split must be among them.
void check_axes(const Config& config) {
  for (const std::string& name : config.mesh_axes) {
    if (find_axis(name) == nullptr) throw ConfigError(fmt::format("mesh_axes: '{}' is not a mesh axis", name));
  }
  for (const AxisKeys& keys : kAxes) {
    bool present = false;
    for (const std::string& name : config.mesh_axes) present = present || name == keys.axis;
    for (auto [group, size] : {std::pair{"ici", config.*(keys.ici)}, {"dcn", config.*(keys.dcn)}}) {
      if (!present && size > 1) {
        throw ConfigError(fmt::format("{}={}: mesh_axes has no axis '{}'", key_name(group, keys), size, keys.axis));
      }
    }
  }
}

}  // namespace

std::vector<int64_t> DeviceMesh::slices_along() const {
  std::vector<int64_t> out;
  for (size_t i = 0; i < dcn.size(); ++i) {
    if (ici[i].size * dcn[i].size > 1) out.push_back(dcn[i].size);
  }
  return out;
}

std::string DeviceMesh::to_string() const {
  std::string shape;
  for (size_t i = 0; i < ici.size(); ++i) {
    shape += fmt::format("{}{}", i == 0 ? "" : ", ", ici[i].size * dcn[i].size);
  }
  return fmt::format("Num_devices: {}, shape ({})", devices(), shape);
}

DeviceMesh resolve_mesh(const Config& config, int64_t devices, int64_t slices) {
  if (slices < 1 || devices < 1 || devices % slices != 0) {
    throw ConfigError(fmt::format("{} devices do not make {} equal slices", devices, slices));
  }
  if (config.num_slices > 0 && config.num_slices != slices) {
    throw ConfigError(fmt::format("num_slices={}, but the machine has {}", config.num_slices, slices));
  }
  check_axes(config);
  DeviceMesh out;
  out.slices = slices;
  out.ici = fill(config, {"ici", &AxisKeys::ici, devices / slices, slices == 1 ? "devices" : "devices of a slice"});
  out.dcn = fill(config, {"dcn", &AxisKeys::dcn, slices, "slices"});
  for (size_t i = 0; i < out.ici.size(); ++i) {
    int64_t size = out.ici[i].size * out.dcn[i].size;
    if (size > 1) out.mesh.axes.push_back({out.ici[i].name, size});
  }
  return out;
}

}  // namespace fathom
