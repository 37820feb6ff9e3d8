// The values of expressions.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "chat/builtins.h"
#include "chat/evaluator.h"
#include "chat/python_text.h"

namespace fathom::jinja {

using Kind = Expression::Kind;

Value Evaluator::evaluate(const Expression& e, Scope* scope) {
  const DepthGuard guard(runtime_);
  runtime_.step();
  switch (e.kind) {
    case Kind::kConstant:
      return e.constant;
    case Kind::kName:
      return name(e, scope);
    case Kind::kAnd:
    case Kind::kOr:
    case Kind::kConditional:
      return logic(e, scope);
    case Kind::kCompare:
      return compare_chain(e, scope);
    case Kind::kConcat:
      return concatenate(e, scope);
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
      return collection(e, scope);
    case Kind::kCall:
      return call_expression(e, scope);
    case Kind::kSlice:
      return slice_of(e, scope);
    default:
      return evaluate_parts(e, scope);
  }
}

// Operations whose first part is a value in any case.
Value Evaluator::evaluate_parts(const Expression& e, Scope* scope) {
  const Value first = e.parts[0] == nullptr ? *subject_ : evaluate(*e.parts[0], scope);
  switch (e.kind) {
    case Kind::kAttribute:
      runtime_.line = e.line;
      return attribute(runtime_, first, e.name);
    case Kind::kItem: {
      const Value key = evaluate(*e.parts[1], scope);
      runtime_.line = e.line;
      return item(runtime_, first, key);
    }
    case Kind::kBinary: {
      const Value second = evaluate(*e.parts[1], scope);
      runtime_.line = e.line;
      return binary(runtime_, e.name, first, second);
    }
    case Kind::kFilter: {
      Arguments arguments = arguments_of(*e.arguments, scope);
      runtime_.line = e.line;
      return e.filter->apply(runtime_, first, arguments);
    }
    case Kind::kTest: {
      Arguments arguments = arguments_of(*e.arguments, scope);
      runtime_.line = e.line;
      return e.test->holds(runtime_, first, arguments);
    }
    default:
      runtime_.line = e.line;
      return unary(runtime_, e.name, first);
  }
}

Value Evaluator::apply_filters(const Expression& e, Scope* scope, const Value& subject) {
  const Value* outer = std::exchange(subject_, &subject);
  Value out = evaluate(e, scope);
  subject_ = outer;
  return out;
}

Value Evaluator::name(const Expression& e, const Scope* scope) {
  if (const Value* found = find(scope, e.name)) return *found;
  runtime_.line = e.line;
  return global(runtime_, e.name);
}

Value Evaluator::logic(const Expression& e, Scope* scope) {
  if (e.kind == Kind::kConditional) {
    if (truth(evaluate(*e.parts[1], scope))) return evaluate(*e.parts[0], scope);
    if (e.parts[2] != nullptr) return evaluate(*e.parts[2], scope);
    return runtime_.undefined("the inline if has no else and its condition is false");
  }
  Value first = evaluate(*e.parts[0], scope);
  const bool decided = truth(first) == (e.kind == Kind::kOr);
  return decided ? first : evaluate(*e.parts[1], scope);
}

Value Evaluator::compare_chain(const Expression& e, Scope* scope) {
  Value left = evaluate(*e.parts[0], scope);
  for (size_t i = 0; i < e.names.size(); ++i) {
    Value right = evaluate(*e.parts[i + 1], scope);
    runtime_.line = e.line;
    if (!compares(runtime_, e.names[i], left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Evaluator::concatenate(const Expression& e, Scope* scope) {
  std::vector<Value> texts;  // charged while the others are computed
  size_t size = 0;
  for (const ExpressionPtr& part : e.parts) {
    texts.push_back(runtime_.text(to_text(runtime_, evaluate(*part, scope))));
    size += as_text(texts.back())->size();
  }
  runtime_.line = e.line;
  runtime_.take(size);
  std::string out;
  for (const Value& text : texts) out += *as_text(text);
  runtime_.give_back(size);
  return runtime_.text(std::move(out));
}

Value Evaluator::collection(const Expression& e, Scope* scope) {
  std::vector<Value> values;
  for (const ExpressionPtr& part : e.parts) values.push_back(evaluate(*part, scope));
  runtime_.line = e.line;
  if (e.kind != Kind::kDict) {
    return runtime_.list(std::move(values), e.kind == Kind::kTuple ? ListKind::kTuple : ListKind::kList);
  }
  Dict* dict = runtime_.dict();
  for (size_t i = 0; i < values.size(); i += 2) set_key(runtime_, *dict, values[i], values[i + 1]);
  return dict;
}

Arguments Evaluator::arguments_of(const CallArguments& arguments, Scope* scope) {
  Arguments out;
  for (const ExpressionPtr& value : arguments.positional) out.positional.push_back(evaluate(*value, scope));
  if (arguments.more_positional != nullptr) {
    for (Value& item : items_of(runtime_, evaluate(*arguments.more_positional, scope))) {
      out.positional.push_back(std::move(item));
    }
  }
  for (const auto& [name, value] : arguments.named) out.named.emplace_back(name, evaluate(*value, scope));
  if (arguments.more_named != nullptr) {
    const Value more = evaluate(*arguments.more_named, scope);
    const Dict* dict = as<Dict>(more);
    if (dict == nullptr) runtime_.fail(fmt::format("argument after ** must be a mapping, not {}", type_name(more)));
    for (const auto& [key, value] : dict->items) {
      if (as_text(key) == nullptr) runtime_.fail("keywords must be strings");
      out.named.emplace_back(*as_text(key), value);
    }
  }
  return out;
}

Value Evaluator::call_expression(const Expression& e, Scope* scope, Callable* caller) {
  const Value callee = evaluate(*e.parts[0], scope);
  Arguments arguments = arguments_of(*e.arguments, scope);
  if (caller != nullptr) arguments.named.emplace_back("caller", caller);
  runtime_.line = e.line;
  return call(runtime_, callee, arguments);
}

Value Evaluator::slice_of(const Expression& e, Scope* scope) {
  std::vector<Value> parts;
  for (const ExpressionPtr& part : e.parts) parts.push_back(part == nullptr ? None{} : evaluate(*part, scope));
  runtime_.line = e.line;
  return slice(runtime_, parts[0], parts[1], parts[2], parts[3]);
}

}  // namespace fathom::jinja
