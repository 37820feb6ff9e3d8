// The check of greedy decoding.
#include <algorithm>

#include "eval/checks.h"

namespace fathom {

PreparedCheck prepare_decode(CheckContext& context) {
  if (!context.has("decode.json")) return absent("no decode.json");
  if (!context.has_weights("hf")) return failed("there is decode.json, but no weights in hf");
  return [&model = context.model("hf"), want = read_decoded_prompts(context.path("decode.json"))] {
    std::vector<TokenRow> prompts;
    size_t count = 0;
    for (const DecodedPrompt& one : want) {
      prompts.push_back(one.prompt);
      count = std::max(count, one.tokens.size());
    }
    const auto& got = model.decoded(prompts, static_cast<int64_t>(count));
    Comparison comparison(0);
    for (size_t i = 0; i < want.size(); ++i) {
      const auto& tokens = want[i].tokens;
      comparison.exact(std::span(got[i]).first(tokens.size()), tokens, want[i].prompt.where);
    }
    return CheckResult{{comparison}, ""};
  };
}

}  // namespace fathom
