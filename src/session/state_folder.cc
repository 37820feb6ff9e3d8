#include "session/state_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "convert/weight_findings.h"
#include "session/state_places.h"

namespace fathom {
namespace {

bool is_counter(const std::string& name) { return name == "step" || name.ends_with(".count"); }

int64_t whole_number(const OrbaxFolder& folder, const StoredArray& stored) {
  const HostArray array = convert(folder.whole(stored), DType::kS64);
  if (array.elements() != 1) throw FormatError(folder.path(), stored.name + ": not a single number");
  return array.view<int64_t>()[0];
}

}  // namespace

StateFolder::StateFolder(OrbaxFolder folder, const Config& config, const StateSpec& spec)
    : spec_(spec), folder_(std::move(folder)), sources_(spec.entries.size()) {
  const StatePlaces places(spec, config);
  const auto may_miss = parameters_named("init_missing_parameters", config.init_missing_parameters);
  WeightFindings findings;
  std::set<std::string> known = places.moments_of(StateRole::kMovedByRule);
  for (size_t i = 0; i < spec.entries.size(); ++i) {
    const StateEntry& entry = spec.entries[i];
    if (entry.role == StateRole::kCounter) continue;
    const std::vector<PeerForm> forms = places.forms(entry);
    for (const PeerForm& form : forms) {
      for (const PeerPlace& place : form) known.insert(place.name);
    }
    std::optional<std::string> wrong;
    for (const PeerForm& form : forms) {
      if (!holds(folder_, form)) continue;
      std::optional<std::string> misfits = misfit(folder_, form);
      if (!misfits) {
        sources_[i] = sources_of(folder_, form);
        break;
      }
      if (!wrong) wrong = std::move(misfits);
    }
    if (!sources_[i].empty()) continue;
    if (wrong) {
      findings.add("misshapen", *wrong);
    } else if (may_miss(spec.param(entry))) {
      missing_.push_back(i);
    } else {
      findings.add("missing", forms.front().front().name);
    }
  }
  const std::set<std::string> frozen = places.moments_of(StateRole::kFrozen);
  for (const StoredArray& stored : folder_.arrays()) {
    const bool of_model = stored.name.starts_with("params.params.");
    const bool of_optimizer = stored.name.starts_with("opt_state.");
    if ((!of_model && !of_optimizer) || is_counter(stored.name) || known.contains(stored.name)) continue;
    if (!frozen.contains(stored.name)) {
      findings.add("extra", stored.name);
    } else {
      unused_.push_back(stored.name);
    }
  }
  findings.report(folder_.path());
  read_counters();
}

void StateFolder::read_counters() {
  const StoredArray* step = folder_.find("step");
  if (step == nullptr) throw FormatError(folder_.path(), "no array \"step\": not a training state");
  step_ = whole_number(folder_, *step);
  for (const StoredArray& stored : folder_.arrays()) {
    if (!stored.name.starts_with("opt_state.") || !is_counter(stored.name)) continue;
    const int64_t count = whole_number(folder_, stored);
    if (count == step_) continue;
    throw FormatError(folder_.path(), fmt::format("{} is {}, but step is {}: optimizer and schedule have counted "
                                                  "other steps, which is not built",
                                                  stored.name, count, step_));
  }
}

void StateFolder::fill(size_t entry, std::span<const SliceMemory> slices) const {
  ParamArray array = spec_.arrays[spec_.entries[entry].array];
  array.type = spec_.entries[entry].type;
  array.name = spec_.entries[entry].name;
  read_places(folder_, array, sources_[entry], slices);
}

}  // namespace fathom
