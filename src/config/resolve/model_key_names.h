// The keys that make a model, for those who compare two configurations.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

namespace fathom {

// Those of which its arrays, or what it computes of them, depend: sizes, rotary embedding, routing.
std::span<const std::string_view> model_key_names();

// The lines "key: value" of a configuration as to_yaml() writes it.
std::map<std::string, std::string> yaml_values(const std::string& yaml);

}  // namespace fathom
