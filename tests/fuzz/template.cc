#include "chat/template.h"

#include <nlohmann/json.hpp>

#include "targets.h"

namespace fathom {

void fuzz_template(std::string_view input) {
  using Json = nlohmann::ordered_json;
  static const Json context = Json::parse(R"({"messages": [{"role": "system", "content": "S"},
    {"role": "user", "content": " Hä? "}, {"role": "assistant", "content": null, "tool_calls": [{"type": "function",
    "function": {"name": "f", "arguments": "{}"}}]}], "bos_token": "<s>", "eos_token": "</s>", "tools": null,
    "add_generation_prompt": true, "n": 3, "x": -1.5})");
  // Small limits: what is slow within larger ones is no fault.
  const jinja::Limits limits{.steps = 100'000, .bytes = 16 << 20, .output = 1 << 20};
  expect_error_at_most([&] { Template(input, "template").render(context, limits); });
}

}  // namespace fathom
