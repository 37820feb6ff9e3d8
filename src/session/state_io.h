// The state of a run in device memory: initial values, or from a folder; and programs that run on it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/batch_fields.h"
#include "program/programs.h"
#include "session/session.h"
#include "session/state_folder.h"

namespace fathom {

using NamedArrays = std::map<std::string, ShardedArray, std::less<>>;

// One array for each entry of the list, in its order; empty for those that nobody has made.
class State {
 public:
  State() = default;
  // `spec` outlives the state.
  explicit State(const StateSpec& spec) : spec_(&spec), arrays_(spec.entries.size()) {}

  ShardedArray& operator[](size_t entry) { return arrays_[entry]; }
  ShardedArray& at(std::string_view name) { return arrays_[spec_->index(name)]; }
  // Null when no entry has the name.
  ShardedArray* find(std::string_view name);
  // Takes over arrays under the names of entries.
  void take(NamedArrays arrays);

 private:
  const StateSpec* spec_ = nullptr;
  std::vector<ShardedArray> arrays_;
};

// Starts a program whose arguments are entries of the state and `inputs`, found by their names. What it donates comes
// back to where it was; the other results are returned by name.
NamedArrays run_on(const Session& session, const Compiled& program, State& state, NamedArrays& inputs);

// The result of that name as the numbers that the signature says it holds: name -> number. Waits for nothing.
std::map<std::string, float, std::less<>> named_scalars(const Signature& signature, std::string_view result,
                                                        const HostArray& values);
// The same in the order of the signature.
std::vector<std::pair<std::string, float>> listed_scalars(const Signature& signature, std::string_view result,
                                                          const HostArray& values);

// The same of whole numbers.
std::map<std::string, int64_t, std::less<>> named_counts(const Signature& signature, std::string_view result,
                                                         const HostArray& values);

// Fills the parameters of a state from a folder of weights (convert/weight_source.h); those that may be missing and are
// stay as they are. Gives the entries of these. Throws FormatError when the folder does not fit the model or holds
// numbers that are not finite, ConfigError when it is no such folder.
std::vector<size_t> load_parameters(const Session& session, const Config& config, const std::string& folder,
                                    const StateSpec& spec, State& state);

// All entries: parameters from load_parameters_path when it is set, else drawn with init_weights_seed, and so are those
// that init_missing_parameters names and the folder lacks; zero moments, step 0. Throws as load_parameters does.
State make_state(const Session& session, const Config& config, const StateSpec& spec);

// The parameters alone, from load_parameters_path; those that init_missing_parameters names and the folder lacks are
// drawn. Throws as load_parameters does.
State make_parameters(const Session& session, const Config& config, const StateSpec& spec);

// All entries from a training state; those that it lacks and init_missing_parameters names begin as in a fresh run.
// Throws as StateFolder::fill does.
State load_state(const Session& session, const Config& config, const StateSpec& spec, const StateFolder& folder);

}  // namespace fathom
