// A matrix of numbers in a JSON object, read without a tree of it: 500 rows of 129,280 logits would take a minute.
#pragma once

#include <optional>
#include <stdexcept>
#include <string_view>

#include "base/host_array.h"

namespace fathom {

struct JsonMatrix {
  HostArray values;       // f32 [rows columns]; of one axis where rows are of different lengths
  std::string_view text;  // what stands for it in the object
};

// What is no list of lists of numbers; the text says where.
class NoMatrix : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The value of a key of a JSON object, [[1.5, 2], [NaN, -Infinity]]: Python's words for what is no number are read too.
// Nothing where the object has no such key. Throws NoMatrix.
std::optional<JsonMatrix> find_matrix(std::string_view object, std::string_view key);

}  // namespace fathom
