// The arrays that a run keeps on the device between steps: one list. Programs take their arguments from it and give
// their results back by its names; initial values, loading, memory counts and checks visit it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "graph/partition.h"
#include "model/params.h"

namespace fathom {

enum class StateRole : uint8_t {
  kTrained,      // a parameter that the optimizer moves
  kFrozen,       // a parameter that trainable_parameters_mask leaves out: no gradient, no moments, no decay
  kMovedByRule,  // a parameter that another rule moves (the router's bias)
  kScale,        // of a parameter that is held as numbers of 8 bits (fused/dequantize.h)
  kMoment,       // of a trained parameter; which there are depends on the optimizer
  kCounter,      // steps done
};

struct StateEntry {
  // "params.decoder.moe_layers.mla.wq_a", "mu.decoder.moe_layers.mla.wq_a", "nu....", "scales....", "step". An argument
  // has the same name, and so has the result that takes over its memory.
  std::string name;
  StateRole role = StateRole::kTrained;
  TensorType type;
  std::vector<std::string> logical;  // for each axis its name in the sharding rules
  Sharding sharding;
  size_t array = 0;      // of a parameter, its moments and scales: index in StateSpec::arrays
  bool decayed = false;  // whether weight decay acts on it

  bool is_parameter() const { return role <= StateRole::kMovedByRule; }
  bool is_int8() const { return is_parameter() && type.dtype == DType::kS8; }
};

// Which entries a program takes or makes, or which are counted.
using StateChoice = std::function<bool(const StateEntry&)>;
inline bool every_entry(const StateEntry&) { return true; }
inline bool parameters_alone(const StateEntry& entry) {
  return entry.is_parameter() || entry.role == StateRole::kScale;
}

struct StateSpec {
  ModelConfig model;
  std::vector<Param> table;
  std::vector<ParamArray> arrays;
  // The mesh and its rules; null on one device.
  std::shared_ptr<const Partition> partition;
  std::vector<StateEntry> entries;
  std::map<std::string, size_t, std::less<>> index_of;  // by name

  const Param& param(const StateEntry& entry) const { return table[arrays[entry.array].row]; }
  // Name of the parameter that an entry is, or is a moment of, without "params.".
  const std::string& array_name(const StateEntry& entry) const { return arrays[entry.array].name; }
  // Name within its layer of a parameter of the indexer, or of its moment ("mla.indexer.wq_b"); nothing for others.
  std::optional<std::string> leaf_of_indexer(const StateEntry& entry) const;
  // Indices of entries, in the order of the list. The parameters come in the order of `arrays`.
  std::vector<size_t> parameters() const;
  std::vector<size_t> with_role(StateRole role) const;
  // Throws std::logic_error when there is none of that name.
  size_t index(std::string_view name) const;
  // The entry of a moment ("mu", "nu") of a trained parameter.
  size_t moment(std::string_view moment, size_t parameter) const;
  // The entry of the scales of a parameter that is held as numbers of 8 bits.
  size_t scales(size_t parameter) const { return moment("scales", parameter); }
  // Bytes that one device holds, or all together hold where an array is not repeated; without padding.
  int64_t bytes_of_a_device(const StateChoice& choice = every_entry) const;
  int64_t bytes() const;
};

// Whether one of a key's expressions (of Python's, searched in the parameter's MaxText path) is about a parameter.
std::function<bool(const Param&)> parameters_named(const char* key, const std::vector<std::string>& expressions);

// `trainable_parameters_mask` and `adamw_mask` are regular expressions of Python's searched in the parameter's MaxText
// path ("decoder/moe_layers/self_attention/wq_a/kernel"). Throws ConfigError for an expression that matches no
// parameter or takes too long, for a mask that leaves nothing to train, when the mesh does not divide an array, and for
// quantize_weights on a mesh. With quantize_weights nothing is trained.
StateSpec state_spec(const Config& config, const Mesh& mesh = {});

}  // namespace fathom
