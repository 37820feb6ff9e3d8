#include "chat/expression_parser.h"

#include <fmt/format.h>

#include <algorithm>

#include "chat/builtins.h"

namespace fathom::jinja {

using Kind = Expression::Kind;

ExpressionParser::Level::Level(ExpressionParser& parser) : parser_(parser) {
  if (parser.level_ >= kMaxTreeDepth) {
    parser.fail(fmt::format("more than {} brackets and tags in one another", kMaxTreeDepth));
  }
  ++parser.level_;
}

void ExpressionParser::fail(const std::string& message) const { fail_at(name_, peek().line, message); }

std::string ExpressionParser::shown(const Token& token) const {
  switch (token.kind) {
    case Token::Kind::kName:
    case Token::Kind::kOperator:
      return "'" + token.text + "'";
    case Token::Kind::kString:
      return "a string";
    case Token::Kind::kInteger:
    case Token::Kind::kFloat:
      return "a number";
    case Token::Kind::kEnd:
      return "the end of the template";
    default:
      return "the end of the tag";
  }
}

bool ExpressionParser::skip_operator(std::string_view op) {
  if (!peek().is_operator(op)) return false;
  next();
  return true;
}

bool ExpressionParser::skip_name(std::string_view name) {
  if (!peek().is_name(name)) return false;
  next();
  return true;
}

void ExpressionParser::expect_operator(std::string_view op) {
  if (!skip_operator(op)) fail(fmt::format("'{}' is expected, not {}", op, shown(peek())));
}

std::string ExpressionParser::expect_name() {
  if (peek().kind != Token::Kind::kName) fail("a name is expected, not " + shown(peek()));
  return next().text;
}

bool ExpressionParser::has_name_since(size_t from, std::string_view name) const {
  return std::any_of(tokens_.begin() + static_cast<ptrdiff_t>(from), tokens_.begin() + static_cast<ptrdiff_t>(at_),
                     [name](const Token& token) { return token.is_name(name); });
}

ExpressionPtr ExpressionParser::make(Kind kind) const {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->line = peek().line;
  return node;
}

ExpressionPtr ExpressionParser::finish(ExpressionPtr node) const {
  const auto count = [&](const ExpressionPtr& part) {
    if (part != nullptr) node->depth = std::max(node->depth, part->depth + 1);
  };
  std::ranges::for_each(node->parts, count);
  if (node->arguments != nullptr) {
    std::ranges::for_each(node->arguments->positional, count);
    for (const auto& [name, value] : node->arguments->named) count(value);
    count(node->arguments->more_positional);
    count(node->arguments->more_named);
  }
  if (node->depth > kMaxTreeDepth) fail(fmt::format("an expression of more than {} levels", kMaxTreeDepth));
  return node;
}

ExpressionPtr ExpressionParser::expression() {
  const Level level(*this);
  ExpressionPtr value = disjunction();
  while (peek().is_name("if")) {
    ExpressionPtr node = make(Kind::kConditional);
    next();
    node->parts.push_back(std::move(value));
    node->parts.push_back(disjunction());
    node->parts.push_back(skip_name("else") ? expression() : nullptr);
    value = finish(std::move(node));
  }
  return value;
}

ExpressionPtr ExpressionParser::disjunction() {
  ExpressionPtr left = conjunction();
  while (peek().is_name("or")) {
    ExpressionPtr node = make(Kind::kOr);
    next();
    node->parts.push_back(std::move(left));
    node->parts.push_back(conjunction());
    left = finish(std::move(node));
  }
  return left;
}

ExpressionPtr ExpressionParser::conjunction() {
  ExpressionPtr left = negation();
  while (peek().is_name("and")) {
    ExpressionPtr node = make(Kind::kAnd);
    next();
    node->parts.push_back(std::move(left));
    node->parts.push_back(negation());
    left = finish(std::move(node));
  }
  return left;
}

ExpressionPtr ExpressionParser::negation() {
  if (!peek().is_name("not")) return comparison();
  const Level level(*this);
  ExpressionPtr node = make(Kind::kUnary);
  node->name = next().text;
  node->parts.push_back(negation());
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::comparison() {
  constexpr std::string_view kOperators[] = {"==", "!=", "<", "<=", ">", ">="};
  ExpressionPtr first = sum();
  ExpressionPtr node;
  while (true) {
    std::string op;
    if (std::ranges::any_of(kOperators, [this](std::string_view o) { return peek().is_operator(o); })) {
      op = peek().text;
    } else if (peek().is_name("in")) {
      op = "in";
    } else if (peek().is_name("not") && ahead(1).is_name("in")) {
      op = "not in";
    } else {
      break;
    }
    if (node == nullptr) {
      node = make(Kind::kCompare);
      node->parts.push_back(std::move(first));
    }
    if (op == "not in") next();
    next();
    node->names.push_back(op);
    node->parts.push_back(sum());
  }
  return node == nullptr ? std::move(first) : finish(std::move(node));
}

ExpressionPtr ExpressionParser::binary(std::string op, int line, ExpressionPtr left, ExpressionPtr right) const {
  ExpressionPtr node = make(Kind::kBinary);
  node->line = line;
  node->name = std::move(op);
  node->parts.push_back(std::move(left));
  node->parts.push_back(std::move(right));
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::sum() {
  ExpressionPtr left = concatenation();
  while (peek().is_operator("+") || peek().is_operator("-")) {
    const Token op = next();
    left = binary(op.text, op.line, std::move(left), concatenation());
  }
  return left;
}

ExpressionPtr ExpressionParser::concatenation() {
  ExpressionPtr first = product();
  if (!peek().is_operator("~")) return first;
  ExpressionPtr node = make(Kind::kConcat);
  node->parts.push_back(std::move(first));
  while (skip_operator("~")) node->parts.push_back(product());
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::product() {
  ExpressionPtr left = power();
  while (peek().is_operator("*") || peek().is_operator("/") || peek().is_operator("//") || peek().is_operator("%")) {
    const Token op = next();
    left = binary(op.text, op.line, std::move(left), power());
  }
  return left;
}

ExpressionPtr ExpressionParser::power() {
  ExpressionPtr left = unary();
  while (peek().is_operator("**")) {
    const Token op = next();
    left = binary(op.text, op.line, std::move(left), unary());
  }
  return left;
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
  const Level level(*this);
  ExpressionPtr node;
  if (peek().is_operator("-") || peek().is_operator("+")) {
    node = make(Kind::kUnary);
    node->name = next().text;
    node->parts.push_back(unary(/*with_filters=*/false));
    node = finish(std::move(node));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filters ? filters(std::move(node)) : std::move(node);
}

ExpressionPtr ExpressionParser::constant(Value value) {
  ExpressionPtr node = make(Kind::kConstant);
  node->constant = std::move(value);
  return node;
}

ExpressionPtr ExpressionParser::primary() {
  const Token& token = peek();
  switch (token.kind) {
    case Token::Kind::kName:
      return named();
    case Token::Kind::kString:
      return string();
    case Token::Kind::kInteger: {
      ExpressionPtr node = constant(token.integer);
      next();
      return node;
    }
    case Token::Kind::kFloat: {
      ExpressionPtr node = constant(token.number);
      next();
      return node;
    }
    default:
      break;
  }
  if (token.is_operator("(")) return parentheses();
  if (token.is_operator("[")) return list();
  if (token.is_operator("{")) return dict();
  fail("a value is expected, not " + shown(token));
}

ExpressionPtr ExpressionParser::named() {
  const std::string& text = peek().text;
  ExpressionPtr node;
  if (text == "true" || text == "True") {
    node = constant(true);
  } else if (text == "false" || text == "False") {
    node = constant(false);
  } else if (text == "none" || text == "None") {
    node = constant(None{});
  } else {
    node = make(Kind::kName);
    node->name = text;
  }
  next();
  return node;
}

ExpressionPtr ExpressionParser::string() {
  ExpressionPtr node = make(Kind::kConstant);
  std::string text;
  while (peek().kind == Token::Kind::kString) text += next().text;
  node->constant = std::make_shared<const Text>(std::move(text), nullptr);
  return node;
}

bool ExpressionParser::at_tuple_end() const {
  const Token& token = peek();
  return token.kind == Token::Kind::kBlockEnd || token.kind == Token::Kind::kVariableEnd || token.is_operator(")");
}

ExpressionPtr ExpressionParser::tuple(bool with_condition) {
  ExpressionPtr first = with_condition ? expression() : disjunction();
  if (!peek().is_operator(",")) return first;
  ExpressionPtr node = make(Kind::kTuple);
  node->parts.push_back(std::move(first));
  while (skip_operator(",") && !at_tuple_end()) {
    node->parts.push_back(with_condition ? expression() : disjunction());
  }
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::parentheses() {
  ExpressionPtr node = make(Kind::kTuple);
  next();
  if (skip_operator(")")) return node;
  node = tuple();
  expect_operator(")");
  return node;
}

ExpressionPtr ExpressionParser::list() {
  ExpressionPtr node = make(Kind::kList);
  next();
  while (!peek().is_operator("]")) {
    if (!node->parts.empty()) expect_operator(",");
    if (peek().is_operator("]")) break;
    node->parts.push_back(expression());
  }
  next();
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::dict() {
  ExpressionPtr node = make(Kind::kDict);
  next();
  while (!peek().is_operator("}")) {
    if (!node->parts.empty()) expect_operator(",");
    if (peek().is_operator("}")) break;
    node->parts.push_back(expression());
    expect_operator(":");
    node->parts.push_back(expression());
  }
  next();
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr node) {
  while (true) {
    if (peek().is_operator(".") || peek().is_operator("[")) {
      node = subscript(std::move(node));
    } else if (peek().is_operator("(")) {
      node = postfix_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr ExpressionParser::postfix_call(ExpressionPtr callee) {
  ExpressionPtr node = make(Kind::kCall);
  if (callee->kind == Kind::kAttribute && !is_method(callee->name)) {
    // A macro may be kept in a namespace or an object, whose names are then written somewhere in the template.
    const auto is_written = [&](size_t i) {
      const bool set = tokens_[i].is_name(callee->name) && i + 1 < tokens_.size() && tokens_[i + 1].is_operator("=");
      return set || tokens_[i].is(Token::Kind::kString, callee->name);
    };
    bool written = false;
    for (size_t i = 0; i < tokens_.size() && !written; ++i) written = is_written(i);
    if (!written) fail(fmt::format("unknown method '{}'", callee->name));
  }
  node->parts.push_back(std::move(callee));
  node->arguments = arguments();
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr object) {
  if (peek().is_operator("[")) return brackets(std::move(object));
  next();
  const Token& token = peek();
  if (token.kind == Token::Kind::kName) {
    ExpressionPtr node = make(Kind::kAttribute);
    node->name = next().text;
    node->parts.push_back(std::move(object));
    return finish(std::move(node));
  }
  if (token.kind != Token::Kind::kInteger) fail("a name or a number is expected after '.', not " + shown(token));
  ExpressionPtr node = make(Kind::kItem);
  node->parts.push_back(std::move(object));
  node->parts.push_back(primary());
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::brackets(ExpressionPtr object) {
  ExpressionPtr node = make(Kind::kItem);
  next();
  node->parts.push_back(std::move(object));
  ExpressionPtr first;
  if (!peek().is_operator(":")) first = expression();
  if (peek().is_operator(":")) {
    node->kind = Kind::kSlice;
    node->parts.push_back(std::move(first));
    for (int part = 0; part < 2; ++part) {
      const bool given = skip_operator(":") && !peek().is_operator("]") && !peek().is_operator(":");
      node->parts.push_back(given ? expression() : nullptr);
    }
  } else if (peek().is_operator(",")) {
    ExpressionPtr several = make(Kind::kTuple);
    several->parts.push_back(std::move(first));
    while (skip_operator(",")) several->parts.push_back(expression());
    node->parts.push_back(finish(std::move(several)));
  } else {
    node->parts.push_back(std::move(first));
  }
  expect_operator("]");
  return finish(std::move(node));
}

std::unique_ptr<CallArguments> ExpressionParser::arguments() {
  auto out = std::make_unique<CallArguments>();
  expect_operator("(");
  bool first = true;
  while (!peek().is_operator(")")) {
    if (!first) expect_operator(",");
    if (!first && peek().is_operator(")")) break;
    first = false;
    if (skip_operator("**")) {
      out->more_named = expression();
    } else if (out->more_named != nullptr) {
      fail("an argument after **");
    } else if (skip_operator("*")) {
      out->more_positional = expression();
    } else if (peek().kind == Token::Kind::kName && ahead(1).is_operator("=")) {
      std::string name = next().text;
      next();
      out->named.emplace_back(std::move(name), expression());
    } else if (!out->named.empty() || out->more_positional != nullptr) {
      fail("an argument without a name after one with a name");
    } else {
      out->positional.push_back(expression());
    }
  }
  next();
  return out;
}

ExpressionPtr ExpressionParser::filters(ExpressionPtr subject, bool needs_one) {
  while (true) {
    if (needs_one || peek().is_operator("|")) {
      if (!needs_one) next();
      subject = filter(std::move(subject));
    } else if (subject != nullptr && peek().is_name("is")) {
      subject = test(std::move(subject));
    } else if (subject != nullptr && peek().is_operator("(")) {
      subject = postfix_call(std::move(subject));
    } else {
      return subject;
    }
    needs_one = false;
  }
}

ExpressionPtr ExpressionParser::filter(ExpressionPtr subject) {
  ExpressionPtr node = make(Kind::kFilter);
  const int line = peek().line;
  std::string name = expect_name();
  while (skip_operator(".")) name += "." + expect_name();
  node->filter = find_filter(name);
  if (node->filter == nullptr) fail_at(name_, line, fmt::format("unknown filter '{}'", name));
  node->parts.push_back(std::move(subject));
  node->arguments = peek().is_operator("(") ? arguments() : std::make_unique<CallArguments>();
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::test(ExpressionPtr subject) {
  ExpressionPtr node = make(Kind::kTest);
  const int line = next().line;
  const bool negated = skip_name("not");
  std::string name = expect_name();
  while (skip_operator(".")) name += "." + expect_name();
  node->test = find_test(name);
  if (node->test == nullptr) fail_at(name_, line, fmt::format("unknown test '{}'", name));
  node->parts.push_back(std::move(subject));
  node->arguments = std::make_unique<CallArguments>();
  const Token& token = peek();
  const bool value = token.kind == Token::Kind::kName || token.kind == Token::Kind::kString ||
                     token.kind == Token::Kind::kInteger || token.kind == Token::Kind::kFloat ||
                     token.is_operator("[") || token.is_operator("{");
  const bool goes_on = token.is_name("else") || token.is_name("or") || token.is_name("and");
  if (token.is_operator("(")) {
    node->arguments = arguments();
  } else if (value && !goes_on) {
    if (token.is_name("is")) fail("a test after a test");
    node->arguments->positional.push_back(postfix(primary()));
  }
  node = finish(std::move(node));
  if (!negated) return node;
  ExpressionPtr negation = make(Kind::kUnary);
  negation->name = "not";
  negation->parts.push_back(std::move(node));
  return finish(std::move(negation));
}

}  // namespace fathom::jinja
