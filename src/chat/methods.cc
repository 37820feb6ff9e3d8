// Methods of strings, lists and objects.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "chat/builtins.h"
#include "chat/python_text.h"
#include "tokenizer/unicode.h"

namespace fathom::jinja {
namespace {

using Method = Value (*)(Runtime&, const Value&, Arguments&);
struct MethodRow {
  std::string_view name;
  Method call;
};

const std::string& text_of(const Value& v) { return *as_text(v); }

Value text_list(Runtime& runtime, std::vector<std::string> parts, ListKind kind = ListKind::kList) {
  std::vector<Value> out;
  for (std::string& part : parts) out.push_back(runtime.text(std::move(part)));
  return runtime.list(std::move(out), kind);
}

void no_arguments(Runtime& runtime, std::string_view name, Arguments& arguments) {
  const Parameters none(runtime, name, arguments, {});
}

template <std::string (*F)(std::string_view)>
Value mapped(Runtime& runtime, const Value& self, Arguments& arguments) {
  no_arguments(runtime, "the method", arguments);
  runtime.step_bytes(8 * text_of(self).size());
  return runtime.text(F(text_of(self)));
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (std::string_view c : characters(text)) out += is_upper(c) ? lower(c) : upper(c);
  return out;
}

template <Side S>
Value stripped(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Parameters parameters(runtime, "strip", arguments, {"chars"});
  const auto set = parameters.optional_text("chars");
  runtime.step_bytes(text_of(self).size() * (1 + (set ? set->size() : 0)));
  return runtime.text(std::string(strip(text_of(self), S, set)));
}

template <bool kFromRight>
Value split_method(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Parameters parameters(runtime, "split", arguments, {"sep", "maxsplit"});
  const auto separator = parameters.optional_text("sep");
  if (separator && separator->empty()) runtime.fail("empty separator");
  runtime.step_bytes(8 * text_of(self).size());
  // As many strings as there are characters, at most.
  const size_t most = text_of(self).size() * (sizeof(std::string) + sizeof(Value));
  runtime.take(most);
  std::vector<std::string> parts = split(text_of(self), separator, parameters.integer("maxsplit", -1), kFromRight);
  runtime.give_back(most);
  return text_list(runtime, std::move(parts));
}

Value splitlines(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Parameters parameters(runtime, "splitlines", arguments, {"keepends"});
  runtime.step_bytes(8 * text_of(self).size());
  return text_list(runtime, split_lines(text_of(self), parameters.boolean("keepends", false)));
}

// The part of a string between two places in characters; where it begins in bytes.
std::pair<std::string_view, size_t> window(const std::string& text, const Parameters& parameters) {
  const auto length = static_cast<int64_t>(text_length(text));
  const auto place = [&](std::string_view name, int64_t otherwise) {
    const int64_t at = parameters.integer(name, otherwise);
    return std::clamp<int64_t>(at < 0 ? at + length : at, 0, length);
  };
  const int64_t begin = place("start", 0), end = std::max(begin, place("end", length));
  size_t first = 0, at = 0;
  for (int64_t i = 0; i < end; ++i) {
    if (i == begin) first = at;
    at += utf8_length(text[at]);
  }
  if (begin == end) first = at;
  return {std::string_view(text).substr(first, at - first), first};
}

template <bool kStart>
Value has_edge(Runtime& runtime, const Value& self, Arguments& arguments) {
  const std::string_view name = kStart ? "startswith" : "endswith";
  const Parameters parameters(runtime, name, arguments, {"prefix", "start", "end"});
  const Value& edge = parameters.required("prefix");
  std::vector<Value> edges = {edge};
  if (const List* list = as<List>(edge); list != nullptr && list->kind == ListKind::kTuple) edges = list->items;
  runtime.step_bytes(text_of(self).size());
  const std::string_view text = window(text_of(self), parameters).first;
  for (const Value& e : edges) {
    const std::string* one = as_text(e);
    if (one == nullptr) runtime.fail(fmt::format("{}() needs str or a tuple of str, not {}", name, type_name(e)));
    runtime.step_bytes(one->size());
    if (kStart ? text.starts_with(*one) : text.ends_with(*one)) return true;
  }
  return false;
}

template <bool kLast, bool kRequired>
Value find_method(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Parameters parameters(runtime, kLast ? "rfind" : "find", arguments, {"sub", "start", "end"});
  runtime.step_bytes(4 * text_of(self).size());
  const auto [text, begin] = window(text_of(self), parameters);
  const std::string part = parameters.text("sub");
  const size_t found = kLast ? find_last_text(text, part) : find_text(text, part);
  if (found != std::string::npos) {
    return static_cast<Integer>(text_length(std::string_view(text_of(self)).substr(0, begin + found)));
  }
  if (kRequired) runtime.fail("substring not found");
  return Integer{-1};
}

Value count_method(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Parameters parameters(runtime, "count", arguments, {"sub", "start", "end"});
  runtime.step_bytes(4 * text_of(self).size());
  const std::string_view text = window(text_of(self), parameters).first;
  const std::string part = parameters.text("sub");
  if (part.empty()) return static_cast<Integer>(text_length(text) + 1);
  Integer count = 0;
  for (size_t at = find_text(text, part); at != std::string::npos; at = find_text(text, part, at + part.size()))
    ++count;
  return count;
}

Value replace_method(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Parameters parameters(runtime, "replace", arguments, {"old", "new", "count"});
  return runtime.text(
      replace(runtime, text_of(self), parameters.text("old"), parameters.text("new"), parameters.integer("count", -1)));
}

Value join_method(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Parameters parameters(runtime, "join", arguments, {"iterable"});
  const Value& items = parameters.required("iterable");
  if (is_undefined(items)) return runtime.text("");
  size_t size = 0;
  const std::vector<Value> parts = items_of(runtime, items);
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string* part = as_text(parts[i]);
    if (part == nullptr) {
      runtime.fail(fmt::format("sequence item {}: expected str instance, {} found", i, type_name(parts[i])));
    }
    size += part->size() + text_of(self).size();
  }
  runtime.take(size);
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) out.append(i > 0 ? text_of(self) : "").append(*as_text(parts[i]));
  runtime.give_back(size);
  return runtime.text(std::move(out));
}

template <bool kLast>
Value partition(Runtime& runtime, const Value& self, Arguments& arguments) {
  const std::string separator = Parameters(runtime, "partition", arguments, {"sep"}).text("sep");
  if (separator.empty()) runtime.fail("empty separator");
  const std::string& text = text_of(self);
  runtime.step_bytes(4 * text.size());
  const size_t found = kLast ? find_last_text(text, separator) : find_text(text, separator);
  std::vector<std::string> parts =
      kLast ? std::vector<std::string>{"", "", text} : std::vector<std::string>{text, "", ""};
  if (found != std::string::npos) parts = {text.substr(0, found), separator, text.substr(found + separator.size())};
  return text_list(runtime, std::move(parts), ListKind::kTuple);
}

template <bool kPrefix>
Value remove_edge(Runtime& runtime, const Value& self, Arguments& arguments) {
  const std::string edge = Parameters(runtime, "removeprefix", arguments, {"prefix"}).text("prefix");
  std::string_view text = text_of(self);
  if (kPrefix && text.starts_with(edge)) text.remove_prefix(edge.size());
  if (!kPrefix && text.ends_with(edge)) text.remove_suffix(edge.size());
  return runtime.text(std::string(text));
}

enum class Pad : uint8_t { kLeft, kRight, kCenter };
template <Pad P>
Value padded(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Parameters parameters(runtime, "the method", arguments, {"width", "fillchar"});
  const std::string fill = parameters.text("fillchar", " ");
  if (text_length(fill) != 1) runtime.fail("the fill character must be exactly one character long");
  parameters.required("width");
  const int64_t width = parameters.integer("width", 0);
  const int64_t missing = std::max<int64_t>(0, width - static_cast<int64_t>(text_length(text_of(self))));
  const size_t bytes = static_cast<size_t>(missing) * fill.size();
  runtime.take(bytes);
  const int64_t before = P == Pad::kLeft ? missing : P == Pad::kRight ? 0 : missing / 2 + (missing & width & 1);
  std::string out;
  for (int64_t i = 0; i < before; ++i) out += fill;
  out += text_of(self);
  for (int64_t i = before; i < missing; ++i) out += fill;
  runtime.give_back(bytes);
  return runtime.text(std::move(out));
}

Value zfill(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Parameters parameters(runtime, "zfill", arguments, {"width"});
  parameters.required("width");
  const std::string& text = text_of(self);
  const int64_t missing = parameters.integer("width", 0) - static_cast<int64_t>(text_length(text));
  if (missing <= 0) return self;
  runtime.take(static_cast<size_t>(missing));
  const size_t sign = text.starts_with('+') || text.starts_with('-') ? 1 : 0;
  std::string out = text.substr(0, sign) + std::string(static_cast<size_t>(missing), '0') + text.substr(sign);
  runtime.give_back(static_cast<size_t>(missing));
  return runtime.text(std::move(out));
}

Value format_method(Runtime& runtime, const Value& self, Arguments& arguments) {
  return runtime.text(brace_format(runtime, text_of(self), arguments));
}

bool is_in_categories(uint32_t c, std::initializer_list<std::string_view> names) {
  static const CodePointSet letters = *category_set("L"), decimals = *category_set("Nd");
  return std::ranges::any_of(
      names, [c](std::string_view name) { return name == "L" ? letters.contains(c) : decimals.contains(c); });
}

bool is_superscript_digit(uint32_t c) {
  return c == 0xb2 || c == 0xb3 || c == 0xb9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079) ||
         (c >= 0x2080 && c <= 0x2089);
}

enum class Of : uint8_t { kLetters, kDigits, kDecimals, kBoth, kSpace, kAscii };
template <Of O>
Value consists_of(Runtime& runtime, const Value& self, Arguments& arguments) {
  no_arguments(runtime, "the method", arguments);
  const std::string& text = text_of(self);
  runtime.step_bytes(8 * text.size());
  if (text.empty()) return O == Of::kAscii;
  return std::ranges::all_of(characters(text), [](std::string_view character) {
    const uint32_t c = decode_utf8(character.data());
    switch (O) {
      case Of::kLetters:
        return is_in_categories(c, {"L"});
      case Of::kDigits:
        return is_in_categories(c, {"Nd"}) || is_superscript_digit(c);
      case Of::kDecimals:
        return is_in_categories(c, {"Nd"});
      case Of::kBoth:
        return is_in_categories(c, {"L", "Nd"}) || is_superscript_digit(c);
      case Of::kSpace:
        return is_space(c);
      default:
        return c < 0x80;
    }
  });
}

template <bool (*F)(std::string_view)>
Value holds_for(Runtime& runtime, const Value& self, Arguments& arguments) {
  no_arguments(runtime, "the method", arguments);
  runtime.step_bytes(8 * text_of(self).size());
  return F(text_of(self));
}

constexpr MethodRow kTextMethods[] = {
    {"upper", mapped<upper>},
    {"lower", mapped<lower>},
    {"casefold", mapped<lower>},
    {"title", mapped<title>},
    {"capitalize", mapped<capitalize>},
    {"swapcase", mapped<swap_case>},
    {"strip", stripped<Side::kBoth>},
    {"lstrip", stripped<Side::kLeft>},
    {"rstrip", stripped<Side::kRight>},
    {"split", split_method<false>},
    {"rsplit", split_method<true>},
    {"splitlines", splitlines},
    {"startswith", has_edge<true>},
    {"endswith", has_edge<false>},
    {"find", find_method<false, false>},
    {"rfind", find_method<true, false>},
    {"index", find_method<false, true>},
    {"rindex", find_method<true, true>},
    {"count", count_method},
    {"replace", replace_method},
    {"join", join_method},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"removeprefix", remove_edge<true>},
    {"removesuffix", remove_edge<false>},
    {"center", padded<Pad::kCenter>},
    {"ljust", padded<Pad::kRight>},
    {"rjust", padded<Pad::kLeft>},
    {"zfill", zfill},
    {"format", format_method},
    {"isalpha", consists_of<Of::kLetters>},
    {"isdigit", consists_of<Of::kDigits>},
    {"isdecimal", consists_of<Of::kDecimals>},
    {"isnumeric", consists_of<Of::kDigits>},
    {"isalnum", consists_of<Of::kBoth>},
    {"isspace", consists_of<Of::kSpace>},
    {"isascii", consists_of<Of::kAscii>},
    {"isupper", holds_for<is_upper>},
    {"islower", holds_for<is_lower>},
};

Value dict_get(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Parameters parameters(runtime, "get", arguments, {"key", "default"});
  const Value* found = find_key(runtime, *as<Dict>(self), parameters.required("key"));
  if (found == nullptr) found = parameters.find("default");
  return found == nullptr ? None{} : *found;
}

template <ListKind K>
Value dict_view(Runtime& runtime, const Value& self, Arguments& arguments) {
  no_arguments(runtime, "the method", arguments);
  std::vector<Value> out;
  for (const auto& [key, value] : as<Dict>(self)->items) {
    out.push_back(K == ListKind::kKeys     ? key
                  : K == ListKind::kValues ? value
                                           : Value(runtime.list({key, value}, ListKind::kTuple)));
  }
  return runtime.list(std::move(out), K);
}

Value copy_method(Runtime& runtime, const Value& self, Arguments& arguments) {
  no_arguments(runtime, "copy", arguments);
  return self;  // nothing can change it
}

constexpr MethodRow kDictMethods[] = {
    {"get", dict_get},
    {"items", dict_view<ListKind::kItems>},
    {"keys", dict_view<ListKind::kKeys>},
    {"values", dict_view<ListKind::kValues>},
    {"copy", copy_method},
};

Value list_count(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Parameters parameters(runtime, "count", arguments, {"value"});
  const Value& wanted = parameters.required("value");
  return static_cast<Integer>(
      std::ranges::count_if(as<List>(self)->items, [&](const Value& v) { return equal(runtime, v, wanted); }));
}

Value list_index(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Parameters parameters(runtime, "index", arguments, {"value"});
  const std::vector<Value>& items = as<List>(self)->items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (equal(runtime, items[i], parameters.required("value"))) return static_cast<Integer>(i);
  }
  runtime.fail("the value is not in the list");
}

constexpr MethodRow kListMethods[] = {{"count", list_count}, {"index", list_index}, {"copy", copy_method}};
constexpr MethodRow kTupleMethods[] = {{"count", list_count}, {"index", list_index}};

// They change their object, which Jinja's sandbox forbids.
constexpr std::string_view kListRefused[] = {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"};
constexpr std::string_view kDictRefused[] = {"clear", "pop", "popitem", "setdefault", "update"};
// Of a loop.
constexpr std::string_view kLoopMethods[] = {"cycle", "changed"};

std::span<const MethodRow> methods_of(const Value& object) {
  if (as_text(object) != nullptr) return kTextMethods;
  if (as<Dict>(object) != nullptr) return kDictMethods;
  const List* list = as<List>(object);
  if (list == nullptr) return {};
  if (list->kind == ListKind::kList) return kListMethods;
  return list->kind == ListKind::kTuple || list->kind == ListKind::kRange ? std::span<const MethodRow>(kTupleMethods)
                                                                          : std::span<const MethodRow>();
}

}  // namespace

bool is_method(std::string_view name) {
  const auto among = [name](std::span<const MethodRow> rows) {
    return std::ranges::find(rows, name, &MethodRow::name) != rows.end();
  };
  const auto listed = [name](std::span<const std::string_view> names) {
    return std::ranges::find(names, name) != names.end();
  };
  return among(kTextMethods) || among(kDictMethods) || among(kListMethods) || listed(kListRefused) ||
         listed(kDictRefused) || listed(kLoopMethods);
}

bool has_own_attribute(const Value& object, std::string_view name) {
  const std::span<const MethodRow> rows = methods_of(object);
  if (std::ranges::find(rows, name, &MethodRow::name) != rows.end()) return true;
  const List* list = as<List>(object);
  if (list != nullptr && list->kind == ListKind::kList) {
    return std::ranges::find(kListRefused, name) != std::end(kListRefused);
  }
  return as<Dict>(object) != nullptr && std::ranges::find(kDictRefused, name) != std::end(kDictRefused);
}

Value method(Runtime& runtime, const Value& object, const std::string& name) {
  const std::span<const MethodRow> rows = methods_of(object);
  const auto found = std::ranges::find(rows, std::string_view(name), &MethodRow::name);
  if (found != rows.end()) {
    return runtime.callable(name, [object, apply = found->call](Runtime& rt, Arguments& arguments) {
      return apply(rt, object, arguments);
    });
  }
  if (has_own_attribute(object, name)) {
    return runtime.undefined(fmt::format("'{}' would change its object, which a template may not", name));
  }
  return runtime.undefined(fmt::format("'{}' object has no attribute '{}'", type_name(object), name));
}

}  // namespace fathom::jinja
