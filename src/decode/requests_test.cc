// Prompts as users give them.
#include "decode/requests.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "decode/prompt.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<Request> read(const std::string& text) {
  TemporaryFolder folder;
  write_file_atomically(folder / "p.jsonl", text);
  return read_requests(folder / "p.jsonl");
}

Config config_of(int64_t prefill, int64_t target) {
  Config c;
  c.vocab_size = 1792;
  c.max_prefill_predict_length = prefill;
  c.max_target_length = target;
  return c;
}

std::shared_ptr<const Tokenizer> tokenizer() { return Tokenizer::load("tests/data/deepseek_v3/hf"); }

TEST(Requests, AreAnObjectALine) {
  const auto got = read("{\"prompt\": \"The \"}\n\n{\"prompt_ids\": [1, 2], \"max_new_tokens\": 3}\n");
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].text, "The ");
  EXPECT_FALSE(got[0].most);
  EXPECT_THAT(got[1].ids, ElementsAre(1, 2));
  EXPECT_EQ(got[1].most, 3);
  EXPECT_THAT(got[1].where, HasSubstr("line 3"));
}

TEST(Requests, ThatAreNoneNameTheLine) {
  for (const char* line :
       {"[1]", "{\"prompt\": 3}", "{}", "{\"prompt\": \"a\", \"prompt_ids\": [1]}", "{\"text\": \"a\"}",
        "{\"prompt_ids\": []}", "{\"prompt_ids\": [-1]}", "{\"prompt_ids\": [4294967296]}",
        "{\"prompt\": \"a\", \"max_new_tokens\": 0}", "{\"prompt\": \"a\"", "\"a\""}) {
    EXPECT_THAT([&] { read(std::string("{\"prompt\": \"b\"}\n") + line + "\n"); },
                ThrowsMessage<FormatError>(HasSubstr("line 2: ")))
        << line;
  }
  EXPECT_THAT([] { read("{\"prompt\": \"a\", \"prompt\": \"b\"}"); },
              ThrowsMessage<FormatError>(HasSubstr("p.jsonl: line 1: the key 'prompt' stands twice")));
  EXPECT_THAT([] { read("\n"); }, ThrowsMessage<FormatError>(HasSubstr("there are no prompts")));
  EXPECT_THAT([] { read_requests("nowhere.jsonl"); }, ThrowsMessage<ConfigError>(HasSubstr("nowhere.jsonl")));
}

TEST(Requests, OfIdsAreAListOfNumbers) {
  EXPECT_THAT(request_of_ids("--prompt_ids", "1, 2,30").ids, ElementsAre(1, 2, 30));
  for (const char* ids : {"", "1,", "1,-2", "x", "1 2", "99999999999"}) {
    EXPECT_THAT([&] { request_of_ids("--prompt_ids", ids); }, ThrowsMessage<ConfigError>(HasSubstr("--prompt_ids=")));
  }
}

TEST(Requests, LongerThanTheirRoomNameBothNumbers) {
  const Request request = request_of_ids("--prompt_ids", "1,2,3,4,5");
  EXPECT_THAT([&] { prompts_of({request}, config_of(4, 10), nullptr); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("5 tokens"), HasSubstr("max_prefill_predict_length is 4"),
                                               HasSubstr("--prompt_ids"))));
  Request long_one = request;
  long_one.most = 6;
  EXPECT_THAT([&] { prompts_of({long_one}, config_of(5, 10), nullptr); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("6 new"), HasSubstr("max_target_length=10"))));
  EXPECT_THAT([&] { prompts_of({request}, config_of(10, 10), nullptr); },
              ThrowsMessage<ConfigError>(HasSubstr("max_target_length=10 leaves no token")));
}

TEST(Requests, GetTheRoomBehindThePrefillUnlessTheySayMore) {
  Request own = request_of_ids("--prompt_ids", "1,2,3");
  own.most = 7;
  const auto got = prompts_of({request_of_ids("--prompt_ids", "1,2,3"), own}, config_of(6, 10), nullptr);
  EXPECT_EQ(got[0].most, 4);
  EXPECT_EQ(got[1].most, 7);
}

TEST(Requests, OfTokensOutsideOfTheVocabularyAreRefused) {
  EXPECT_THAT([&] { prompts_of({request_of_ids("--prompt_ids", "1,1792")}, config_of(4, 10), nullptr); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("1792"), HasSubstr("vocabulary"))));
}

TEST(Requests, OfTextNeedATokenizer) {
  EXPECT_THAT([&] { prompts_of({{.where = "prompt", .text = "The"}}, config_of(4, 10), nullptr); },
              ThrowsMessage<ConfigError>(HasSubstr("tokenizer_path")));
}

TEST(Prompts, BeginWithTheBeginOfSentenceOnce) {
  const auto t = tokenizer();
  Config config = config_of(9, 20);
  const int32_t bos = t->bos_id().value();
  const auto plain = prompt_ids(*t, config, "prompt", "The ");
  ASSERT_EQ(plain[0], bos);
  const std::string with_bos = std::string(t->id_to_token(bos)) + "The ";
  EXPECT_EQ(prompt_ids(*t, config, "prompt", with_bos), plain);
  config.add_bos = false;
  EXPECT_EQ(prompt_ids(*t, config, "prompt", "The "), std::vector(plain.begin() + 1, plain.end()));
  EXPECT_EQ(prompt_ids(*t, config, "prompt", with_bos), plain);
  EXPECT_THAT([&] { prompt_ids(*t, config, "prompt", ""); }, ThrowsMessage<ConfigError>(HasSubstr("prompt: ")));
}

TEST(TextStream, HoldsBackACharacterThatIsNotWhole) {
  const auto t = tokenizer();
  const std::string text = "a \xe4\xb8\xad \xf0\x9f\x98\x80 \xc3\xa9.";
  TextStream stream(*t);
  std::string got;
  bool held = false;
  const auto ids = t->encode(text);
  for (int32_t id : ids) {
    const std::string more = stream.add(id);
    EXPECT_EQ(more.find("\xef\xbf\xbd"), std::string::npos) << "half a character is shown";
    held = held || more.empty();
    got += more;
  }
  EXPECT_TRUE(held) << "every character of the text is one token: another text is needed";
  EXPECT_EQ(got + stream.end(), text);
}

TEST(TextStream, GivesWhatIsLeftAtTheEndAndTheTextOfAllTokens) {
  const auto t = tokenizer();
  const auto face = t->encode("\xf0\x9f\x98\x80");
  ASSERT_GT(face.size(), 1u);
  std::vector<int32_t> ids = t->encode("cut ");
  ids.push_back(face[0]);
  ids.push_back(t->eos_id().value());
  for (int32_t id : t->encode(" off")) ids.push_back(id);
  ids.push_back(face[0]);
  TextStream stream(*t);
  std::string got;
  for (int32_t id : ids) got += stream.add(id);
  got += stream.end();
  EXPECT_EQ(got, t->decode(ids, true));
  EXPECT_TRUE(got.ends_with("\xef\xbf\xbd")) << got;
}

}  // namespace
}  // namespace fathom
