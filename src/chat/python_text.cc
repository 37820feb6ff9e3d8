#include "chat/python_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tokenizer/unicode.h"

namespace fathom::jinja {
namespace {

bool is_printable(uint32_t c) {
  static const CodePointSet hidden = [] {
    CodePointSet out = *category_set("C");
    out.add(*category_set("Z"));
    return out;
  }();
  if (c < 0x7f) return c >= 0x20;
  return !hidden.contains(c);
}

void append_escaped(std::string& out, uint32_t c) {
  if (c < 0x100) {
    out += fmt::format("\\x{:02x}", c);
  } else if (c < 0x10000) {
    out += fmt::format("\\u{:04x}", c);
  } else {
    out += fmt::format("\\U{:08x}", c);
  }
}

std::string in_quotes(std::string_view text) {
  const bool single = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = single ? '"' : '\'';
  std::string out(1, quote);
  for (size_t i = 0; i < text.size(); i += utf8_length(text[i])) {
    const uint32_t c = decode_utf8(&text[i]);
    if (c == static_cast<uint32_t>(quote) || c == '\\') {
      out += {'\\', static_cast<char>(c)};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      out += text.substr(i, utf8_length(text[i]));
    } else {
      append_escaped(out, c);
    }
  }
  return out + quote;
}

// Writes values into one string whose growth is charged.
class Printer {
 public:
  explicit Printer(Runtime& runtime) : runtime_(runtime) {}
  ~Printer() { runtime_.give_back(taken_); }
  Printer(const Printer&) = delete;
  Printer& operator=(const Printer&) = delete;

  void add(std::string_view text) {
    runtime_.step_bytes(text.size());
    runtime_.take(text.size());
    taken_ += text.size();
    out_ += text;
  }
  Runtime& runtime() { return runtime_; }
  std::string take() { return std::move(out_); }

  void value(const Value& v, int depth) {
    if (depth > kMaxValueDepth) runtime_.fail("lists and objects are nested too deep to be printed");
    if (const List* list = as<List>(v)) return this->list(*list, depth);
    if (const Dict* dict = as<Dict>(v)) return this->dict(*dict, depth);
    const auto* object = as<Namespace>(v);
    if (object == nullptr) return add(scalar(v));
    add("<Namespace {");
    for (size_t i = 0; i < object->items.size(); ++i) {
      if (i > 0) add(", ");
      add(in_quotes(object->items[i].first));
      add(": ");
      value(object->items[i].second, depth + 1);
    }
    add("}>");
  }

 private:
  std::string scalar(const Value& v) {
    if (is_undefined(v)) return "Undefined";
    if (is_none(v)) return "None";
    if (const auto* b = std::get_if<bool>(&v)) return *b ? "True" : "False";
    if (const auto* i = std::get_if<Integer>(&v)) return integer_text(*i);
    if (const auto* d = std::get_if<double>(&v)) return float_text(*d);
    if (const std::string* text = as_text(v)) return in_quotes(*text);
    if (const auto* callable = as<Callable>(v)) {
      return fmt::format("<{} {}>", callable->is_macro ? "Macro" : "function", in_quotes(callable->name));
    }
    return "<LoopContext>";
  }

  void items(const std::vector<Value>& values, int depth) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (i > 0) add(", ");
      value(values[i], depth + 1);
    }
  }

  void list(const List& list, int depth) {
    switch (list.kind) {
      case ListKind::kTuple:
        add("(");
        items(list.items, depth);
        return add(list.items.size() == 1 ? ",)" : ")");
      case ListKind::kRange:
        add(fmt::format("range({}, {}", integer_text(list.start), integer_text(list.stop)));
        return add(list.stride == 1 ? ")" : fmt::format(", {})", integer_text(list.stride)));
      case ListKind::kGenerator:
        return add("<generator object>");
      default:
        break;
    }
    const bool view = list.kind != ListKind::kList;
    add(view ? fmt::format("{}([", list_name(list.kind)) : "[");
    items(list.items, depth);
    add(view ? "])" : "]");
  }

  void dict(const Dict& dict, int depth) {
    add("{");
    for (size_t i = 0; i < dict.items.size(); ++i) {
      if (i > 0) add(", ");
      value(dict.items[i].first, depth + 1);
      add(": ");
      value(dict.items[i].second, depth + 1);
    }
    add("}");
  }

  Runtime& runtime_;
  std::string out_;
  size_t taken_ = 0;
};

void append_json_text(std::string& out, std::string_view text, bool ascii) {
  out += '"';
  for (size_t i = 0; i < text.size(); i += utf8_length(text[i])) {
    const uint32_t c = decode_utf8(&text[i]);
    constexpr std::string_view kShort = "\"\\\n\r\t\f\b", kLetters = "\"\\nrtfb";
    const size_t short_one = c < 0x80 ? kShort.find(static_cast<char>(c)) : std::string_view::npos;
    if (short_one != std::string_view::npos) {
      out += {'\\', kLetters[short_one]};
    } else if (c < 0x20 || (ascii && c >= 0x7f && c < 0x10000)) {
      out += fmt::format("\\u{:04x}", c);
    } else if (ascii && c >= 0x10000) {
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
    } else {
      out += text.substr(i, utf8_length(text[i]));
    }
  }
  out += '"';
}

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : printer_(runtime), style_(style) {}
  std::string take() { return printer_.take(); }

  void value(const Value& v, int depth) {
    Runtime& runtime = printer_.runtime();
    if (depth > kMaxValueDepth) runtime.fail("lists and objects are nested too deep for tojson");
    if (const Dict* dict = as<Dict>(v)) return this->dict(*dict, depth);
    const List* list = as<List>(v);
    if (list != nullptr && (list->kind == ListKind::kList || list->kind == ListKind::kTuple)) {
      return this->list(*list, depth);
    }
    if (is_none(v)) return printer_.add("null");
    if (const auto* b = std::get_if<bool>(&v)) return printer_.add(*b ? "true" : "false");
    if (const auto* i = std::get_if<Integer>(&v)) return printer_.add(integer_text(*i));
    if (const auto* d = std::get_if<double>(&v)) return printer_.add(number(*d));
    const std::string* text = as_text(v);
    if (text == nullptr) {
      runtime.fail(fmt::format("Object of type {} is not JSON serializable", type_name(v)));
    }
    std::string out;
    append_json_text(out, *text, style_.ensure_ascii);
    printer_.add(out);
  }

 private:
  static std::string number(double d) {
    if (std::isnan(d)) return "NaN";
    if (std::isinf(d)) return d > 0 ? "Infinity" : "-Infinity";
    return float_text(d);
  }

  void line_break(int depth) {
    if (!style_.indent) return;
    printer_.add("\n");
    for (int i = 0; i < depth; ++i) printer_.add(*style_.indent);
  }

  void list(const List& list, int depth) {
    if (list.items.empty()) return printer_.add("[]");
    printer_.add("[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) printer_.add(style_.item_separator);
      line_break(depth + 1);
      value(list.items[i], depth + 1);
    }
    line_break(depth);
    printer_.add("]");
  }

  // Keys of JSON are strings; of the others Python writes what JSON would.
  std::string key_of(const Value& key) {
    if (const std::string* text = as_text(key)) return *text;
    if (is_none(key)) return "null";
    if (const auto* b = std::get_if<bool>(&key)) return *b ? "true" : "false";
    if (const auto* i = std::get_if<Integer>(&key)) return integer_text(*i);
    if (const auto* d = std::get_if<double>(&key)) return number(*d);
    printer_.runtime().fail(fmt::format("keys must be str, int, float, bool or None, not {}", type_name(key)));
  }

  void dict(const Dict& dict, int depth) {
    if (dict.items.empty()) return printer_.add("{}");
    std::vector<const std::pair<Value, Value>*> items;
    for (const auto& item : dict.items) items.push_back(&item);
    if (style_.sort_keys) {
      std::ranges::stable_sort(items, [this](const auto* a, const auto* b) {
        return compare(printer_.runtime(), a->first, b->first, "<") < 0;
      });
    }
    printer_.add("{");
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) printer_.add(style_.item_separator);
      line_break(depth + 1);
      std::string key;
      append_json_text(key, key_of(items[i]->first), style_.ensure_ascii);
      printer_.add(key);
      printer_.add(style_.key_separator);
      value(items[i]->second, depth + 1);
    }
    line_break(depth);
    printer_.add("}");
  }

  Printer printer_;
  const JsonStyle& style_;
};

}  // namespace

std::string integer_text(Integer value) { return fmt::format("{}", value); }

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const size_t e = text.find('e');
  const int exponent = std::stoi(std::string(text.substr(e + 1)));
  if (exponent < -4 || exponent >= 16) return std::string(text);
  const auto fixed_end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed).ptr;
  std::string out(buffer, static_cast<size_t>(fixed_end - buffer));
  return out.find('.') == std::string::npos ? out + ".0" : out;
}

std::string to_text(Runtime& runtime, const Value& value) {
  if (is_undefined(value)) return "";
  if (const std::string* text = as_text(value)) {
    runtime.step_bytes(text->size());
    return *text;
  }
  return repr(runtime, value);
}

std::string repr(Runtime& runtime, const Value& value) {
  Printer printer(runtime);
  printer.value(value, 0);
  return printer.take();
}

std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  writer.value(value, 0);
  return writer.take();
}

}  // namespace fathom::jinja
