// One rendering: what it may use, what it has made, where it is.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/value.h"

namespace fathom::jinja {

// What a rendering may take: templates come with a model's folder, and a hostile one must end as an error.
struct Limits {
  int64_t steps = 50'000'000;          // values computed, statements run, items visited: a few seconds
  int64_t bytes = int64_t{512} << 20;  // of strings and lists that live at the same time
  int64_t output = int64_t{64} << 20;  // bytes
  int depth = 1000;                    // expressions and statements within one another, through macros
};
// Lists and objects within one another that are printed or compared.
inline constexpr int kMaxValueDepth = 100;

class Runtime {
 public:
  // `name` is how messages call the template.
  Runtime(std::string name, Limits limits) : name_(std::move(name)), limits_(limits) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Throws FormatError that names the template and the line.
  [[noreturn]] void fail(const std::string& message) const;
  [[noreturn]] void fail_undefined(const Value& value) const;

  void step(int64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps) fail_steps();
  }
  // Work over a string goes by bytes.
  void step_bytes(size_t bytes) { step(1 + static_cast<int64_t>(bytes / 32)); }
  void take(size_t bytes);
  void give_back(size_t bytes) { bytes_ -= static_cast<int64_t>(bytes); }
  void check_output(size_t bytes) const;
  void enter();
  void leave() { --depth_; }

  Value text(std::string text);
  Value undefined(std::string what);
  List* list(std::vector<Value> items, ListKind kind = ListKind::kList);
  Dict* dict(std::vector<std::pair<Value, Value>> items = {});
  Namespace* make_namespace();
  Callable* callable(std::string name, std::function<Value(Runtime&, Arguments&)> call);
  Loop* loop(Loop::Source source);
  // Owns the object to the end of the rendering.
  template <class T, class... A>
  T* make(A&&... arguments) {
    take(sizeof(T) + sizeof(void*));
    auto owned = std::make_unique<T>(std::forward<A>(arguments)...);
    T* object = owned.get();
    objects_.push_back(std::move(owned));
    return object;
  }

  int line = 0;  // of what is being computed

 private:
  [[noreturn]] void fail_steps() const;

  std::string name_;
  Limits limits_;
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
  int depth_ = 0;
  std::vector<std::unique_ptr<Object>> objects_;
};

// Counts a level of nesting while it lives.
class DepthGuard {
 public:
  explicit DepthGuard(Runtime& runtime) : runtime_(runtime) { runtime_.enter(); }
  ~DepthGuard() { runtime_.leave(); }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  Runtime& runtime_;
};

// The items that a for statement goes over; characters of a string. Fails on what cannot be gone over.
std::vector<Value> items_of(Runtime& runtime, const Value& value);
// Python's len(); nothing where there is none.
std::optional<int64_t> length_of(const Value& value);

bool equal(Runtime& runtime, const Value& a, const Value& b, int depth = 0);
// Below 0, 0 or above 0; fails as Python does when the two have no order. `op` is for the message.
int compare(Runtime& runtime, const Value& a, const Value& b, std::string_view op);
// `item in container`.
bool contains(Runtime& runtime, const Value& container, const Value& item);
// Null when the key is not there.
const Value* find_key(Runtime& runtime, const Dict& dict, const Value& key);
void set_key(Runtime& runtime, Dict& dict, const Value& key, Value value);

}  // namespace fathom::jinja
