#include "program/state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <stdexcept>

#include "base/device_bytes.h"
#include "base/error.h"
#include "base/listed.h"
#include "base/log.h"
#include "base/python_regex.h"
#include "kernels/abi.h"
#include "train/optimizer.h"

namespace fathom {
namespace {

// How much of a mask's words stands in the path: the longest piece of letters, digits and underscores they share.
size_t likeness(const std::string& mask, const std::string& path) {
  size_t longest = 0;
  for (size_t begin = 0; begin < mask.size(); ++begin) {
    size_t size = 0;
    while (begin + size < mask.size() &&
           (std::isalnum(static_cast<unsigned char>(mask[begin + size])) || mask[begin + size] == '_' ||
            mask[begin + size] == '/') &&
           path.find(mask.substr(begin, size + 1)) != std::string::npos) {
      ++size;
    }
    longest = std::max(longest, size);
  }
  return longest;
}

// The paths that one of a key's expressions matches. Each must match one.
std::set<std::string> matched_paths(const char* key, const std::vector<std::string>& masks,
                                    const std::vector<Param>& table) {
  std::set<std::string> out;
  for (const std::string& mask : masks) {
    bool any = false;
    const auto matches = parameters_named(key, {mask});
    for (const Param& row : table) {
      if (!matches(row)) continue;
      any = true;
      out.insert(peer_path(row));
    }
    if (any) continue;
    std::vector<std::string> paths;
    for (const Param& row : table) paths.push_back(peer_path(row));
    std::stable_sort(paths.begin(), paths.end(),
                     [&](const std::string& a, const std::string& b) { return likeness(mask, a) > likeness(mask, b); });
    throw ConfigError(fmt::format("{}: '{}' matches no parameter; the nearest are {}", key, mask, listed(paths, 3)));
  }
  return out;
}

// For each axis of an array its name in the sharding rules. Heads of the indexer that the mesh does not divide are
// whole on every device.
std::vector<std::string> logical_axes(const StateSpec& spec, const ParamArray& array) {
  std::vector<std::string> out = array.logical;
  for (size_t i = 0; spec.partition && i < out.size(); ++i) {
    const Axis& axis = array.type.shape[static_cast<int>(i)];
    const int64_t devices = spec.partition->devices(spec.partition->axes_of(out[i]));
    if (axis.name != "hi" || axis.size % devices == 0) continue;
    log_once(LogLevel::kInfo, fmt::format("the {} heads of the indexer are whole on every device: {} devices do not "
                                          "divide them",
                                          axis.size, devices));
    out[i].clear();
  }
  return out;
}

// Whether the stage moves a parameter at all: the dense warm-up (V3.2 report, section 2.1.1) moves the indexers alone.
// The peer lets weight decay act on all others.
bool stage_moves(const Config& config, const StateSpec& spec, const StateEntry& entry) {
  if (!config.indexer_dense_warmup || config.defaults == DefaultsKind::kMaxtext) return true;
  return spec.leaf_of_indexer(entry).has_value();
}

// The parameters as the masks divide them.
void add_parameters(StateSpec& spec, const Config& config) {
  const std::set<std::string> trainable =
      matched_paths("trainable_parameters_mask", config.trainable_parameters_mask, spec.table);
  const std::set<std::string> undecayed = matched_paths("adamw_mask", config.adamw_mask, spec.table);
  matched_paths("init_missing_parameters", config.init_missing_parameters, spec.table);  // each matches one
  const bool decays = config.opt_type == OptType::kAdamw;
  for (size_t i = 0; i < spec.arrays.size(); ++i) {
    const ParamArray& a = spec.arrays[i];
    const Param& row = spec.table[a.row];
    const std::string path = peer_path(row);
    StateEntry entry{.name = "params." + a.name, .type = a.type, .logical = logical_axes(spec, a), .array = i};
    if (spec.partition) entry.sharding = spec.partition->of(entry.logical, a.type.shape, a.name);
    bool chosen =
        (config.trainable_parameters_mask.empty() || trainable.contains(path)) && stage_moves(config, spec, entry);
    entry.role = !row.trained ? StateRole::kMovedByRule : chosen ? StateRole::kTrained : StateRole::kFrozen;
    entry.decayed = decays && entry.role == StateRole::kTrained && !undecayed.contains(path);
    spec.entries.push_back(std::move(entry));
  }
  if (spec.with_role(StateRole::kTrained).empty()) {
    throw ConfigError(config.indexer_dense_warmup
                          ? "trainable_parameters_mask matches no parameter of the indexer, which learns alone in the "
                            "dense warm-up (indexer_sparse_training=False); leave the key out or name '.*indexer.*'"
                          : "trainable_parameters_mask matches no parameter that the optimizer moves");
  }
}

// How many axes in front of an array count its rows, each of `fan_in` numbers.
int row_axes(const Param& row, const Shape& array) {
  int out = array.rank();
  for (int64_t low = 1; low < row.fan_in && out > 0;) low *= array[--out].size;
  return out;
}

// Matrices become numbers of 8 bits with a scale for each group along a row; nothing is trained.
void hold_as_int8(StateSpec& spec) {
  if (spec.partition) {
    throw ConfigError("quantize_weights=int8 is for one device; leave it out on a mesh, or the mesh");
  }
  std::vector<StateEntry> scales;
  for (StateEntry& entry : spec.entries) {
    const Param& row = spec.param(entry);
    if (entry.role == StateRole::kTrained) entry.role = StateRole::kFrozen;
    entry.decayed = false;
    if (!quantizable(row)) continue;
    StateEntry own = entry;
    own.name = "scales." + spec.array_name(entry);
    own.role = StateRole::kScale;
    const auto& axes = entry.type.shape.axes();
    std::vector<Axis> of_rows(axes.begin(), axes.begin() + row_axes(row, entry.type.shape));
    own.logical.resize(of_rows.size());
    of_rows.push_back({"group", (row.fan_in + abi::kScaleGroup - 1) / abi::kScaleGroup});
    own.logical.emplace_back();
    own.type = {DType::kF32, Shape(of_rows)};
    entry.type.dtype = DType::kS8;
    scales.push_back(std::move(own));
  }
  spec.entries.insert(spec.entries.end(), scales.begin(), scales.end());
}

void add_moments(StateSpec& spec, const Config& config) {
  const std::vector<size_t> trained = spec.with_role(StateRole::kTrained);
  for (const Moment& moment : optimizer_moments(config)) {
    for (size_t i : trained) {
      StateEntry entry = spec.entries[i];
      entry.name = fmt::format("{}.{}", moment.name, spec.array_name(entry));
      entry.role = StateRole::kMoment;
      entry.type.dtype = moment.dtype.value_or(entry.type.dtype);
      entry.decayed = false;
      spec.entries.push_back(std::move(entry));
    }
  }
}

}  // namespace

std::function<bool(const Param&)> parameters_named(const char* key, const std::vector<std::string>& expressions) {
  auto said = [key](const std::string& text, const PatternError& e) {
    return ConfigError(fmt::format("{}: '{}': {}", key, text, e.what()));
  };
  std::vector<std::shared_ptr<PythonRegex>> compiled;
  for (const std::string& text : expressions) {
    try {
      compiled.push_back(std::make_shared<PythonRegex>(text));
    } catch (const PatternError& e) {
      throw said(text, e);
    }
  }
  return [said, expressions, compiled](const Param& row) {
    for (size_t i = 0; i < compiled.size(); ++i) {
      try {
        if (compiled[i]->search(peer_path(row))) return true;
      } catch (const PatternError& e) {
        throw said(expressions[i], e);
      }
    }
    return false;
  };
}

StateSpec state_spec(const Config& config, const Mesh& mesh) {
  StateSpec spec{.model = model_config(config)};
  spec.table = param_table(spec.model);
  spec.arrays = param_arrays(spec.model, spec.table);
  if (mesh.devices() > 1) spec.partition = std::make_shared<Partition>(mesh, config.logical_axis_rules);
  add_parameters(spec, config);
  if (config.quantize_weights == WeightQuantization::kInt8) hold_as_int8(spec);
  add_moments(spec, config);
  spec.entries.push_back({.name = "step", .role = StateRole::kCounter, .type = {DType::kS32, {}}});
  for (size_t i = 0; i < spec.entries.size(); ++i) spec.index_of.emplace(spec.entries[i].name, i);
  return spec;
}

std::optional<std::string> StateSpec::leaf_of_indexer(const StateEntry& entry) const {
  const Param& row = param(entry);
  constexpr std::string_view kIndexer = ".mla.indexer.";
  const size_t at = row.name.find(kIndexer);
  if (at == std::string::npos) return std::nullopt;
  return row.name.substr(at + 1);
}

std::vector<size_t> StateSpec::parameters() const {
  std::vector<size_t> out;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].is_parameter()) out.push_back(i);
  }
  return out;
}

std::vector<size_t> StateSpec::with_role(StateRole role) const {
  std::vector<size_t> out;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].role == role) out.push_back(i);
  }
  return out;
}

size_t StateSpec::index(std::string_view name) const {
  auto it = index_of.find(name);
  if (it == index_of.end()) throw std::logic_error("the state has no entry " + std::string(name));
  return it->second;
}

size_t StateSpec::moment(std::string_view moment, size_t parameter) const {
  return index(fmt::format("{}.{}", moment, array_name(entries[parameter])));
}

int64_t StateSpec::bytes_of_a_device(const StateChoice& choice) const {
  const Mesh mesh = partition ? partition->mesh() : Mesh{};
  int64_t bytes = 0;
  for (const StateEntry& e : entries) {
    if (choice(e)) bytes += device_bytes(e.type, e.sharding, mesh);
  }
  return bytes;
}

int64_t StateSpec::bytes() const {
  int64_t bytes = 0;
  for (const StateEntry& e : entries) bytes += e.type.bytes();
  return bytes;
}

}  // namespace fathom
