// Values with names, in the order in which they were added: what a layer gives beside its output, and what a model
// does.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace fathom {

class ValuesByName {
 public:
  // Nothing is added for a null value.
  void add(std::string_view name, Value value) {
    if (value) items_.emplace_back(name, value);
  }
  void add_all(const ValuesByName& others) { items_.insert(items_.end(), others.items_.begin(), others.items_.end()); }
  // Null when there is none of that name.
  Value find(std::string_view name) const {
    for (const auto& [own, value] : items_) {
      if (own == name) return value;
    }
    return {};
  }
  bool empty() const { return items_.empty(); }
  size_t size() const { return items_.size(); }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

  // The values alone, and the same names with other values.
  std::vector<Value> values() const {
    std::vector<Value> out;
    for (const auto& item : items_) out.push_back(item.second);
    return out;
  }
  ValuesByName with(std::span<const Value> values) const {
    ValuesByName out;
    for (size_t i = 0; i < items_.size(); ++i) out.items_.emplace_back(items_[i].first, values[i]);
    return out;
  }

 private:
  std::vector<std::pair<std::string, Value>> items_;
};

}  // namespace fathom
