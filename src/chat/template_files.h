// The conversation templates of a model's folder.
#pragma once

#include <string>
#include <vector>

namespace fathom {

struct TemplateSource {
  std::string name;    // "default", "tool_use"
  std::string source;  // Jinja
  std::string place;   // how messages call it
};

// As transformers (5.24) finds them: chat_template.jinja ("default") and additional_chat_templates/NAME.jinja; without
// these chat_template.json, or tokenizer_config.json's chat_template, a text or a list of {"name", "template"}. Empty
// when there are none. Throws FormatError naming file and key.
std::vector<TemplateSource> read_template_files(const std::string& folder);

// The templates of a path that chat_template_path names: a folder as above, a .json file with chat_template in it, or a
// file that is the template. Throws ConfigError when there is no such path or no template.
std::vector<TemplateSource> read_template(const std::string& path);

}  // namespace fathom
