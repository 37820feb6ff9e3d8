#include "config/keys/keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/error.h"
#include "config/keys/key_tables.h"

namespace fathom {

namespace {

// Cost of turning one word into another by inserting, removing, changing one letter or swapping two neighbours.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t change = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

// A longer word is no misspelling of a name, and would take its length squared in time.
constexpr size_t kLongestName = 100;

// A third of the letters may be wrong.
bool is_near(std::string_view name, std::string_view candidate) {
  return edit_distance(name, candidate) <= std::max<size_t>(1, name.size() / 3);
}

std::vector<std::string> nearest(std::string_view name, std::span<const std::string> names) {
  std::vector<std::pair<size_t, std::string>> near;
  if (name.size() > kLongestName) return {};
  for (const std::string& candidate : names) {
    // A name that contains the other (emb_dim, base_emb_dim) is near as well.
    bool part = name.size() >= 4 && candidate.find(name) != std::string::npos;
    if (part || is_near(name, candidate)) near.emplace_back(edit_distance(name, candidate), candidate);
  }
  std::sort(near.begin(), near.end());
  std::vector<std::string> out;
  for (const auto& [distance, candidate] : near) {
    if (out.size() < 3) out.push_back(candidate);
  }
  return out;
}

const std::map<std::string_view, const KeyRow*>& index() {
  static const std::map<std::string_view, const KeyRow*> rows = [] {
    std::map<std::string_view, const KeyRow*> out;
    for (const KeyGroup& group : key_groups()) {
      for (const KeyRow& row : group.rows) out.emplace(row.name, &row);
    }
    return out;
  }();
  return rows;
}

}  // namespace

std::span<const KeyGroup> key_groups() {
  static const std::array groups = {
      run_keys(),      model_keys(), moe_keys(),           train_keys(),  remat_keys(),
      data_keys(),     mesh_keys(),  checkpoint_keys(),    decode_keys(), quantization_keys(),
      services_keys(), tile_keys(),  post_training_keys(), family_keys(), derived_keys(),
  };
  return groups;
}

const KeyRow* find_key(std::string_view name) {
  auto found = index().find(name);
  return found == index().end() ? nullptr : found->second;
}

std::vector<std::string> nearest_keys(std::string_view name) {
  if (std::vector<std::string> called = keys_called(name); !called.empty()) return called;
  std::vector<std::string> names;
  for (const auto& [key, row] : index()) names.emplace_back(key);
  return nearest(name, names);
}

bool is_misspelt_key(std::string_view name) {
  if (name.size() > kLongestName) return false;
  return std::any_of(index().begin(), index().end(), [&](const auto& row) { return is_near(name, row.first); });
}

std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> names) {
  return nearest(name, names);
}

}  // namespace fathom
