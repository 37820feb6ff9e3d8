// Filters, tests, functions and methods of the template language.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/runtime.h"
#include "chat/value.h"

namespace fathom::jinja {

struct FilterRow {
  std::string_view name;
  Value (*apply)(Runtime&, const Value&, Arguments&);
};
struct TestRow {
  std::string_view name;
  bool (*holds)(Runtime&, const Value&, Arguments&);
};

// Null when there is none of the name.
const FilterRow* find_filter(std::string_view name);
const TestRow* find_test(std::string_view name);
// Whether any type of value has a method of this name.
bool is_method(std::string_view name);
// Names that a template may use without their being passed: range, namespace, raise_exception. Null when there is none.
Value global(Runtime& runtime, const std::string& name);

// A method bound to its object, such as "text".upper; undefined when the type has none of the name.
Value method(Runtime& runtime, const Value& object, const std::string& name);
// Whether the type has such a method, one that may not be called included.
bool has_own_attribute(const Value& object, std::string_view name);
// object.name and object[key].
Value attribute(Runtime& runtime, const Value& object, const std::string& name);
Value item(Runtime& runtime, const Value& object, const Value& key);
// Parts are undefined or none where they are left out.
Value slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop, const Value& stride);

Value unary(Runtime& runtime, std::string_view op, const Value& a);
// Arithmetic.
Value binary(Runtime& runtime, std::string_view op, const Value& a, const Value& b);
bool compares(Runtime& runtime, std::string_view op, const Value& a, const Value& b);
Value call(Runtime& runtime, const Value& callee, Arguments& arguments);

// The arguments of a call by the names of its parameters; fails on more of them and on other names.
class Parameters {
 public:
  Parameters(Runtime& runtime, std::string_view function, Arguments& arguments, std::vector<std::string_view> names);

  // Null where the argument was not given.
  const Value* find(std::string_view name) const;
  const Value& required(std::string_view name) const;
  std::string text(std::string_view name) const;  // required
  std::string text(std::string_view name, std::string_view default_value) const;
  std::optional<std::string> optional_text(std::string_view name) const;  // none counts as not given
  int64_t integer(std::string_view name, int64_t default_value) const;
  bool boolean(std::string_view name, bool default_value) const;

 private:
  [[noreturn]] void fail(std::string_view name, std::string_view what) const;

  Runtime& runtime_;
  std::string_view function_;
  std::vector<std::pair<std::string_view, Value>> values_;
};

}  // namespace fathom::jinja
