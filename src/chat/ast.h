// A template as a tree.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/value.h"

namespace fathom::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;
struct Statement;
using Body = std::vector<Statement>;

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr more_positional, more_named;  // *items, **object
};

struct FilterRow;
struct TestRow;

struct Expression {
  enum class Kind : uint8_t {
    kConstant,
    kName,
    kList,
    kTuple,
    kDict,  // parts: key, value, key, value
    kAttribute,
    kItem,    // parts: object, index
    kSlice,   // parts: object, start, stop, step, each of which may be null
    kCall,    // parts: what is called
    kFilter,  // parts: the subject; null inside a filter block
    kTest,
    kUnary,   // op "-", "+", "not"
    kBinary,  // op "+", "==" is kCompare
    kAnd,
    kOr,
    kConcat,
    kCompare,     // parts: operands; names: operators between them
    kConditional  // parts: value, condition, other value or null
  };

  Kind kind = Kind::kConstant;
  int line = 0;
  int depth = 1;  // of the tree below and with it
  Value constant;
  std::string name;  // of a variable, an attribute, an operator
  std::vector<std::string> names;
  std::vector<ExpressionPtr> parts;
  std::unique_ptr<CallArguments> arguments;
  const FilterRow* filter = nullptr;
  const TestRow* test = nullptr;
};

// What a value is assigned to: one name, an attribute of a namespace, or several of these.
struct Target {
  std::string name;
  std::string attribute;  // empty: the name itself
  std::vector<Target> several;
  int line = 0;
};

struct MacroParts {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExpressionPtr> defaults;  // of the last parameters
  // Whether the body uses what is passed beyond the parameters, and the block of a call.
  bool uses_varargs = false, uses_kwargs = false, uses_caller = false;
};

struct Branch {
  ExpressionPtr condition;  // null: else
  Body body;
};

struct Statement {
  enum class Kind : uint8_t {
    kText,
    kOutput,
    kIf,
    kFor,
    kSet,
    kSetBlock,
    kMacro,
    kCallBlock,
    kFilterBlock,
    kWith,
    kBreak,
    kContinue
  };

  Kind kind = Kind::kText;
  int line = 0;
  std::string text;
  // kOutput, kSet: one; kFor: items and the condition or null; kCallBlock, kFilterBlock: one; kSetBlock: a filter or
  // null; kWith: values of `targets`.
  std::vector<ExpressionPtr> expressions;
  std::vector<Target> targets;
  std::vector<Branch> branches;  // kIf
  Body body, otherwise;
  bool recursive = false;
  std::unique_ptr<MacroParts> macro;  // kMacro, kCallBlock
};

}  // namespace fathom::jinja
