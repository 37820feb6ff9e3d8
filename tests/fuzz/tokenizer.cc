#include "tokenizer/tokenizer.h"

#include "targets.h"

namespace fathom {

void fuzz_tokenizer(std::string_view input) {
  const std::string path = fuzz_folder().write("tokenizer.json", input);
  expect_error_at_most([&] {
    const auto tokenizer = Tokenizer::load(path);
    const std::vector<int32_t> ids =
        tokenizer->encode("def f(x):\n  return 1234567 * x  # \xc3\xa9\xf0\x9f\x98\x80<|end|>");
    tokenizer->decode(ids);
  });
}

}  // namespace fathom
