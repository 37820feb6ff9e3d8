#include "chat/runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "chat/python_text.h"
#include "tokenizer/unicode.h"

namespace fathom::jinja {

void Runtime::fail(const std::string& message) const {
  throw FormatError(name_, fmt::format("line {}: {}", line, message));
}

void Runtime::fail_undefined(const Value& value) const {
  const auto& what = std::get<Undefined>(value).what;
  fail(what == nullptr ? "a value is undefined" : *what);
}

void Runtime::fail_steps() const {
  fail(fmt::format("the template takes more than {} steps; it may never end", limits_.steps));
}

void Runtime::take(size_t bytes) {
  // So that a length computed wrongly by a template does not wrap around.
  if (bytes > static_cast<size_t>(limits_.bytes) || bytes_ + static_cast<int64_t>(bytes) > limits_.bytes) {
    fail(fmt::format("the template needs more than {} MiB of memory", limits_.bytes >> 20));
  }
  bytes_ += static_cast<int64_t>(bytes);
}

void Runtime::check_output(size_t bytes) const {
  if (bytes > static_cast<size_t>(limits_.output)) {
    fail(fmt::format("the template writes more than {} MiB", limits_.output >> 20));
  }
}

void Runtime::enter() {
  // Counted before the check: the guard's destructor does not run when its constructor throws.
  if (depth_ >= limits_.depth) fail(fmt::format("more than {} levels of macros and expressions", limits_.depth));
  ++depth_;
}

Value Runtime::text(std::string text) {
  take(text.size());
  step_bytes(text.size());
  return std::make_shared<const Text>(std::move(text), this);
}

Value Runtime::undefined(std::string what) { return Undefined{std::make_shared<const std::string>(std::move(what))}; }

List* Runtime::list(std::vector<Value> items, ListKind kind) {
  take(items.size() * sizeof(Value));
  step(static_cast<int64_t>(items.size()));
  List* list = make<List>();
  list->items = std::move(items);
  list->kind = kind;
  return list;
}

Dict* Runtime::dict(std::vector<std::pair<Value, Value>> items) {
  take(items.size() * 2 * sizeof(Value));
  Dict* dict = make<Dict>();
  dict->items = std::move(items);
  return dict;
}

Namespace* Runtime::make_namespace() { return make<Namespace>(); }

Callable* Runtime::callable(std::string name, std::function<Value(Runtime&, Arguments&)> call) {
  Callable* callable = make<Callable>();
  callable->name = std::move(name);
  callable->call = std::move(call);
  return callable;
}

Loop* Runtime::loop(Loop::Source source) { return make<Loop>(std::move(source)); }

std::vector<Value> items_of(Runtime& runtime, const Value& value) {
  if (is_undefined(value)) return {};
  if (const std::string* text = as_text(value)) {
    std::vector<Value> out;
    const std::vector<std::string_view> parts = characters(*text);
    // Each is a string of its own.
    runtime.step(static_cast<int64_t>(parts.size()));
    for (std::string_view part : parts) out.push_back(runtime.text(std::string(part)));
    return out;
  }
  if (List* list = as<List>(value)) {
    runtime.step(static_cast<int64_t>(list->items.size()));
    return list->kind == ListKind::kGenerator ? std::exchange(list->items, {}) : list->items;
  }
  if (const Dict* dict = as<Dict>(value)) {
    std::vector<Value> out;
    runtime.step(static_cast<int64_t>(dict->items.size()));
    for (const auto& [key, item] : dict->items) out.push_back(key);
    return out;
  }
  runtime.fail(fmt::format("'{}' object is not iterable", type_name(value)));
}

std::optional<int64_t> length_of(const Value& value) {
  if (is_undefined(value)) return 0;
  if (const std::string* text = as_text(value)) return static_cast<int64_t>(text_length(*text));
  if (const Dict* dict = as<Dict>(value)) return static_cast<int64_t>(dict->items.size());
  const List* list = as<List>(value);
  if (list == nullptr || list->kind == ListKind::kGenerator) return std::nullopt;
  return static_cast<int64_t>(list->items.size());
}

namespace {

bool equal_lists(Runtime& runtime, const List& a, const List& b, int depth) {
  if (&a == &b) return true;
  const bool comparable = a.kind == b.kind && a.kind != ListKind::kGenerator && a.kind != ListKind::kValues;
  if (!comparable || a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!equal(runtime, a.items[i], b.items[i], depth + 1)) return false;
  }
  return true;
}

bool equal_dicts(Runtime& runtime, const Dict& a, const Dict& b, int depth) {
  if (&a == &b) return true;
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, value] : a.items) {
    const Value* other = find_key(runtime, b, key);
    if (other == nullptr || !equal(runtime, value, *other, depth + 1)) return false;
  }
  return true;
}

}  // namespace

bool equal(Runtime& runtime, const Value& a, const Value& b, int depth) {
  runtime.step();
  if (depth > kMaxValueDepth) runtime.fail("lists and objects are nested too deep to be compared");
  const auto number_a = as_number(a), number_b = as_number(b);
  if (number_a && number_b) {
    const auto integer_a = as_integer(a), integer_b = as_integer(b);
    return integer_a && integer_b ? *integer_a == *integer_b : *number_a == *number_b;
  }
  if (a.index() != b.index()) return false;
  if (const std::string* text = as_text(a)) {
    const std::string* other = as_text(b);
    if (text == other) return true;
    if (text->size() != other->size()) return false;
    runtime.step_bytes(text->size());
    return *text == *other;
  }
  if (const List* list = as<List>(a)) return equal_lists(runtime, *list, *as<List>(b), depth);
  if (const Dict* dict = as<Dict>(a)) return equal_dicts(runtime, *dict, *as<Dict>(b), depth);
  if (as<Namespace>(a) != nullptr) return as<Namespace>(a) == as<Namespace>(b);
  if (as<Callable>(a) != nullptr) return as<Callable>(a) == as<Callable>(b);
  if (as<Loop>(a) != nullptr) return as<Loop>(a) == as<Loop>(b);
  return true;  // two of None, two of undefined
}

int compare(Runtime& runtime, const Value& a, const Value& b, std::string_view op) {
  DepthGuard guard(runtime);
  runtime.step();
  if (is_undefined(a)) runtime.fail_undefined(a);
  if (is_undefined(b)) runtime.fail_undefined(b);
  if (const auto x = as_integer(a), y = as_integer(b); x && y) return *x < *y ? -1 : *x > *y ? 1 : 0;
  if (const auto x = as_number(a), y = as_number(b); x && y) return *x < *y ? -1 : *x > *y ? 1 : 0;
  if (const std::string* x = as_text(a), *y = as_text(b); x != nullptr && y != nullptr) {
    // UTF-8 sorts as its code points do.
    runtime.step_bytes(std::min(x->size(), y->size()));
    return x->compare(*y);
  }
  const List *x = as<List>(a), *y = as<List>(b);
  const bool lists =
      x != nullptr && y != nullptr && x->kind == y->kind && (x->kind == ListKind::kList || x->kind == ListKind::kTuple);
  if (!lists) {
    runtime.fail(fmt::format("'{}' not supported between instances of '{}' and '{}'", op, type_name(a), type_name(b)));
  }
  for (size_t i = 0; i < std::min(x->items.size(), y->items.size()); ++i) {
    if (!equal(runtime, x->items[i], y->items[i])) return compare(runtime, x->items[i], y->items[i], op);
  }
  return x->items.size() < y->items.size() ? -1 : x->items.size() > y->items.size() ? 1 : 0;
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  if (const std::string* text = as_text(container)) {
    const std::string* part = as_text(item);
    if (part == nullptr) {
      runtime.fail(fmt::format("'in <string>' requires string as left operand, not {}", type_name(item)));
    }
    runtime.step_bytes(text->size());
    return find_text(*text, *part) != std::string::npos;
  }
  if (const Dict* dict = as<Dict>(container)) return find_key(runtime, *dict, item) != nullptr;
  if (const List* list = as<List>(container); list == nullptr && !is_undefined(container)) {
    runtime.fail(fmt::format("argument of type '{}' is not iterable", type_name(container)));
  }
  return std::ranges::any_of(items_of(runtime, container), [&](const Value& v) { return equal(runtime, v, item); });
}

const Value* find_key(Runtime& runtime, const Dict& dict, const Value& key) {
  const List* list = as<List>(key);
  if (as<Dict>(key) != nullptr || (list != nullptr && list->kind == ListKind::kList)) {
    runtime.fail(fmt::format("unhashable type: '{}'", type_name(key)));
  }
  for (const auto& [name, value] : dict.items) {
    if (equal(runtime, name, key)) return &value;
  }
  return nullptr;
}

void set_key(Runtime& runtime, Dict& dict, const Value& key, Value value) {
  if (const Value* found = find_key(runtime, dict, key)) {
    const auto at = std::ranges::find_if(dict.items, [found](const auto& item) { return &item.second == found; });
    at->second = std::move(value);
    return;
  }
  runtime.take(2 * sizeof(Value));
  dict.items.emplace_back(key, std::move(value));
}

}  // namespace fathom::jinja
