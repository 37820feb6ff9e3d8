#include "session/state_places.h"

#include <fmt/format.h>

#include "train/optimizer.h"

namespace fathom {
namespace {

// optax.multi_transform keeps the state of what is trained under the name that MaxText gives it.
constexpr std::string_view kMasked = "opt_state.inner_states.trainable.inner_state.";

// "mu" of "mu.decoder....".
std::string_view moment_of(const StateEntry& entry) {
  return std::string_view(entry.name).substr(0, entry.name.find('.'));
}

}  // namespace

StatePlaces::StatePlaces(const StateSpec& spec, const Config& config)
    : spec_(spec), scan_axis_(config.param_scan_axis), masked_(!config.trainable_parameters_mask.empty()) {
  for (const Moment& moment : optimizer_moments(config)) moments_.emplace_back(moment.name);
}

std::string StatePlaces::collection(std::string_view moment, bool masked) const {
  return masked ? fmt::format("{}0.{}.", kMasked, moment) : fmt::format("opt_state.0.{}.params.", moment);
}

std::vector<PeerPlace> StatePlaces::written(const StateEntry& entry) const {
  const ParamArray& array = spec_.arrays[entry.array];
  const Param& row = spec_.param(entry);
  if (entry.is_parameter()) {
    return written_places(spec_.model, row, array, scan_axis_, PeerFolder::kTrainingState);
  }
  return {peer_place_in(collection(moment_of(entry), masked_), spec_.model, row, array, scan_axis_)};
}

std::vector<PeerForm> StatePlaces::forms(const StateEntry& entry) const {
  if (entry.is_parameter()) return peer_forms(spec_.model, spec_.param(entry), spec_.arrays[entry.array], scan_axis_);
  return moment_forms(moment_of(entry), entry);
}

std::vector<PeerForm> StatePlaces::moment_forms(std::string_view moment, const StateEntry& entry) const {
  std::vector<PeerForm> out;
  for (bool masked : {masked_, !masked_}) {
    for (PeerForm& form : peer_forms_in(collection(moment, masked), spec_.model, spec_.param(entry),
                                        spec_.arrays[entry.array], scan_axis_)) {
      out.push_back(std::move(form));
    }
  }
  return out;
}

// A chain of optax: Adam's or SGD's own state, where it has one, the decay's, and the count of the schedule.
std::vector<std::string> StatePlaces::written_counters() const {
  if (moments_.empty()) return {"step", masked_ ? fmt::format("{}1.count", kMasked) : "opt_state.1.count"};
  const std::string chain = masked_ ? std::string(kMasked) : "opt_state.";
  return {"step", chain + "0.count", chain + "2.count"};
}

std::vector<std::pair<StateEntry, PeerPlace>> StatePlaces::zero_moments() const {
  std::vector<std::pair<StateEntry, PeerPlace>> out;
  if (masked_) return out;
  for (size_t i : spec_.with_role(StateRole::kMovedByRule)) {
    const StateEntry& entry = spec_.entries[i];
    for (const std::string& moment : moments_) {
      out.emplace_back(entry, peer_place_in(collection(moment, false), spec_.model, spec_.param(entry),
                                            spec_.arrays[entry.array], scan_axis_));
    }
  }
  return out;
}

std::set<std::string> StatePlaces::moments_of(StateRole role) const {
  std::set<std::string> out;
  for (size_t i : spec_.with_role(role)) {
    for (const char* moment : {"mu", "nu"}) {
      for (const PeerForm& form : moment_forms(moment, spec_.entries[i])) {
        for (const PeerPlace& place : form) out.insert(place.name);
      }
    }
  }
  return out;
}

std::vector<std::vector<std::string>> StatePlaces::none() const {
  if (!masked_) return {{"opt_state", moments_.empty() ? "0" : "1"}};
  std::vector<std::vector<std::string>> out;
  for (size_t i : spec_.with_role(StateRole::kFrozen)) {
    const StateEntry& entry = spec_.entries[i];
    for (const std::string& moment : moments_) {
      out.push_back(tree_path(peer_place_in(collection(moment, true), spec_.model, spec_.param(entry),
                                            spec_.arrays[entry.array], scan_axis_)
                                  .name));
    }
  }
  return out;
}

std::vector<std::vector<std::string>> StatePlaces::lists() const {
  if (masked_) return {};
  return {{"opt_state"}};
}

}  // namespace fathom
