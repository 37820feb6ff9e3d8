// Filters of lists and objects.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "chat/filters.h"
#include "chat/python_text.h"

namespace fathom::jinja {

Value attribute_of(Runtime& runtime, const Value& object, const Value& path) {
  const std::string* text = as_text(path);
  if (text == nullptr) return item(runtime, object, path);
  Value out = object;
  for (std::string& part : split(*text, ".", -1, false)) {
    int64_t index = 0;
    const char* end = part.data() + part.size();
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos &&
                        std::from_chars(part.data(), end, index).ec == std::errc();
    out = item(runtime, out, number ? Value(Integer{index}) : runtime.text(part));
  }
  return out;
}

namespace {

// The value itself, or its attribute where the call names one.
Value keyed(Runtime& runtime, const Value& value, const Value* path) {
  return path == nullptr || is_none(*path) ? value : attribute_of(runtime, value, *path);
}

Value without_case(Runtime& runtime, Value value) {
  const std::string* text = as_text(value);
  return text == nullptr ? std::move(value) : runtime.text(lower(*text));
}

Value length_filter(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters none(runtime, "length", arguments, {});
  const auto length = length_of(subject);
  if (!length) runtime.fail(fmt::format("object of type '{}' has no len()", type_name(subject)));
  return Integer{*length};
}

Value list_filter(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters none(runtime, "list", arguments, {});
  return runtime.list(items_of(runtime, subject));
}

Value first(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters none(runtime, "first", arguments, {});
  if (List* list = as<List>(subject); list != nullptr && list->kind == ListKind::kGenerator && !list->items.empty()) {
    Value out = list->items.front();
    list->items.erase(list->items.begin());
    return out;
  }
  const std::vector<Value> items = items_of(runtime, subject);
  return items.empty() ? runtime.undefined("No first item, sequence was empty.") : items.front();
}

Value last(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters none(runtime, "last", arguments, {});
  if (const List* list = as<List>(subject); list != nullptr && list->kind == ListKind::kGenerator) {
    runtime.fail("'generator' object is not reversible");
  }
  const std::vector<Value> items = items_of(runtime, subject);
  return items.empty() ? runtime.undefined("No last item, sequence was empty.") : items.back();
}

Value reverse(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters none(runtime, "reverse", arguments, {});
  if (as_text(subject) != nullptr) return slice(runtime, subject, None{}, None{}, Integer{-1});
  const List* list = as<List>(subject);
  // What can be read in one direction alone becomes a list, all else is gone through backwards.
  const ListKind kind = list != nullptr && list->kind == ListKind::kGenerator ? ListKind::kList : ListKind::kGenerator;
  std::vector<Value> items = items_of(runtime, subject);
  std::ranges::reverse(items);
  return runtime.list(std::move(items), kind);
}

Value join(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "join", arguments, {"d", "attribute"});
  const Value* given = parameters.find("d");
  const std::string separator = given == nullptr ? "" : to_text(runtime, *given);
  size_t taken = 0;
  std::string out;
  bool between = false;
  for (const Value& value : items_of(runtime, subject)) {
    const std::string part = to_text(runtime, keyed(runtime, value, parameters.find("attribute")));
    const size_t size = part.size() + separator.size();
    runtime.take(size);
    taken += size;
    if (std::exchange(between, true)) out += separator;
    out += part;
  }
  runtime.give_back(taken);
  return runtime.text(std::move(out));
}

Value default_filter(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "default", arguments, {"default_value", "boolean"});
  const bool missing = is_undefined(subject) || (parameters.boolean("boolean", false) && !truth(subject));
  if (!missing) return subject;
  const Value* value = parameters.find("default_value");
  return value == nullptr ? runtime.text("") : *value;
}

// A list of the attributes that `path` names, with commas between them, or of the value alone: lists of what is
// undefined are equal, where undefined values themselves have no order.
Value sort_key(Runtime& runtime, const Value& value, const Value* path, bool case_sensitive) {
  std::vector<Value> keys;
  const std::string* text = path == nullptr ? nullptr : as_text(*path);
  if (text == nullptr) {
    keys.push_back(keyed(runtime, value, path));
  } else {
    for (std::string& part : split(*text, ",", -1, false)) {
      keys.push_back(attribute_of(runtime, value, runtime.text(std::move(part))));
    }
  }
  for (Value& key : keys) {
    if (!case_sensitive) key = without_case(runtime, std::move(key));
  }
  return runtime.list(std::move(keys));
}

struct Keyed {
  Value key, value;
};

// Stable, as Python's; equal ones keep their order in the reverse too.
void sort_by_key(Runtime& runtime, std::vector<Keyed>& items, bool reverse) {
  std::ranges::stable_sort(items, [&](const Keyed& a, const Keyed& b) {
    return reverse ? compare(runtime, b.key, a.key, "<") < 0 : compare(runtime, a.key, b.key, "<") < 0;
  });
}

Value sort(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const bool case_sensitive = parameters.boolean("case_sensitive", false);
  std::vector<Keyed> items;
  for (Value& value : items_of(runtime, subject)) {
    Value key = sort_key(runtime, value, parameters.find("attribute"), case_sensitive);
    items.push_back({std::move(key), std::move(value)});
  }
  sort_by_key(runtime, items, parameters.boolean("reverse", false));
  std::vector<Value> out;
  for (Keyed& one : items) out.push_back(std::move(one.value));
  return runtime.list(std::move(out));
}

Value dictsort(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string by = parameters.text("by", "key");
  if (by != "key" && by != "value") runtime.fail("dictsort(): by is 'key' or 'value'");
  const Dict* dict = as<Dict>(subject);
  if (dict == nullptr) runtime.fail(fmt::format("dictsort needs an object, not {}", type_name(subject)));
  const bool case_sensitive = parameters.boolean("case_sensitive", false);
  std::vector<Keyed> items;
  for (const auto& [name, value] : dict->items) {
    Value key = by == "key" ? name : value;
    if (!case_sensitive) key = without_case(runtime, std::move(key));
    items.push_back({std::move(key), runtime.list({name, value}, ListKind::kTuple)});
  }
  sort_by_key(runtime, items, parameters.boolean("reverse", false));
  std::vector<Value> out;
  for (Keyed& one : items) out.push_back(std::move(one.value));
  return runtime.list(std::move(out));
}

Value items_filter(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters none(runtime, "items", arguments, {});
  std::vector<Value> out;
  const Dict* dict = as<Dict>(subject);
  if (dict == nullptr && !is_undefined(subject)) runtime.fail("Can only get item pairs from a mapping.");
  if (dict != nullptr) {
    for (const auto& [key, value] : dict->items) out.emplace_back(runtime.list({key, value}, ListKind::kTuple));
  }
  return runtime.list(std::move(out), ListKind::kGenerator);
}

Value unique(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "unique", arguments, {"case_sensitive", "attribute"});
  Dict* seen = runtime.dict();
  std::vector<Value> out;
  for (Value& value : items_of(runtime, subject)) {
    Value key = keyed(runtime, value, parameters.find("attribute"));
    if (!parameters.boolean("case_sensitive", false)) key = without_case(runtime, std::move(key));
    if (find_key(runtime, *seen, key) != nullptr) continue;
    set_key(runtime, *seen, key, true);
    out.push_back(std::move(value));
  }
  return runtime.list(std::move(out), ListKind::kGenerator);
}

template <bool kLargest>
Value extreme(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, kLargest ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const bool case_sensitive = parameters.boolean("case_sensitive", false);
  std::optional<Keyed> best;
  for (Value& value : items_of(runtime, subject)) {
    Value key = keyed(runtime, value, parameters.find("attribute"));
    if (!case_sensitive) key = without_case(runtime, std::move(key));
    const bool better =
        !best || (kLargest ? compare(runtime, key, best->key, ">") > 0 : compare(runtime, key, best->key, "<") < 0);
    if (better) best = Keyed{std::move(key), std::move(value)};
  }
  return best ? best->value : runtime.undefined("No aggregated item, sequence was empty.");
}

Value sum(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "sum", arguments, {"attribute", "start"});
  const Value* start = parameters.find("start");
  Value out = start == nullptr ? Value(Integer{0}) : *start;
  if (as_text(out) != nullptr) runtime.fail("sum() can't sum strings");
  for (const Value& value : items_of(runtime, subject)) {
    out = binary(runtime, "+", out, keyed(runtime, value, parameters.find("attribute")));
  }
  return out;
}

// The name of a filter or test that stands as the first argument; takes it out.
std::string take_name(Runtime& runtime, std::string_view of, Arguments& arguments) {
  const std::string* name = arguments.positional.empty() ? nullptr : as_text(arguments.positional[0]);
  if (name == nullptr) runtime.fail(fmt::format("{} needs a name", of));
  std::string out = *name;
  arguments.positional.erase(arguments.positional.begin());
  return out;
}

// Of map and select: what is false is nothing to go over, whatever it is.
std::vector<Value> items_if_true(Runtime& runtime, const Value& subject) {
  return truth(subject) ? items_of(runtime, subject) : std::vector<Value>();
}

Value map(Runtime& runtime, const Value& subject, Arguments& arguments) {
  std::vector<Value> out;
  if (arguments.positional.empty() && !arguments.named.empty()) {
    const Parameters parameters(runtime, "map", arguments, {"attribute", "default"});
    const Value& path = parameters.required("attribute");
    for (const Value& value : items_if_true(runtime, subject)) {
      Value attribute = attribute_of(runtime, value, path);
      const Value* otherwise = parameters.find("default");
      if (is_undefined(attribute) && otherwise != nullptr) attribute = *otherwise;
      out.push_back(std::move(attribute));
    }
    return runtime.list(std::move(out), ListKind::kGenerator);
  }
  const std::string name = take_name(runtime, "map", arguments);
  const FilterRow* filter = find_filter(name);
  if (filter == nullptr) runtime.fail(fmt::format("unknown filter '{}'", name));
  for (const Value& value : items_if_true(runtime, subject)) {
    Arguments own = arguments;
    out.push_back(filter->apply(runtime, value, own));
  }
  return runtime.list(std::move(out), ListKind::kGenerator);
}

template <bool kKeep, bool kAttribute>
Value choose(Runtime& runtime, const Value& subject, Arguments& arguments) {
  Value path = None{};
  if (kAttribute) {
    if (arguments.positional.empty()) runtime.fail("selectattr needs the name of an attribute");
    path = arguments.positional[0];
    arguments.positional.erase(arguments.positional.begin());
  }
  const TestRow* test = nullptr;
  if (!arguments.positional.empty()) {
    const std::string name = take_name(runtime, "select", arguments);
    test = find_test(name);
    if (test == nullptr) runtime.fail(fmt::format("unknown test '{}'", name));
  }
  std::vector<Value> out;
  for (Value& value : items_if_true(runtime, subject)) {
    const Value tested = kAttribute ? attribute_of(runtime, value, path) : value;
    Arguments own = arguments;
    const bool holds = test == nullptr ? truth(tested) : test->holds(runtime, tested, own);
    if (holds == kKeep) out.push_back(std::move(value));
  }
  return runtime.list(std::move(out), ListKind::kGenerator);
}

Value attr(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const std::string name = Parameters(runtime, "attr", arguments, {"name"}).text("name");
  if (as<Dict>(subject) != nullptr) return method(runtime, subject, name);
  return attribute(runtime, subject, name);
}

Value batch(Runtime& runtime, const Value& subject, Arguments& arguments) {
  const Parameters parameters(runtime, "batch", arguments, {"linecount", "fill_with"});
  parameters.required("linecount");
  const int64_t width = std::max<int64_t>(1, parameters.integer("linecount", 1));
  const Value* fill = parameters.find("fill_with");
  std::vector<Value> out, row;
  for (Value& value : items_of(runtime, subject)) {
    if (static_cast<int64_t>(row.size()) == width) out.emplace_back(runtime.list(std::exchange(row, {})));
    row.push_back(std::move(value));
  }
  if (!row.empty() && fill != nullptr && !is_none(*fill)) {
    runtime.take(static_cast<size_t>(width) * sizeof(Value));
    while (static_cast<int64_t>(row.size()) < width) row.push_back(*fill);
  }
  if (!row.empty()) out.emplace_back(runtime.list(std::move(row)));
  return runtime.list(std::move(out), ListKind::kGenerator);
}

constexpr FilterRow kFilters[] = {
    {"length", length_filter},
    {"count", length_filter},
    {"list", list_filter},
    {"first", first},
    {"last", last},
    {"reverse", reverse},
    {"join", join},
    {"default", default_filter},
    {"d", default_filter},
    {"sort", sort},
    {"dictsort", dictsort},
    {"items", items_filter},
    {"unique", unique},
    {"min", extreme<false>},
    {"max", extreme<true>},
    {"sum", sum},
    {"map", map},
    {"select", choose<true, false>},
    {"reject", choose<false, false>},
    {"selectattr", choose<true, true>},
    {"rejectattr", choose<false, true>},
    {"attr", attr},
    {"batch", batch},
};

}  // namespace

std::span<const FilterRow> list_filters() { return kFilters; }

const FilterRow* find_filter(std::string_view name) {
  for (std::span<const FilterRow> rows : {text_filters(), list_filters()}) {
    const auto found = std::ranges::find(rows, name, &FilterRow::name);
    if (found != rows.end()) return &*found;
  }
  return nullptr;
}

}  // namespace fathom::jinja
