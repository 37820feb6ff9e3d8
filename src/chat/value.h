// Values of the template language: Python's, as far as templates of conversations use them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace fathom::jinja {

// Python's integers have no bound; one beyond this type is an error.
__extension__ using Integer = __int128;

class Runtime;

// A string that gives back what it took of the memory limit. Constants of a template have no runtime.
class Text {
 public:
  Text(std::string text, Runtime* runtime) : text_(std::move(text)), runtime_(runtime) {}
  ~Text();
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;
  const std::string& get() const { return text_; }

 private:
  std::string text_;
  Runtime* runtime_;
};
using TextPtr = std::shared_ptr<const Text>;

// A name, key or index that is not there; `what` is for the message when it is used.
struct Undefined {
  std::shared_ptr<const std::string> what;
};
struct None {};

struct List;
struct Dict;
struct Namespace;
struct Callable;
class Loop;

// What is not a number or a string is owned by the runtime and lives until the end of the rendering: a namespace may
// hold itself, and a tree of any depth goes without recursion.
using Value = std::variant<Undefined, None, bool, Integer, double, TextPtr, List*, Dict*, Namespace*, Callable*, Loop*>;

class Object {
 public:
  Object() = default;
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
};

enum class ListKind : uint8_t { kList, kTuple, kRange, kKeys, kValues, kItems, kGenerator };

// Not changed once it is made, but for a generator, whose items are gone when they have been read.
struct List : Object {
  std::vector<Value> items;
  ListKind kind = ListKind::kList;
  Integer start = 0, stop = 0, stride = 1;  // of a range
};

// In the order of insertion. Keys are distinct.
struct Dict : Object {
  std::vector<std::pair<Value, Value>> items;
};

struct Namespace : Object {
  std::vector<std::pair<std::string, Value>> items;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// A function, a macro or a method bound to its object.
struct Callable : Object {
  std::string name;
  std::function<Value(Runtime&, Arguments&)> call;
  bool is_macro = false;
};

// `loop` of a for statement.
class Loop : public Object {
 public:
  // Items one by one, nothing at the end.
  using Source = std::function<std::optional<Value>()>;
  explicit Loop(Source source) : source_(std::move(source)) {}

  std::optional<Value> next();
  // The value of `loop.NAME`; nothing when there is no such attribute.
  std::optional<Value> attribute(Runtime& runtime, std::string_view name);

  int depth = 1;
  Callable* recurse = nullptr;  // `loop(items)` of a recursive loop

 private:
  const std::optional<Value>& peek();
  int64_t length();

  Source source_;
  std::vector<Value> ahead_;  // read, but not yet given; the next one is at the back
  bool ended_ = false;
  int64_t index_ = 0;  // items given
  std::optional<Value> previous_, current_, after_;
  std::optional<int64_t> length_;
  std::optional<std::vector<Value>> last_changed_;
};

inline bool is_undefined(const Value& v) { return std::holds_alternative<Undefined>(v); }
inline bool is_none(const Value& v) { return std::holds_alternative<None>(v); }
inline const std::string* as_text(const Value& v) {
  const auto* text = std::get_if<TextPtr>(&v);
  return text == nullptr ? nullptr : &(*text)->get();
}
template <class T>
T* as(const Value& v) {
  T* const* object = std::get_if<T*>(&v);
  return object == nullptr ? nullptr : *object;
}
// Of booleans too, which are numbers in Python.
std::optional<Integer> as_integer(const Value& v);
std::optional<double> as_number(const Value& v);

// How Python calls the type: "str", "dict".
std::string_view type_name(const Value& v);
std::string_view list_name(ListKind kind);
bool truth(const Value& v);

}  // namespace fathom::jinja
