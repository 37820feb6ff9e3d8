// write_training_state OUT: training states as fathom saves them, for restore_with_orbax.py: OUT/<case>/6 are the
// folders, OUT/<case>/values/<i> the bytes of array i, OUT/<case>/expected.json what the arrays are.
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "session/state_places.h"
#include "session/state_testing.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;

class Values {
 public:
  explicit Values(std::string folder) : folder_(std::move(folder)) {
    std::filesystem::create_directories(folder_ + "/values");
  }
  // An array of ours in the order of axes that the place has.
  void add(const PeerPlace& place, const HostArray& ours) {
    HostArray moved = HostArray::allocate(ours.dtype(), place.sizes);
    const int64_t width = byte_size(ours.dtype());
    std::vector<int64_t> at(place.sizes.size());
    for (int64_t i = 0; i < moved.elements(); ++i) {
      std::vector<int64_t> there(at.size());
      for (size_t axis = 0; axis < at.size(); ++axis) there[static_cast<size_t>(place.axes[axis])] = at[axis];
      int64_t from = 0;
      for (size_t axis = 0; axis < there.size(); ++axis) from = from * ours.sizes()[axis] + there[axis];
      std::copy_n(ours.data() + from * width, width, moved.mutable_data() + i * width);
      for (size_t axis = at.size(); axis-- > 0 && ++at[axis] == place.sizes[axis];) at[axis] = 0;
    }
    const std::string file = fmt::format("{}/values/{}", folder_, list_.size());
    std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(moved.data()), moved.bytes());
    list_.push_back({{"path", tree_path(place.name)},
                     {"dtype", name(moved.dtype())},
                     {"shape", place.sizes},
                     {"chunk", nullptr},
                     {"file", file}});
  }
  Json take() { return std::move(list_); }

 private:
  std::string folder_;
  Json list_ = Json::array();
};

void write(const std::string& folder, const std::string& name, std::vector<std::string> keys) {
  keys.emplace_back("ici_fsdp_parallelism=2");
  keys.emplace_back("ici_expert_parallelism=2");
  const KnownState known(std::move(keys));
  known.write_by_two(folder + "/6");
  const StatePlaces places(known.spec, known.config);
  Values values(folder);
  for (size_t i = 0; i < known.values.size(); ++i) {
    const StateEntry& entry = known.spec.entries[i];
    if (entry.role == StateRole::kCounter) continue;
    for (const PeerPlace& place : places.written(entry)) values.add(place, known.values[i]);
  }
  for (const auto& [entry, place] : places.zero_moments()) {
    HostArray zeros = HostArray::allocate(entry.type.dtype, entry.type.shape.sizes());
    std::fill_n(zeros.mutable_data(), zeros.bytes(), std::byte{0});
    values.add(place, zeros);
  }
  HostArray step = HostArray::allocate(DType::kS32, {});
  step.mutable_view<int32_t>()[0] = KnownState::kStep;
  for (const std::string& counter : places.written_counters()) values.add({.name = counter}, step);
  const Json one = {{"name", name},
                    {"ocdbt", known.config.checkpoint_storage_use_ocdbt},
                    {"zarr3", known.config.checkpoint_storage_use_zarr3},
                    {"scan_layers", known.spec.model.scan_layers},
                    {"says_scan_layers", true},
                    {"empty", Json::array()},
                    {"none", places.none()},
                    {"lists", places.lists()}};
  std::ofstream(folder + "/expected.json") << Json{{"case", one}, {"arrays", values.take()}}.dump(1);
}

}  // namespace
}  // namespace fathom

int main(int count, char** words) {
  if (count != 2) {
    std::cerr << "usage: write_training_state OUT\n";
    return 1;
  }
  try {
    const std::pair<const char*, std::vector<std::string>> cases[] = {
        {"adamw", {}},
        {"masked", {"trainable_parameters_mask=['.*norm.*']"}},
        {"sgd_unscanned", {"opt_type=sgd", "scan_layers=false"}},
        {"plain_zarr2", {"checkpoint_storage_use_ocdbt=false", "checkpoint_storage_use_zarr3=false"}}};
    for (const auto& [name, keys] : cases) fathom::write(std::string(words[1]) + "/" + name, name, keys);
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 1;
  }
}
