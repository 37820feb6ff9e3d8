#include "chat/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

#include "chat/expression_parser.h"

namespace fathom::jinja {
namespace {

using Kind = Statement::Kind;
using Names = std::initializer_list<std::string_view>;

class Parser {
 public:
  Parser(std::vector<Token> tokens, const std::string& name) : in_(std::move(tokens), name), name_(name) {}

  Body whole() {
    Body out = body({}, 0);
    return out;
  }

 private:
  // Statements up to a tag of one of these names, whose name is the next token; without names up to the end.
  Body body(Names ends, int opened_at) {
    const ExpressionParser::Level level(in_);
    Body out;
    while (true) {
      const Token token = in_.next();
      switch (token.kind) {
        case Token::Kind::kText: {
          Statement& text = out.emplace_back(statement(Kind::kText, token.line));
          text.text = token.text;
          break;
        }
        case Token::Kind::kVariableBegin: {
          Statement output = statement(Kind::kOutput, in_.peek().line);
          output.expressions.push_back(in_.tuple());
          end_of(Token::Kind::kVariableEnd);
          out.push_back(std::move(output));
          break;
        }
        case Token::Kind::kEnd:
          if (ends.size() == 0) return out;
          fail_at(name_, opened_at, fmt::format("a tag that is not closed by {{% {} %}}", *(ends.end() - 1)));
        default:
          if (is_any(ends)) return out;
          tag(out);
      }
    }
  }

  bool is_any(Names names) const {
    return std::ranges::any_of(names, [this](std::string_view n) { return in_.peek().is_name(n); });
  }

  static Statement statement(Kind kind, int line) {
    Statement out;
    out.kind = kind;
    out.line = line;
    return out;
  }

  void end_of(Token::Kind kind) {
    if (in_.peek().kind != kind) in_.fail("the end of the tag is expected, not " + in_.shown(in_.peek()));
    in_.next();
  }

  void end_tag() { end_of(Token::Kind::kBlockEnd); }

  // Body of a tag that ends with one other tag.
  Body body_until(std::string_view end, int line) {
    end_tag();
    Body out = body({end}, line);
    in_.next();
    end_tag();
    return out;
  }

  void tag(Body& out) {
    const Token name = in_.peek();
    if (name.kind != Token::Kind::kName) in_.fail("the name of a tag is expected, not " + in_.shown(name));
    using Parse = Statement (Parser::*)(int);
    constexpr std::pair<std::string_view, Parse> kTags[] = {{"if", &Parser::if_tag},
                                                            {"for", &Parser::for_tag},
                                                            {"set", &Parser::set_tag},
                                                            {"macro", &Parser::macro_tag},
                                                            {"call", &Parser::call_tag},
                                                            {"filter", &Parser::filter_tag},
                                                            {"with", &Parser::with_tag},
                                                            {"break", &Parser::break_tag},
                                                            {"continue", &Parser::continue_tag},
                                                            {"generation", &Parser::generation_tag},
                                                            {"print", &Parser::print_tag}};
    const auto found = std::ranges::find(kTags, name.text, [](const auto& row) { return row.first; });
    if (found == std::end(kTags)) {
      in_.fail(name.text.starts_with("end") || name.text.starts_with("el")
                   ? fmt::format("a tag '{}' that closes nothing here", name.text)
                   : fmt::format("unknown tag '{}'", name.text));
    }
    in_.next();
    out.push_back((this->*found->second)(name.line));
  }

  Statement if_tag(int line) {
    Statement out = statement(Kind::kIf, line);
    while (true) {
      Branch branch{in_.tuple(/*with_condition=*/false), {}};
      end_tag();
      branch.body = body({"elif", "else", "endif"}, line);
      out.branches.push_back(std::move(branch));
      if (in_.skip_name("elif")) continue;
      if (in_.next().text == "else") {
        out.branches.push_back({nullptr, body_until("endif", line)});
      } else {
        end_tag();
      }
      return out;
    }
  }

  Statement for_tag(int line) {
    Statement out = statement(Kind::kFor, line);
    out.targets.push_back(targets(/*attributes=*/false));
    if (!in_.skip_name("in")) in_.fail("'in' is expected, not " + in_.shown(in_.peek()));
    out.expressions.push_back(in_.tuple(/*with_condition=*/false));
    out.expressions.push_back(in_.skip_name("if") ? in_.expression() : nullptr);
    out.recursive = in_.skip_name("recursive");
    end_tag();
    ++loops_;
    out.body = body({"else", "endfor"}, line);
    --loops_;
    if (in_.next().text == "else") {
      out.otherwise = body_until("endfor", line);
    } else {
      end_tag();
    }
    return out;
  }

  // `a`, `ns.a`, `a, b`, `a, (b, c)`
  Target targets(bool attributes) {
    Target first = target(attributes);
    if (!in_.peek().is_operator(",")) return first;
    Target out;
    out.line = first.line;
    out.several.push_back(std::move(first));
    while (in_.skip_operator(",")) {
      const Token& token = in_.peek();
      if (token.kind == Token::Kind::kBlockEnd || token.is_operator("=") || token.is_operator(")") ||
          token.is_name("in")) {
        break;
      }
      out.several.push_back(target(attributes));
    }
    return out;
  }

  Target target(bool attributes) {
    if (in_.skip_operator("(")) {
      const ExpressionParser::Level level(in_);
      Target out = targets(attributes);
      in_.expect_operator(")");
      return out;
    }
    Target out;
    out.line = in_.peek().line;
    out.name = in_.expect_name();
    constexpr std::string_view kConstants[] = {"true", "false", "none", "True", "False", "None"};
    if (std::ranges::find(kConstants, out.name) != std::end(kConstants)) {
      in_.fail(fmt::format("'{}' cannot be assigned to", out.name));
    }
    if (attributes && in_.skip_operator(".")) {
      out.attribute = in_.expect_name();
    } else if (out.name == "loop" && loops_ > 0) {
      in_.fail("the special variable 'loop' cannot be assigned to inside of a loop");
    }
    return out;
  }

  Statement set_tag(int line) {
    Statement out = statement(Kind::kSet, line);
    out.targets.push_back(targets(/*attributes=*/true));
    if (in_.skip_operator("=")) {
      out.expressions.push_back(in_.tuple());
      end_tag();
      return out;
    }
    out.kind = Kind::kSetBlock;
    if (!out.targets[0].several.empty()) in_.fail("a block is set to one name");
    out.expressions.push_back(in_.filters(nullptr));
    out.body = body_until("endset", line);
    return out;
  }

  // Parameters in parentheses, then the body.
  std::unique_ptr<MacroParts> parameters() {
    auto out = std::make_unique<MacroParts>();
    in_.expect_operator("(");
    while (!in_.peek().is_operator(")")) {
      if (!out->parameters.empty()) in_.expect_operator(",");
      out->parameters.push_back(in_.expect_name());
      if (in_.skip_operator("=")) {
        out->defaults.push_back(in_.expression());
      } else if (!out->defaults.empty()) {
        in_.fail("a parameter without default after one with a default");
      }
    }
    in_.next();
    return out;
  }

  void macro_body(Statement& out, std::string_view end) {
    const size_t begin = in_.position();
    const int loops = std::exchange(loops_, 0);
    out.body = body_until(end, out.line);
    loops_ = loops;
    out.macro->uses_varargs = in_.has_name_since(begin, "varargs");
    out.macro->uses_kwargs = in_.has_name_since(begin, "kwargs");
    out.macro->uses_caller = in_.has_name_since(begin, "caller");
  }

  Statement macro_tag(int line) {
    Statement out = statement(Kind::kMacro, line);
    std::string name = in_.expect_name();
    out.macro = parameters();
    out.macro->name = std::move(name);
    macro_body(out, "endmacro");
    return out;
  }

  Statement call_tag(int line) {
    Statement out = statement(Kind::kCallBlock, line);
    out.macro = in_.peek().is_operator("(") ? parameters() : std::make_unique<MacroParts>();
    out.macro->name = "caller";
    out.expressions.push_back(in_.expression());
    if (out.expressions[0]->kind != Expression::Kind::kCall) in_.fail("{% call %} needs a call of a macro");
    macro_body(out, "endcall");
    return out;
  }

  Statement filter_tag(int line) {
    Statement out = statement(Kind::kFilterBlock, line);
    out.expressions.push_back(in_.filters(nullptr, /*needs_one=*/true));
    out.body = body_until("endfilter", line);
    return out;
  }

  Statement with_tag(int line) {
    Statement out = statement(Kind::kWith, line);
    while (in_.peek().kind != Token::Kind::kBlockEnd) {
      if (!out.targets.empty()) in_.expect_operator(",");
      out.targets.push_back(target(/*attributes=*/false));
      in_.expect_operator("=");
      out.expressions.push_back(in_.expression());
    }
    out.body = body_until("endwith", line);
    return out;
  }

  // transformers' mark of what the assistant says: nothing of it is printed.
  Statement generation_tag(int line) {
    Statement out = statement(Kind::kWith, line);
    out.body = body_until("endgeneration", line);
    return out;
  }

  Statement print_tag(int line) {
    Statement out = statement(Kind::kOutput, line);
    out.expressions.push_back(in_.tuple());
    end_tag();
    return out;
  }

  Statement loop_control(Kind kind, std::string_view name, int line) {
    if (loops_ == 0) in_.fail(fmt::format("'{}' outside of a loop", name));
    end_tag();
    return statement(kind, line);
  }
  Statement break_tag(int line) { return loop_control(Kind::kBreak, "break", line); }
  Statement continue_tag(int line) { return loop_control(Kind::kContinue, "continue", line); }

  ExpressionParser in_;
  const std::string& name_;
  int loops_ = 0;  // around the current tag
};

}  // namespace

Body parse(std::string_view source, const std::string& name) { return Parser(tokenize(source, name), name).whole(); }

}  // namespace fathom::jinja
