#include "chat/template.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/utf8.h"
#include "chat/ast.h"
#include "chat/evaluator.h"
#include "chat/parser.h"
#include "chat/python_text.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxSource = size_t{4} << 20;

jinja::Value value_of(jinja::Runtime& runtime, const Json& json, int depth = 0) {
  if (depth > jinja::kMaxValueDepth) runtime.fail("lists and objects are nested too deep");
  switch (json.type()) {
    case Json::value_t::null:
      return jinja::None{};
    case Json::value_t::boolean:
      return json.get<bool>();
    case Json::value_t::number_integer:
      return jinja::Integer{json.get<int64_t>()};
    case Json::value_t::number_unsigned:
      return static_cast<jinja::Integer>(json.get<uint64_t>());
    case Json::value_t::number_float:
      return json.get<double>();
    case Json::value_t::string:
      return runtime.text(json.get<std::string>());
    case Json::value_t::array: {
      std::vector<jinja::Value> items;
      for (const Json& item : json) items.push_back(value_of(runtime, item, depth + 1));
      return runtime.list(std::move(items));
    }
    case Json::value_t::object: {
      std::vector<std::pair<jinja::Value, jinja::Value>> items;
      for (const auto& [key, item] : json.items()) {
        items.emplace_back(runtime.text(key), value_of(runtime, item, depth + 1));
      }
      return runtime.dict(std::move(items));
    }
    default:
      return jinja::Undefined{};
  }
}

}  // namespace

struct Template::Tree {
  jinja::Body body;
};

Template::Template(std::string_view source, std::string name) : name_(std::move(name)) {
  if (source.size() > kMaxSource) throw FormatError(name_, fmt::format("a template of more than {} bytes", kMaxSource));
  if (const size_t bad = find_invalid_utf8(source); bad != std::string_view::npos) {
    throw FormatError(name_, static_cast<int64_t>(bad), "the template is not UTF-8");
  }
  tree_ = std::make_unique<const Tree>(Tree{jinja::parse(source, name_)});
}

Template::~Template() = default;

std::string Template::render(const Json& context, const jinja::Limits& limits) const {
  jinja::Runtime runtime(name_, limits);
  jinja::Evaluator evaluator(runtime);
  for (const auto& [name, value] : context.items()) evaluator.set_global(name, value_of(runtime, value));
  return evaluator.render(tree_->body);
}

std::string python_json(const Json& value) {
  jinja::Runtime runtime("JSON", {});
  return jinja::to_json(runtime, value_of(runtime, value));
}

}  // namespace fathom
