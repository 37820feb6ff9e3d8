// The state of a run in device memory, and programs that run on it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/batch_fields.h"
#include "program/programs.h"
#include "session/session.h"

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

}  // namespace fathom
