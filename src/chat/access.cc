// Attributes, items, slices, and the functions that every template has.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "chat/builtins.h"
#include "chat/python_text.h"

namespace fathom::jinja {
namespace {

constexpr Integer kMaxRange = 100'000;  // of Jinja's sandbox

const Value* find_in(const Namespace& space, std::string_view name) {
  const auto found =
      std::ranges::find(space.items, name, [](const auto& item) { return std::string_view(item.first); });
  return found == space.items.end() ? nullptr : &found->second;
}

void require_open_name(Runtime& runtime, const std::string& name) {
  if (name.starts_with('_')) runtime.fail(fmt::format("'{}': names of a namespace do not begin with _", name));
}

// What object.name is without looking at keys; undefined where there is nothing.
Value own_attribute(Runtime& runtime, const Value& object, const std::string& name) {
  if (const Namespace* space = as<Namespace>(object)) {
    require_open_name(runtime, name);
    const Value* found = find_in(*space, name);
    return found == nullptr ? runtime.undefined(fmt::format("a namespace has no '{}'", name)) : *found;
  }
  if (Loop* loop = as<Loop>(object)) {
    if (auto value = loop->attribute(runtime, name)) return *value;
    return runtime.undefined(fmt::format("'loop' has no attribute '{}'", name));
  }
  if (const Callable* callable = as<Callable>(object); callable != nullptr && callable->is_macro && name == "name") {
    return runtime.text(callable->name);
  }
  return method(runtime, object, name);
}

Value element(Runtime& runtime, const Value& object, Integer index) {
  const auto length = length_of(object);
  if (!length) return runtime.undefined(fmt::format("'{}' object has no elements", type_name(object)));
  const Integer at = index < 0 ? index + *length : index;
  const auto missing = [&] { return runtime.undefined(fmt::format("there is no element {}", integer_text(index))); };
  if (at < 0 || at >= *length) return missing();
  if (const List* list = as<List>(object)) {
    const bool view =
        list->kind == ListKind::kKeys || list->kind == ListKind::kValues || list->kind == ListKind::kItems;
    return view ? missing() : list->items[static_cast<size_t>(at)];
  }
  const std::string& text = *as_text(object);
  runtime.step_bytes(text.size());
  return runtime.text(std::string(characters(text)[static_cast<size_t>(at)]));
}

}  // namespace

Value attribute(Runtime& runtime, const Value& object, const std::string& name) {
  if (is_undefined(object)) runtime.fail_undefined(object);
  // Python looks for a method of the name before a key; the sandbox hides those that would change the object.
  if (const Dict* dict = as<Dict>(object); dict != nullptr && !has_own_attribute(object, name)) {
    runtime.step(static_cast<int64_t>(dict->items.size()));
    for (const auto& [key, value] : dict->items) {
      const std::string* text = as_text(key);
      if (text != nullptr && *text == name) return value;
    }
  }
  return own_attribute(runtime, object, name);
}

Value item(Runtime& runtime, const Value& object, const Value& key) {
  if (is_undefined(object)) runtime.fail_undefined(object);
  const List* list = as<List>(key);
  const bool no_key = as<Dict>(key) != nullptr || (list != nullptr && list->kind != ListKind::kTuple);
  if (const Dict* dict = as<Dict>(object); dict != nullptr && !no_key) {
    if (const Value* found = find_key(runtime, *dict, key)) return *found;
  } else if (const auto index = as_integer(key); index && dict == nullptr) {
    return element(runtime, object, *index);
  }
  if (const std::string* name = as_text(key)) return own_attribute(runtime, object, *name);
  return runtime.undefined(fmt::format("'{}' object has no element {}", type_name(object), repr(runtime, key)));
}

namespace {

struct SliceRange {
  int64_t start, stride, count;
};

// As Python's slice.indices.
SliceRange slice_range(Runtime& runtime, int64_t length, const Value& start, const Value& stop, const Value& stride) {
  const auto part = [&](const Value& v) -> std::optional<Integer> {
    if (is_none(v)) return std::nullopt;
    const auto value = as_integer(v);
    if (!value) runtime.fail("slice indices must be integers or None");
    return value;
  };
  const Integer step = part(stride).value_or(1);
  if (step == 0) runtime.fail("slice step cannot be zero");
  const Integer lowest = step < 0 ? -1 : 0, highest = step < 0 ? length - 1 : length;
  const auto clipped = [&](std::optional<Integer> v, Integer otherwise) {
    if (!v) return otherwise;
    const Integer at = *v < 0 ? *v + length : *v;
    return std::clamp(at, lowest, std::max(lowest, highest));
  };
  const Integer first = clipped(part(start), step < 0 ? highest : lowest);
  const Integer last = clipped(part(stop), step < 0 ? lowest : highest);
  const Integer span = step < 0 ? first - last : last - first;
  const Integer width = step < 0 ? -step : step;
  const Integer count = span <= 0 ? 0 : (span - 1) / width + 1;
  return {static_cast<int64_t>(first), count <= 1 ? 1 : static_cast<int64_t>(step), static_cast<int64_t>(count)};
}

}  // namespace

Value slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop, const Value& stride) {
  if (is_undefined(object)) runtime.fail_undefined(object);
  const std::string* text = as_text(object);
  const List* list = as<List>(object);
  const bool whole = list != nullptr && (list->kind == ListKind::kList || list->kind == ListKind::kTuple ||
                                         list->kind == ListKind::kRange);
  if (text == nullptr && !whole) runtime.fail(fmt::format("'{}' object has no slices", type_name(object)));
  const SliceRange range = slice_range(runtime, *length_of(object), start, stop, stride);
  if (text != nullptr) {
    runtime.step_bytes(16 * text->size());
    const std::vector<std::string_view> parts = characters(*text);
    std::string out;
    for (int64_t i = 0; i < range.count; ++i) out += parts[static_cast<size_t>(range.start + i * range.stride)];
    return runtime.text(std::move(out));
  }
  std::vector<Value> items;
  for (int64_t i = 0; i < range.count; ++i) {
    items.push_back(list->items[static_cast<size_t>(range.start + i * range.stride)]);
  }
  List* out = runtime.list(std::move(items), list->kind);
  out->stride = list->stride * range.stride;
  out->start = list->start + list->stride * range.start;
  out->stop = out->start + out->stride * range.count;
  return out;
}

Parameters::Parameters(Runtime& runtime, std::string_view function, Arguments& arguments,
                       std::vector<std::string_view> names)
    : runtime_(runtime), function_(function) {
  if (arguments.positional.size() > names.size()) {
    runtime.fail(fmt::format("{}() takes at most {} argument(s)", function, names.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_.emplace_back(names[i], arguments.positional[i]);
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) fail(name, "is no argument of it");
    if (find(name) != nullptr) fail(name, "is given twice");
    values_.emplace_back(*found, value);
  }
}

void Parameters::fail(std::string_view name, std::string_view what) const {
  runtime_.fail(fmt::format("{}(): {} {}", function_, name, what));
}

const Value* Parameters::find(std::string_view name) const {
  const auto found = std::ranges::find(values_, name, [](const auto& item) { return item.first; });
  return found == values_.end() ? nullptr : &found->second;
}

const Value& Parameters::required(std::string_view name) const {
  const Value* value = find(name);
  if (value == nullptr) fail(name, "is missing");
  return *value;
}

std::string Parameters::text(std::string_view name) const {
  const std::string* text = as_text(required(name));
  if (text == nullptr) fail(name, fmt::format("must be str, not {}", type_name(required(name))));
  return *text;
}

std::string Parameters::text(std::string_view name, std::string_view default_value) const {
  return find(name) == nullptr ? std::string(default_value) : text(name);
}

std::optional<std::string> Parameters::optional_text(std::string_view name) const {
  const Value* value = find(name);
  if (value == nullptr || is_none(*value)) return std::nullopt;
  return text(name);
}

int64_t Parameters::integer(std::string_view name, int64_t default_value) const {
  const Value* value = find(name);
  if (value == nullptr || is_none(*value)) return default_value;
  const auto integer = as_integer(*value);
  if (!integer) fail(name, fmt::format("must be int, not {}", type_name(*value)));
  // Lengths and places: beyond these the answer is the same.
  constexpr Integer kMost = Integer{1} << 60;
  return static_cast<int64_t>(std::clamp(*integer, -kMost, kMost));
}

bool Parameters::boolean(std::string_view name, bool default_value) const {
  const Value* value = find(name);
  return value == nullptr ? default_value : truth(*value);
}

namespace {

Value make_range(Runtime& runtime, Arguments& arguments) {
  std::vector<Integer> parts;
  for (const Value& v : arguments.positional) {
    if (is_undefined(v)) runtime.fail_undefined(v);
    const auto part = as_integer(v);
    if (!part) runtime.fail(fmt::format("'{}' object cannot be interpreted as an integer", type_name(v)));
    parts.push_back(*part);
  }
  if (parts.empty() || parts.size() > 3 || !arguments.named.empty()) runtime.fail("range() takes 1 to 3 integers");
  if (parts.size() == 1) parts.insert(parts.begin(), 0);
  if (parts.size() == 2) parts.push_back(1);
  const Integer start = parts[0], stop = parts[1], step = parts[2];
  if (step == 0) runtime.fail("range() arg 3 must not be zero");
  // Far ends, so that the difference has a place.
  constexpr Integer kFar = Integer{1} << 100;
  if (start > kFar || start < -kFar || stop > kFar || stop < -kFar) runtime.fail("range() of too large numbers");
  const Integer span = step > 0 ? stop - start : start - stop;
  const Integer count = span <= 0 ? 0 : (span - 1) / (step > 0 ? step : -step) + 1;
  if (count > kMaxRange) runtime.fail(fmt::format("range() of more than {} numbers", integer_text(kMaxRange)));
  std::vector<Value> items;
  for (Integer i = 0; i < count; ++i) items.emplace_back(start + i * step);
  List* list = runtime.list(std::move(items), ListKind::kRange);
  list->start = start;
  list->stop = stop;
  list->stride = step;
  return list;
}

// Keys and values of dict(...) and namespace(...).
std::vector<std::pair<Value, Value>> entries_of(Runtime& runtime, std::string_view function, Arguments& arguments) {
  std::vector<std::pair<Value, Value>> out;
  if (arguments.positional.size() > 1) runtime.fail(fmt::format("{}() takes one object", function));
  if (!arguments.positional.empty()) {
    const Value& from = arguments.positional[0];
    if (const Dict* dict = as<Dict>(from)) {
      out = dict->items;
    } else {
      for (const Value& pair : items_of(runtime, from)) {
        std::vector<Value> two = items_of(runtime, pair);
        if (two.size() != 2) runtime.fail(fmt::format("{}() needs pairs", function));
        out.emplace_back(std::move(two[0]), std::move(two[1]));
      }
    }
  }
  for (auto& [name, value] : arguments.named) out.emplace_back(runtime.text(name), value);
  return out;
}

Value make_namespace(Runtime& runtime, Arguments& arguments) {
  Namespace* out = runtime.make_namespace();
  for (auto& [key, value] : entries_of(runtime, "namespace", arguments)) {
    const std::string* name = as_text(key);
    if (name == nullptr) runtime.fail("names of a namespace are strings");
    require_open_name(runtime, *name);
    runtime.step(static_cast<int64_t>(out->items.size()));
    std::erase_if(out->items, [&](const auto& item) { return item.first == *name; });
    out->items.emplace_back(*name, std::move(value));
  }
  return out;
}

Value make_dict(Runtime& runtime, Arguments& arguments) {
  Dict* out = runtime.dict();
  for (auto& [key, value] : entries_of(runtime, "dict", arguments)) set_key(runtime, *out, key, std::move(value));
  return out;
}

Value raise_exception(Runtime& runtime, Arguments& arguments) {
  const Parameters parameters(runtime, "raise_exception", arguments, {"message"});
  runtime.fail("the template refuses: " + to_text(runtime, parameters.required("message")));
}

// The local time, as Python's datetime.now().strftime writes it.
Value strftime_now(Runtime& runtime, Arguments& arguments) {
  const std::string format = Parameters(runtime, "strftime_now", arguments, {"format"}).text("format");
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::string out(256 + 16 * format.size(), '\0');
  runtime.take(out.size());
  // The blank keeps an empty result from looking like one that has no room.
  const size_t written = std::strftime(out.data(), out.size(), (format + " ").c_str(), &local);
  runtime.give_back(out.size());
  if (written == 0) runtime.fail("strftime_now(): a format that gives too long a text");
  out.resize(written - 1);
  return runtime.text(std::move(out));
}

Value joiner(Runtime& runtime, Arguments& arguments) {
  const Parameters parameters(runtime, "joiner", arguments, {"sep"});
  return runtime.callable(
      "joiner", [separator = parameters.text("sep", ", "), used = false](Runtime& rt, Arguments&) mutable -> Value {
        return rt.text(std::exchange(used, true) ? separator : "");
      });
}

}  // namespace

Value global(Runtime& runtime, const std::string& name) {
  using Function = Value (*)(Runtime&, Arguments&);
  constexpr std::pair<std::string_view, Function> kFunctions[] = {
      {"range", make_range}, {"namespace", make_namespace},        {"dict", make_dict},
      {"joiner", joiner},    {"raise_exception", raise_exception}, {"strftime_now", strftime_now}};
  const auto found = std::ranges::find(kFunctions, name, [](const auto& row) { return row.first; });
  if (found == std::end(kFunctions)) return runtime.undefined(fmt::format("'{}' is undefined", name));
  return runtime.callable(name, found->second);
}

}  // namespace fathom::jinja
