// Runs a template's tree.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "chat/ast.h"
#include "chat/runtime.h"

namespace fathom::jinja {

// Variables of a for statement's body, of a macro, of a with; those of the scopes around it are seen through it.
struct Scope : Object {
  std::unordered_map<std::string, Value> variables;
  Scope* parent = nullptr;
};

class Evaluator {
 public:
  explicit Evaluator(Runtime& runtime);

  void set_global(const std::string& name, Value value);
  std::string render(const Body& body);

 private:
  enum class Flow : uint8_t { kNormal, kBreak, kContinue };
  // What is being written, charged while it lives.
  class Buffer;

  Scope* new_scope(Scope* parent);
  const Value* find(const Scope* scope, const std::string& name) const;

  Flow run(const Body& body, Scope* scope);
  Flow run(const Statement& statement, Scope* scope);
  Flow run_if(const Statement& statement, Scope* scope);
  Flow run_set_block(const Statement& statement, Scope* scope);
  Flow run_filter_block(const Statement& statement, Scope* scope);
  Flow run_with(const Statement& statement, Scope* scope);
  void run_call_block(const Statement& statement, Scope* scope);
  void run_for(const Statement& statement, Scope* scope, const Value& items, int depth);
  Loop::Source items_for(const Statement& statement, Scope* scope, const Value& items);
  void assign(const Target& target, const Value& value, Scope* scope);
  void emit(const std::string& text);

  Callable* macro(const Statement& statement, Scope* scope);
  Value call_macro(const Statement& statement, Scope* scope, Arguments& arguments);
  void bind_parameters(const Statement& statement, Scope* scope, Arguments& arguments);

  Value evaluate(const Expression& e, Scope* scope);
  Value evaluate_parts(const Expression& e, Scope* scope);
  Value name(const Expression& e, const Scope* scope);
  Value logic(const Expression& e, Scope* scope);
  Value compare_chain(const Expression& e, Scope* scope);
  Value concatenate(const Expression& e, Scope* scope);
  Value collection(const Expression& e, Scope* scope);
  Value call_expression(const Expression& e, Scope* scope, Callable* caller = nullptr);
  Value slice_of(const Expression& e, Scope* scope);
  // Filters and tests in a row, the innermost of which has this subject in place of a null one.
  Value apply_filters(const Expression& e, Scope* scope, const Value& subject);
  Arguments arguments_of(const CallArguments& arguments, Scope* scope);

  Runtime& runtime_;
  Scope* globals_;
  Buffer* out_ = nullptr;
  const Value* subject_ = nullptr;  // of a filter block, for the filter without one
};

}  // namespace fathom::jinja
