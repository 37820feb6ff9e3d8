#include "chat/evaluator.h"

#include <fmt/format.h>

#include <algorithm>

#include "chat/builtins.h"
#include "chat/evaluator_buffer.h"
#include "chat/python_text.h"

namespace fathom::jinja {

using Kind = Statement::Kind;

Evaluator::Evaluator(Runtime& runtime) : runtime_(runtime), globals_(new_scope(nullptr)) {}

Scope* Evaluator::new_scope(Scope* parent) {
  Scope* scope = runtime_.make<Scope>();
  scope->parent = parent;
  return scope;
}

void Evaluator::set_global(const std::string& name, Value value) { globals_->variables[name] = std::move(value); }

const Value* Evaluator::find(const Scope* scope, const std::string& name) const {
  for (; scope != nullptr; scope = scope->parent) {
    runtime_.step();
    const auto found = scope->variables.find(name);
    if (found != scope->variables.end()) return &found->second;
  }
  return nullptr;
}

std::string Evaluator::render(const Body& body) {
  Buffer buffer(runtime_, out_);
  run(body, new_scope(globals_));
  return buffer.take();
}

void Evaluator::emit(const std::string& text) { out_->add(text); }

Evaluator::Flow Evaluator::run(const Body& body, Scope* scope) {
  for (const Statement& statement : body) {
    const Flow flow = run(statement, scope);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Evaluator::Flow Evaluator::run(const Statement& statement, Scope* scope) {
  const DepthGuard guard(runtime_);
  runtime_.step();
  runtime_.line = statement.line;
  switch (statement.kind) {
    case Kind::kText:
      emit(statement.text);
      break;
    case Kind::kOutput:
      emit(to_text(runtime_, evaluate(*statement.expressions[0], scope)));
      break;
    case Kind::kIf:
      return run_if(statement, scope);
    case Kind::kFor:
      run_for(statement, scope, evaluate(*statement.expressions[0], scope), /*depth=*/1);
      break;
    case Kind::kSet:
      assign(statement.targets[0], evaluate(*statement.expressions[0], scope), scope);
      break;
    case Kind::kSetBlock:
      return run_set_block(statement, scope);
    case Kind::kMacro:
      scope->variables[statement.macro->name] = macro(statement, scope);
      break;
    case Kind::kCallBlock:
      run_call_block(statement, scope);
      break;
    case Kind::kFilterBlock:
      return run_filter_block(statement, scope);
    case Kind::kWith:
      return run_with(statement, scope);
    case Kind::kBreak:
      return Flow::kBreak;
    case Kind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

Evaluator::Flow Evaluator::run_if(const Statement& statement, Scope* scope) {
  for (const Branch& branch : statement.branches) {
    if (branch.condition == nullptr || truth(evaluate(*branch.condition, scope))) return run(branch.body, scope);
  }
  return Flow::kNormal;
}

Evaluator::Flow Evaluator::run_set_block(const Statement& statement, Scope* scope) {
  Buffer buffer(runtime_, out_);
  const Flow flow = run(statement.body, new_scope(scope));
  if (flow != Flow::kNormal) return flow;
  Value value = runtime_.text(buffer.take());
  if (statement.expressions[0] != nullptr) value = apply_filters(*statement.expressions[0], scope, value);
  assign(statement.targets[0], value, scope);
  return flow;
}

Evaluator::Flow Evaluator::run_filter_block(const Statement& statement, Scope* scope) {
  Value value;
  Flow flow = Flow::kNormal;
  {
    Buffer buffer(runtime_, out_);
    flow = run(statement.body, new_scope(scope));
    value = runtime_.text(buffer.take());
  }
  if (flow == Flow::kNormal) emit(to_text(runtime_, apply_filters(*statement.expressions[0], scope, value)));
  return flow;
}

Evaluator::Flow Evaluator::run_with(const Statement& statement, Scope* scope) {
  Scope* inner = new_scope(scope);
  for (size_t i = 0; i < statement.targets.size(); ++i) {
    assign(statement.targets[i], evaluate(*statement.expressions[i], scope), inner);
  }
  return run(statement.body, inner);
}

void Evaluator::run_call_block(const Statement& statement, Scope* scope) {
  Callable* caller = macro(statement, scope);
  emit(to_text(runtime_, call_expression(*statement.expressions[0], scope, caller)));
}

void Evaluator::assign(const Target& target, const Value& value, Scope* scope) {
  runtime_.line = target.line;
  if (!target.several.empty()) {
    const std::vector<Value> items = items_of(runtime_, value);
    if (items.size() != target.several.size()) {
      runtime_.fail(fmt::format("{} values for {} names", items.size(), target.several.size()));
    }
    for (size_t i = 0; i < items.size(); ++i) assign(target.several[i], items[i], scope);
    return;
  }
  if (target.attribute.empty()) {
    runtime_.take(0);
    const bool inserted = scope->variables.insert_or_assign(target.name, value).second;
    if (inserted) runtime_.take(sizeof(Value) + target.name.size());
    return;
  }
  const Value* object = find(scope, target.name);
  Namespace* space = object == nullptr ? nullptr : as<Namespace>(*object);
  if (space == nullptr) runtime_.fail("cannot assign attribute on non-namespace object");
  const auto found = std::ranges::find(space->items, target.attribute, [](const auto& item) { return item.first; });
  runtime_.step(static_cast<int64_t>(space->items.size()));
  if (found != space->items.end()) {
    found->second = value;
  } else {
    runtime_.take(sizeof(Value) + sizeof(std::string) + target.attribute.size());
    space->items.emplace_back(target.attribute, value);
  }
}

Loop::Source Evaluator::items_for(const Statement& statement, Scope* scope, const Value& items) {
  auto list = std::make_shared<std::vector<Value>>(items_of(runtime_, items));
  std::ranges::reverse(*list);  // the next one is at the back
  const auto next = [list]() -> std::optional<Value> {
    if (list->empty()) return std::nullopt;
    Value item = std::move(list->back());
    list->pop_back();
    return item;
  };
  const Expression* condition = statement.expressions[1].get();
  if (condition == nullptr) return next;
  // Tested when it is asked for: the condition may use what the body has changed.
  return [this, next, condition, &statement, inner = new_scope(scope)]() -> std::optional<Value> {
    while (auto item = next()) {
      assign(statement.targets[0], *item, inner);
      if (truth(evaluate(*condition, inner))) return item;
    }
    return std::nullopt;
  };
}

void Evaluator::run_for(const Statement& statement, Scope* scope, const Value& items, int depth) {
  Loop* loop = runtime_.loop(items_for(statement, scope, items));
  loop->depth = depth;
  if (statement.recursive) {
    loop->recurse = runtime_.callable("loop", [this, &statement, scope, depth](Runtime& rt, Arguments& arguments) {
      if (arguments.positional.size() != 1 || !arguments.named.empty()) rt.fail("loop() takes one argument");
      const DepthGuard guard(rt);
      Buffer buffer(rt, out_);
      run_for(statement, scope, arguments.positional[0], depth + 1);
      return rt.text(buffer.take());
    });
  }
  Scope* inner = new_scope(scope);
  bool completed = false;  // a pass that ended by itself; so Jinja's else has it
  while (auto item = loop->next()) {
    runtime_.step();
    inner->variables.clear();
    inner->variables["loop"] = loop;
    assign(statement.targets[0], *item, inner);
    const Flow flow = run(statement.body, inner);
    if (flow == Flow::kBreak) break;
    if (flow == Flow::kNormal) completed = true;
  }
  if (!completed && !statement.otherwise.empty()) run(statement.otherwise, new_scope(scope));
}

Callable* Evaluator::macro(const Statement& statement, Scope* scope) {
  Callable* out = runtime_.callable(statement.macro->name, [this, &statement, scope](Runtime&, Arguments& arguments) {
    return call_macro(statement, scope, arguments);
  });
  out->is_macro = true;
  return out;
}

Value Evaluator::call_macro(const Statement& statement, Scope* scope, Arguments& arguments) {
  const DepthGuard guard(runtime_);
  const int line = runtime_.line;
  Scope* inner = new_scope(scope);
  bind_parameters(statement, inner, arguments);
  Buffer buffer(runtime_, out_);
  run(statement.body, inner);
  runtime_.line = line;
  return runtime_.text(buffer.take());
}

void Evaluator::bind_parameters(const Statement& statement, Scope* scope, Arguments& arguments) {
  const MacroParts& parts = *statement.macro;
  const auto refuse = [&](const std::string& what) { runtime_.fail(fmt::format("macro '{}' {}", parts.name, what)); };
  std::vector<Value> varargs;
  Dict* kwargs = parts.uses_kwargs ? runtime_.dict() : nullptr;
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    if (i < parts.parameters.size()) {
      scope->variables[parts.parameters[i]] = arguments.positional[i];
    } else if (parts.uses_varargs) {
      varargs.push_back(arguments.positional[i]);
    } else {
      refuse(fmt::format("takes not more than {} argument(s)", parts.parameters.size()));
    }
  }
  for (auto& [name, value] : arguments.named) {
    const bool is_parameter = std::ranges::find(parts.parameters, name) != parts.parameters.end();
    if (is_parameter || (name == "caller" && parts.uses_caller)) {
      if (!scope->variables.emplace(name, value).second) refuse(fmt::format("got two values for '{}'", name));
    } else if (kwargs != nullptr) {
      set_key(runtime_, *kwargs, runtime_.text(name), value);
    } else {
      refuse(fmt::format("takes no keyword argument '{}'", name));
    }
  }
  const size_t without_default = parts.parameters.size() - parts.defaults.size();
  for (size_t i = 0; i < parts.parameters.size(); ++i) {
    const std::string& name = parts.parameters[i];
    if (scope->variables.contains(name)) continue;
    scope->variables[name] = i < without_default
                                 ? runtime_.undefined(fmt::format("parameter '{}' was not provided", name))
                                 : evaluate(*parts.defaults[i - without_default], scope);
  }
  if (parts.uses_caller && !scope->variables.contains("caller")) {
    scope->variables["caller"] = runtime_.undefined("No caller defined");
  }
  if (parts.uses_varargs) scope->variables["varargs"] = runtime_.list(std::move(varargs), ListKind::kTuple);
  if (kwargs != nullptr) scope->variables["kwargs"] = kwargs;
}

}  // namespace fathom::jinja
