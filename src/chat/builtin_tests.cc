// What stands behind `is`.
#include <algorithm>

#include "chat/builtins.h"
#include "chat/python_text.h"

namespace fathom::jinja {
namespace {

using Holds = bool (*)(const Value&);

// A test without arguments.
template <Holds H>
bool plain(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters none(runtime, "the test", arguments, {});
  return H(value);
}

constexpr char kEqual[] = "==", kUnequal[] = "!=", kLess[] = "<", kLessOrEqual[] = "<=", kGreater[] = ">",
               kGreaterOrEqual[] = ">=", kIn[] = "in";

template <const char* Op>
bool compared(Runtime& runtime, const Value& value, Arguments& arguments) {
  if (arguments.positional.size() != 1 || !arguments.named.empty()) runtime.fail("the test needs one value");
  return compares(runtime, Op, value, arguments.positional[0]);
}

bool is_defined(const Value& v) { return !is_undefined(v); }
bool is_true(const Value& v) { return std::holds_alternative<bool>(v) && std::get<bool>(v); }
bool is_false(const Value& v) { return std::holds_alternative<bool>(v) && !std::get<bool>(v); }
bool is_boolean(const Value& v) { return std::holds_alternative<bool>(v); }
bool is_integer(const Value& v) { return std::holds_alternative<Integer>(v); }
bool is_float(const Value& v) { return std::holds_alternative<double>(v); }
bool is_number(const Value& v) { return as_number(v).has_value(); }
bool is_string(const Value& v) { return as_text(v) != nullptr; }
bool is_mapping(const Value& v) { return as<Dict>(v) != nullptr; }
bool is_callable(const Value& v) { return is_undefined(v) || as<Callable>(v) != nullptr || as<Loop>(v) != nullptr; }
bool is_sequence(const Value& v) {
  const List* list = as<List>(v);
  if (list == nullptr) return is_undefined(v) || is_string(v) || is_mapping(v);
  return list->kind == ListKind::kList || list->kind == ListKind::kTuple || list->kind == ListKind::kRange;
}
bool is_iterable(const Value& v) {
  return is_undefined(v) || is_string(v) || is_mapping(v) || as<List>(v) != nullptr || as<Loop>(v) != nullptr;
}
bool never(const Value&) { return false; }

template <bool (*F)(std::string_view)>
bool of_text(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters none(runtime, "the test", arguments, {});
  return F(to_text(runtime, value));
}

bool divisible(Runtime& runtime, const Value& value, const Value& by) {
  const Value rest = binary(runtime, "%", value, by);
  return as_number(rest) && *as_number(rest) == 0;
}

bool divisible_by(Runtime& runtime, const Value& value, Arguments& arguments) {
  return divisible(runtime, value, Parameters(runtime, "divisibleby", arguments, {"num"}).required("num"));
}

template <int kRest>
bool parity(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters none(runtime, "the test", arguments, {});
  return equal(runtime, binary(runtime, "%", value, Integer{2}), Integer{kRest});
}

template <bool kFilter>
bool is_known(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters none(runtime, "the test", arguments, {});
  const std::string* name = as_text(value);
  return name != nullptr && (kFilter ? find_filter(*name) != nullptr : find_test(*name) != nullptr);
}

// Python's `is`: the same object; of values that are no objects here, the same value of the same type.
bool same_as(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "sameas", arguments, {"other"});
  const Value& other = parameters.required("other");
  if (value.index() != other.index()) return false;
  if (as<List>(value) != nullptr) return as<List>(value) == as<List>(other);
  if (as<Dict>(value) != nullptr) return as<Dict>(value) == as<Dict>(other);
  return equal(runtime, value, other);
}

constexpr TestRow kTests[] = {
    {"defined", plain<is_defined>},
    {"undefined", plain<is_undefined>},
    {"none", plain<is_none>},
    {"true", plain<is_true>},
    {"false", plain<is_false>},
    {"boolean", plain<is_boolean>},
    {"integer", plain<is_integer>},
    {"float", plain<is_float>},
    {"number", plain<is_number>},
    {"string", plain<is_string>},
    {"mapping", plain<is_mapping>},
    {"sequence", plain<is_sequence>},
    {"iterable", plain<is_iterable>},
    {"callable", plain<is_callable>},
    {"escaped", plain<never>},
    {"upper", of_text<is_upper>},
    {"lower", of_text<is_lower>},
    {"odd", parity<1>},
    {"even", parity<0>},
    {"divisibleby", divisible_by},
    {"sameas", same_as},
    {"filter", is_known<true>},
    {"test", is_known<false>},
    {"in", compared<kIn>},
    {"==", compared<kEqual>},
    {"eq", compared<kEqual>},
    {"equalto", compared<kEqual>},
    {"!=", compared<kUnequal>},
    {"ne", compared<kUnequal>},
    {"<", compared<kLess>},
    {"lt", compared<kLess>},
    {"lessthan", compared<kLess>},
    {"<=", compared<kLessOrEqual>},
    {"le", compared<kLessOrEqual>},
    {">", compared<kGreater>},
    {"gt", compared<kGreater>},
    {"greaterthan", compared<kGreater>},
    {">=", compared<kGreaterOrEqual>},
    {"ge", compared<kGreaterOrEqual>},
};

}  // namespace

const TestRow* find_test(std::string_view name) {
  const auto found = std::ranges::find(kTests, name, &TestRow::name);
  return found == std::end(kTests) ? nullptr : &*found;
}

}  // namespace fathom::jinja
