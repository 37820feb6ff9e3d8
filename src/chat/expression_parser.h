// Expressions of the template language.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "chat/ast.h"
#include "chat/lexer.h"

namespace fathom::jinja {

// Trees of more levels are refused: what walks them recurses.
inline constexpr int kMaxTreeDepth = 200;

// The tokens of a template, read from the front. The grammar is that of Jinja2's own parser.
class ExpressionParser {
 public:
  ExpressionParser(std::vector<Token> tokens, const std::string& name) : tokens_(std::move(tokens)), name_(name) {}

  // With `a if b else c`.
  ExpressionPtr expression();
  // The same without `if`: the items of a for statement.
  ExpressionPtr disjunction();
  // One expression, or a tuple where commas follow.
  ExpressionPtr tuple(bool with_condition = true);
  // | filters and tests behind a value; `subject` may be null.
  ExpressionPtr filters(ExpressionPtr subject, bool needs_one = false);
  ExpressionPtr postfix_call(ExpressionPtr callee);
  ExpressionPtr unary(bool with_filters = true);

  size_t position() const { return at_; }
  // Whether a name stands among the tokens from `from` to here.
  bool has_name_since(size_t from, std::string_view name) const;
  const Token& peek() const { return tokens_[at_]; }
  const Token& ahead(size_t tokens) const { return tokens_[std::min(at_ + tokens, tokens_.size() - 1)]; }
  Token next() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }
  bool skip_operator(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_operator(std::string_view op);
  std::string expect_name();
  ExpressionPtr make(Expression::Kind kind) const;
  // After its parts are there: the tree's depth.
  ExpressionPtr finish(ExpressionPtr node) const;
  [[noreturn]] void fail(const std::string& message) const;
  // "'x'", "the end of the tag".
  std::string shown(const Token& token) const;

  // Nesting of statements and brackets counts together.
  class Level {
   public:
    explicit Level(ExpressionParser& parser);
    ~Level() { --parser_.level_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    ExpressionParser& parser_;
  };

 private:
  ExpressionPtr conjunction();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr primary();
  ExpressionPtr constant(Value value);
  ExpressionPtr named();
  ExpressionPtr string();
  ExpressionPtr parentheses();
  ExpressionPtr list();
  ExpressionPtr dict();
  ExpressionPtr postfix(ExpressionPtr node);
  ExpressionPtr subscript(ExpressionPtr object);
  ExpressionPtr brackets(ExpressionPtr object);
  ExpressionPtr filter(ExpressionPtr subject);
  ExpressionPtr test(ExpressionPtr subject);
  ExpressionPtr binary(std::string op, int line, ExpressionPtr left, ExpressionPtr right) const;
  std::unique_ptr<CallArguments> arguments();
  bool at_tuple_end() const;

  std::vector<Token> tokens_;
  const std::string& name_;
  size_t at_ = 0;
  int level_ = 0;
};

}  // namespace fathom::jinja
