// The table of all configuration keys: ours and the union of the peer's over its revisions. `fathom keys` and
// docs/keys.md are printed from it.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/keys/value.h"

namespace fathom {

enum class KeyClass : uint8_t {
  kBuilt,    // does what its line says
  kIgnored,  // has no effect on results or layout here; accepted, with one line in the log when it is set
  kRefused,  // its value would change results and is not built: an error away from its default
};

enum class KeyType : uint8_t {
  kBool,
  kInt,
  kFloat,
  kString,
  kStrings,   // a list of texts; one plain text is a list of one
  kChoice,    // one of binding->choices(); none or "" where the default is ""
  kOptBool,   // or none
  kOptInt,    // or none
  kOptFloat,  // or none
  kCap,       // a number; 0 and none both mean "off"
  kRules,     // [[logical axis, [mesh axis, ...]], ...]
  kAny,       // lists of numbers, maps: compared as text only
};

// How a key reaches its field of Config.
struct KeyBinding {
  KeyType type;
  void (*set)(Config&, const KeyValue&);
  KeyValue (*get)(const Config&);
  std::span<const std::string_view> (*choices)();  // of a kChoice; null otherwise
};

// The numbers that a key may be. Infinities and what is no number are outside of every range.
struct KeyRange {
  double least = std::numeric_limits<double>::lowest();
  double most = std::numeric_limits<double>::max();
  bool above = false;         // `least` itself is outside
  bool below = false;         // `most` itself is outside
  bool or_minus_one = false;  // -1 stands for something besides ("all that are left")

  bool holds(double value) const;
  // "at least 1 and at most 1024, or -1"; empty for a range that only asks for a finite number.
  std::string text() const;
};

struct KeyRow {
  std::string_view name;
  KeyType type;
  std::string_view default_text;  // YAML; a test checks its type and range
  KeyClass key_class;
  std::string_view help;  // what it does; for ignored and refused keys the reason
  const KeyBinding* binding = nullptr;
  KeyRange range = {};  // of keys that hold a number

  constexpr KeyRow(std::string_view row_name, const KeyBinding& row_binding, std::string_view row_default,
                   KeyClass row_class, std::string_view row_help, KeyRange row_range = {})
      : name(row_name),
        type(row_binding.type),
        default_text(row_default),
        key_class(row_class),
        help(row_help),
        binding(&row_binding),
        range(row_range) {}
  constexpr KeyRow(std::string_view row_name, KeyType row_type, std::string_view row_default, KeyClass row_class,
                   std::string_view row_help)
      : name(row_name), type(row_type), default_text(row_default), key_class(row_class), help(row_help) {}
};

struct KeyGroup {
  std::string_view title;
  std::span<const KeyRow> rows;
};

// All keys, in the order of docs/keys.md; no name stands twice.
std::span<const KeyGroup> key_groups();
// Null for a name the table does not have.
const KeyRow* find_key(std::string_view name);
// The keys meant by an unknown name, best first; at most three, none when nothing is near. What other trainers call a
// key (`lr`) comes before names that are spelt alike.
std::vector<std::string> nearest_keys(std::string_view name);
// The keys that other trainers call so (other_names.cc); mostly none.
std::vector<std::string> keys_called(std::string_view other_name);
// Whether an unknown name is a key with a letter or two wrong, rather than another word.
bool is_misspelt_key(std::string_view name);
// The nearest of `names` likewise.
std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> names);

// The text of docs/keys.md and of `fathom keys`.
std::string keys_markdown();
// The rows whose name, help or other names hold one of `words`, in any case, as one table; empty when none does.
std::string keys_markdown(std::span<const std::string> words);

}  // namespace fathom
