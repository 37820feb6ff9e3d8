#include "base/shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace fathom {

Shape::Shape(std::vector<Axis> axes) : axes_(std::move(axes)) {
  for (size_t i = 0; i < axes_.size(); ++i) {
    if (axes_[i].size < 0) {
      throw std::invalid_argument(fmt::format("axis '{}' has negative size {}", axes_[i].name, axes_[i].size));
    }
    for (size_t j = 0; j < i; ++j) {
      if (axes_[i].name == axes_[j].name) {
        throw std::invalid_argument(fmt::format("axis '{}' stands twice in {}", axes_[i].name, to_string()));
      }
    }
  }
}

int Shape::find(std::string_view name) const {
  for (size_t i = 0; i < axes_.size(); ++i) {
    if (axes_[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

int64_t Shape::size(std::string_view name) const {
  int i = find(name);
  if (i < 0) throw std::invalid_argument(fmt::format("no axis '{}' in {}", name, to_string()));
  return axes_[static_cast<size_t>(i)].size;
}

int64_t Shape::elements() const {
  if (std::ranges::find(axes_, 0, &Axis::size) != axes_.end()) return 0;  // before a product that does not fit
  int64_t n = 1;
  for (const Axis& a : axes_) {
    if (__builtin_mul_overflow(n, a.size, &n))
      throw std::overflow_error("more elements than 64 bits count: " + to_string());
  }
  return n;
}

std::vector<int64_t> Shape::sizes() const {
  std::vector<int64_t> out;
  for (const Axis& a : axes_) out.push_back(a.size);
  return out;
}

std::vector<std::string> Shape::names() const {
  std::vector<std::string> out;
  for (const Axis& a : axes_) out.push_back(a.name);
  return out;
}

std::string Shape::to_string() const {
  std::string out = "[";
  for (const Axis& a : axes_) out += fmt::format("{}{}={}", out.size() > 1 ? " " : "", a.name, a.size);
  return out + "]";
}

std::string TensorType::to_string() const { return std::string(mlir_name(dtype)) + shape.to_string(); }

std::vector<std::string> split_names(std::string_view names) {
  std::vector<std::string> out;
  size_t i = 0;
  while (i < names.size()) {
    if (names[i] == ' ') {
      ++i;
      continue;
    }
    size_t end = names.find(' ', i);
    if (end == std::string_view::npos) end = names.size();
    out.emplace_back(names.substr(i, end - i));
    i = end;
  }
  return out;
}

}  // namespace fathom
