// Where the entries of the state's list stand in a training checkpoint of MaxText's form.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "convert/peer_places.h"
#include "program/state.h"

namespace fathom {

class StatePlaces {
 public:
  // `spec` outlives this.
  StatePlaces(const StateSpec& spec, const Config& config);

  // Where a parameter or a moment is written to.
  std::vector<PeerPlace> written(const StateEntry& entry) const;
  // All forms in which a checkpoint may hold it, the preferred first.
  std::vector<PeerForm> forms(const StateEntry& entry) const;

  // The arrays that count steps: "step", "opt_state.0.count".
  std::vector<std::string> written_counters() const;
  // The first revisions of MaxText that knew the router's bias kept moments of it, which are zero: their places.
  std::vector<std::pair<StateEntry, PeerPlace>> zero_moments() const;
  // Names of the moments that a checkpoint may hold of parameters with a role, whether or not they have any here.
  std::set<std::string> moments_of(StateRole role) const;
  // Nodes of the tree without an array, and those whose children are numbered.
  std::vector<std::vector<std::string>> none() const;
  std::vector<std::vector<std::string>> lists() const;

 private:
  // Below which the arrays of a moment stand: "opt_state.0.mu.params.".
  std::string collection(std::string_view moment, bool masked) const;
  std::vector<PeerForm> moment_forms(std::string_view moment, const StateEntry& entry) const;

  const StateSpec& spec_;
  int64_t scan_axis_;
  bool masked_;  // the optimizer's state is that of optax's multi_transform
  std::vector<std::string> moments_;
};

}  // namespace fathom
