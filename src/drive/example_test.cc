#include "drive/example.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "data/packing.h"

namespace fathom {
namespace {

TEST(Example, MarksWhatIsTrainedOfEachDocument) {
  const std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::load("tests/data/tokenizer");
  RowPacker packer({.rows = 2, .length = 16, .pad_id = 1});
  const auto place = [&](const std::string& prompt, const std::string& answer) {
    std::vector<int32_t> ids = tokenizer->encode(prompt);
    std::vector<uint8_t> counts(ids.size());
    for (const int32_t id : tokenizer->encode(answer)) {
      ids.push_back(id);
      counts.push_back(1);
    }
    ASSERT_TRUE(packer.place(ids, counts));
  };
  place("<｜User｜>a<｜Assistant｜>", "b<｜end▁of▁sentence｜>");
  place("<｜User｜>c<｜Assistant｜>", "<｜end▁of▁sentence｜>");
  EXPECT_EQ(example_text(packer.take(), *tokenizer),
            "the first row: 2 documents, 9 of 16 places filled, 3 targets; what is trained stands in ⟦⟧\n"
            "--- document 1\n<｜User｜>a<｜Assistant｜>⟦b<｜end▁of▁sentence｜>⟧\n"
            "--- document 2\n<｜User｜>c<｜Assistant｜>⟦<｜end▁of▁sentence｜>⟧\n---\n");
}

TEST(Example, NumbersWithoutATokenizerAreAMistake) {
  EXPECT_THROW(print_example(Batch::padding(1, 4), nullptr), ConfigError);
}

}  // namespace
}  // namespace fathom
