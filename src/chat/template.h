// A Jinja template as transformers renders it.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "chat/runtime.h"

namespace fathom {

// Immutable; may be rendered from several threads at once.
class Template {
 public:
  // Throws FormatError with the line where the source is no Jinja or uses a tag, filter, test or method that is not
  // known. `name` is how messages call it.
  Template(std::string_view source, std::string name);
  ~Template();
  Template(const Template&) = delete;
  Template& operator=(const Template&) = delete;

  // `context`: an object; its members are the template's variables. Throws FormatError with the line where the template
  // fails, refuses (raise_exception) or goes beyond the limits.
  std::string render(const nlohmann::ordered_json& context, const jinja::Limits& limits = {}) const;

 private:
  struct Tree;
  std::string name_;
  std::unique_ptr<const Tree> tree_;
};

// json.dumps(value, ensure_ascii=False), with Python's separators and numbers.
std::string python_json(const nlohmann::ordered_json& value);

}  // namespace fathom
