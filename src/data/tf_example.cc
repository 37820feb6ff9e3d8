#include "data/tf_example.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/listed.h"
#include "base/proto_wire.h"

namespace fathom {

namespace {

// Field numbers of tensorflow/core/example/{example,feature}.proto.
constexpr int kFeatures = 1;  // Example
constexpr int kEntry = 1;     // Features: a map
constexpr int kName = 1, kFeature = 2;
constexpr int kBytesList = 1, kFloatList = 2, kInt64List = 3;
constexpr int kValue = 1;  // of each list

constexpr size_t kListed = 16;  // names that a message lists

// A field of a message; the last one where it stands there several times, as the format demands.
std::optional<std::string_view> field_of(std::string_view message, int field, const std::string& where) {
  std::optional<std::string_view> found;
  for (ProtoReader reader(message, where); reader.next();) {
    if (reader.field() == field) found = reader.bytes();
  }
  return found;
}

std::string_view feature_of(std::string_view message, std::string_view column, const std::string& where) {
  std::vector<std::string> names;
  std::optional<std::string_view> found;
  for (ProtoReader features(field_of(message, kFeatures, where).value_or(""), where); features.next();) {
    if (features.field() != kEntry) continue;
    const std::string_view entry = features.bytes();
    const std::string_view name = field_of(entry, kName, where).value_or("");
    if (name == column) found = field_of(entry, kFeature, where).value_or("");
    names.emplace_back(name);
  }
  if (found) return *found;
  std::ranges::sort(names);  // the map's own order is nobody's
  throw FormatError(where, names.empty() ? "no tf.train.Example with features"
                                         : fmt::format("no feature '{}'; the features are: {} (train_data_columns or "
                                                       "eval_data_columns names the one that is read)",
                                                       column, listed(names, kListed)));
}

// The list that a feature holds, and of what.
struct List {
  int kind = 0;
  std::string_view bytes;
};

List list_of(std::string_view message, std::string_view column, const std::string& where) {
  List list;
  for (ProtoReader feature(feature_of(message, column, where), where); feature.next();) {
    list = {feature.field(), feature.bytes()};
  }
  return list;
}

[[noreturn]] void fail_kind(const List& list, std::string_view column, std::string_view wanted,
                            const std::string& where) {
  const std::string_view held = list.kind == kBytesList   ? "bytes"
                                : list.kind == kFloatList ? "floats"
                                : list.kind == kInt64List ? "whole numbers"
                                                          : "nothing";
  throw FormatError(where, fmt::format("feature '{}' holds {}, not {}", column, held, wanted));
}

}  // namespace

std::string_view example_text(std::string_view message, std::string_view column, const std::string& where) {
  const List list = list_of(message, column, where);
  if (list.kind != kBytesList) fail_kind(list, column, "text", where);
  std::string_view text;
  int64_t values = 0;
  for (ProtoReader reader(list.bytes, where); reader.next();) {
    if (reader.field() != kValue) continue;
    text = reader.bytes();
    ++values;
  }
  if (values != 1) throw FormatError(where, fmt::format("feature '{}' holds {} values, not one text", column, values));
  return text;
}

std::vector<int64_t> example_numbers(std::string_view message, std::string_view column, const std::string& where) {
  const List list = list_of(message, column, where);
  if (list.kind != kInt64List) fail_kind(list, column, "token ids", where);
  std::vector<int64_t> numbers;
  for (ProtoReader reader(list.bytes, where); reader.next();) {
    if (reader.field() != kValue) continue;
    const std::vector<int64_t> some = reader.varints();
    numbers.insert(numbers.end(), some.begin(), some.end());
  }
  return numbers;
}

}  // namespace fathom
