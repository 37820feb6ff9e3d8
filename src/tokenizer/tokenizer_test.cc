#include "tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "tokenizer/golden_testing.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kFolder = "tests/data/tokenizer";

json small_tokenizer() { return json::parse(read_file("tests/data/tokenizer/tokenizer.json")); }

std::shared_ptr<const Tokenizer> load_json(const json& file) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", file.dump());
  return Tokenizer::load(folder.path());
}

// The message of the error when the small tokenizer's file is changed like this.
std::string error_after(const std::function<void(json&)>& change) {
  json file = small_tokenizer();
  change(file);
  try {
    load_json(file);
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr("tokenizer.json: "));
    return error.what();
  }
  return "no error";
}

TEST(Tokenizer, EveryVariantOfPreTokenizersAndFlagsGivesTheReferenceIds) {
  const auto variants = read_golden_lines("tests/data/tokenizer/variants.jsonl");
  EXPECT_EQ(variants.size(), 8u);
  for (const json& variant : variants) {
    json file = small_tokenizer();
    file.merge_patch(variant["patch"]);
    json merges = json::array();
    const size_t keep = variant["keep_merges"];
    for (size_t i = 0; i < file["model"]["merges"].size(); i += keep) merges.push_back(file["model"]["merges"][i]);
    file["model"]["merges"] = merges;
    const auto tokenizer = load_json(file);
    for (const json& row : variant["rows"]) {
      SCOPED_TRACE(variant["name"].get<std::string>() + " " + row["text"].dump());
      const auto ids = row["ids"].get<std::vector<int32_t>>();
      EXPECT_EQ(tokenizer->encode(row["text"].get<std::string>()), ids);
      EXPECT_EQ(tokenizer->decode(ids), row["decoded"].get<std::string>());
      EXPECT_EQ(tokenizer->decode(ids, true), row["decoded_skip_special"].get<std::string>());
    }
  }
}

// make_folders.py says what the lines hold.
TEST(Tokenizer, EveryFolderIsReadAsTheReferenceReadsIt) {
  const auto lines = read_golden_lines("tests/data/tokenizer/folders.jsonl");
  EXPECT_EQ(lines.size(), 11u);
  for (const json& line : lines) {
    SCOPED_TRACE(line["name"].get<std::string>());
    const TemporaryFolder folder;
    json file = small_tokenizer();
    for (const json& token : line.value("added", json::array())) file["added_tokens"].push_back(token);
    file["model"]["vocab"].update(line.value("vocab", json::object()));
    folder.write("tokenizer.json", file.dump());
    for (const auto& [name, content] : line["files"].items()) folder.write(name, content.get<std::string>());
    const auto tokenizer = Tokenizer::load(folder.path());
    for (const json& row : line["rows"]) {
      const auto ids = row["ids"].get<std::vector<int32_t>>();
      EXPECT_EQ(tokenizer->encode(row["text"].get<std::string>()), ids) << row["text"];
      EXPECT_EQ(tokenizer->decode(ids), row["decoded"].get<std::string>());
      EXPECT_EQ(tokenizer->decode(ids, true), row["decoded_skip_special"].get<std::string>());
    }
    auto id = [&](const char* name) {
      const json& value = line["ids"][name];
      return value.is_null() ? std::nullopt : std::optional<int32_t>(value.get<int32_t>());
    };
    EXPECT_EQ(tokenizer->bos_id(), id("bos"));
    EXPECT_EQ(tokenizer->eos_id(), id("eos"));
    EXPECT_EQ(tokenizer->pad_id(), id("pad"));
    EXPECT_EQ(tokenizer->unk_id(), id("unk"));
  }
}

TEST(Tokenizer, MergesAsPairsAreTheSame) {
  json file = small_tokenizer();
  for (json& merge : file["model"]["merges"]) {
    const auto text = merge.get<std::string>();
    merge = {text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)};
  }
  check_goldens(*load_json(file), "tests/data/tokenizer/encode.jsonl", 339);
}

TEST(Tokenizer, FileOrFolderMayBeNamed) {
  EXPECT_EQ(Tokenizer::load("tests/data/tokenizer/tokenizer.json")->bos_id(), 0);
  EXPECT_EQ(Tokenizer::load(kFolder)->bos_id(), 0);
}

TEST(Tokenizer, ConfigNamesTheSpecialTokens) {
  const auto tokenizer = Tokenizer::load(kFolder);
  EXPECT_EQ(tokenizer->bos_id(), 0);
  EXPECT_EQ(tokenizer->eos_id(), 1);
  EXPECT_EQ(tokenizer->pad_id(), 1);
  EXPECT_EQ(tokenizer->unk_id(), std::nullopt);
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_FALSE(tokenizer->adds_eos());
}

TEST(Tokenizer, WithoutAConfigThereAreNoSpecialTokens) {
  const auto tokenizer = load_json(small_tokenizer());
  EXPECT_EQ(tokenizer->bos_id(), std::nullopt);
  EXPECT_FALSE(tokenizer->adds_bos());
}

TEST(Tokenizer, SpecialTokensOfTheConfigMayBeStrings) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", small_tokenizer().dump());
  folder.write("tokenizer_config.json", R"({"bos_token": "<think>", "pad_token": null, "add_eos_token": true})");
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->bos_id(), tokenizer->token_to_id("<think>"));
  EXPECT_EQ(tokenizer->pad_id(), std::nullopt);
  EXPECT_TRUE(tokenizer->adds_eos());
}

TEST(Tokenizer, TokensAndIdsAreEachOthersInverse) {
  const auto tokenizer = Tokenizer::load(kFolder);
  EXPECT_EQ(tokenizer->vocab_size(), 1785);
  for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
    EXPECT_EQ(tokenizer->token_to_id(tokenizer->id_to_token(id)), id);
  }
  EXPECT_EQ(tokenizer->token_to_id("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer->id_to_token(223), "Ġ");
  EXPECT_EQ(tokenizer->token_bytes(223), " ");
  EXPECT_TRUE(tokenizer->is_special(0));
  EXPECT_FALSE(tokenizer->is_special(1768));
}

TEST(Tokenizer, IdsWithoutATokenStandForNothing) {
  const auto tokenizer = Tokenizer::load(kFolder);
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{-1, 42, 1785, 1791, 42, 2000000000}), "HH");
  EXPECT_EQ(tokenizer->id_to_token(-1), "");
  EXPECT_EQ(tokenizer->token_bytes(1785), "");
  EXPECT_FALSE(tokenizer->is_special(1 << 30));
}

TEST(Tokenizer, TextThatIsNotUtf8IsRefusedWithItsPlace) {
  const auto tokenizer = Tokenizer::load(kFolder);
  try {
    tokenizer->encode("ab\xff");
    FAIL() << "no error";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("not UTF-8 at byte 2"));
  }
}

TEST(Tokenizer, ThreadsThatShareItGetTheSameIds) {
  const auto tokenizer = Tokenizer::load(kFolder);
  const std::string text = read_file("tests/data/data/corpus.txt").substr(0, 100000);
  const auto expected = tokenizer->encode(text);
  EXPECT_EQ(tokenizer->decode(expected), text);
  std::vector<std::thread> threads;
  std::vector<int> equal(4, 0);
  for (int& found : equal) {
    threads.emplace_back([&] {
      for (int i = 0; i < 3; ++i) found += tokenizer->encode(text) == expected;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(equal, ElementsAre(3, 3, 3, 3));
}

TEST(TokenizerErrors, AMissingFileIsAConfigError) {
  const TemporaryFolder folder;
  EXPECT_THROW(Tokenizer::load(folder.path()), ConfigError);
  EXPECT_THROW(Tokenizer::load(folder / "no/such/folder"), ConfigError);
}

TEST(TokenizerErrors, BrokenJsonIsReportedWithItsPlace) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", "{\"model\": {\"vocab\": {\"a\": 1,}}}");
  try {
    Tokenizer::load(folder.path());
    FAIL() << "no error";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr("tokenizer.json: at byte 28: not JSON"));
  }
}

TEST(TokenizerErrors, FilesOfAnotherShapeAreErrorsNotCrashes) {
  const TemporaryFolder folder;
  for (const char* text : {"", "[]", "3", "null", "{}", R"({"model": []})", R"({"model": {"vocab": [1, 2]}})",
                           R"({"model": {"vocab": {"a": {"b": 1}}}})", R"({"model": {"merges": {"a": 1}}})",
                           R"({"model": {"merges": [[["a"], "b"]]}})", R"({"model": {"vocab": 3, "merges": "x"}})"}) {
    folder.write("tokenizer.json", text);
    EXPECT_THROW(Tokenizer::load(folder.path()), FormatError) << text;
  }
}

TEST(TokenizerErrors, FaultsOfTheVocabularyAreNamed) {
  EXPECT_THAT(error_after([](json& f) { f["model"]["vocab"]["new"] = -4; }),
              HasSubstr("model.vocab['new'] must be an id"));
  EXPECT_THAT(error_after([](json& f) { f["model"]["vocab"]["new"] = 1e12; }), HasSubstr("model.vocab['new']"));
  EXPECT_THAT(error_after([](json& f) { f["model"]["vocab"]["new"] = uint64_t{1} << 63; }),
              HasSubstr("model.vocab['new'] must be an id"));
  EXPECT_THAT(error_after([](json& f) { f["model"]["vocab"].erase("Ġ"); }), HasSubstr("has no token 'Ġ'"));
  EXPECT_THAT(error_after([](json& f) {
                f["model"]["vocab"].erase("!");
                f["model"]["merges"] = json::array();
              }),
              HasSubstr("has no token '!' for the byte 0x21"));
  EXPECT_THAT(error_after([](json& f) { f["model"]["merges"][3] = "a b c"; }), HasSubstr("model.merges[3] must be"));
  EXPECT_THAT(error_after([](json& f) { f["model"]["merges"][3] = {"a"}; }), HasSubstr("model.merges[3] must be"));
  EXPECT_THAT(error_after([](json& f) { f["model"]["merges"][3] = 5; }), HasSubstr("model.merges[3] must be"));
  EXPECT_THAT(error_after([](json& f) { f["model"]["merges"][3] = "zz qq"; }), HasSubstr("model.merges[3]"));
}

TEST(TokenizerErrors, WhatIsNotSupportedIsNamedWithItsKey) {
  EXPECT_THAT(error_after([](json& f) { f["model"]["type"] = "Unigram"; }), HasSubstr("model.type is 'Unigram'"));
  EXPECT_THAT(error_after([](json& f) { f["model"]["dropout"] = 0.1; }), HasSubstr("model.dropout"));
  EXPECT_THAT(error_after([](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }), HasSubstr("end_of_word_suffix"));
  EXPECT_THAT(error_after([](json& f) { f["normalizer"] = {{"type", "NFC"}}; }), HasSubstr("normalizer.type is 'NFC'"));
  EXPECT_THAT(error_after([](json& f) { f["decoder"] = {{"type", "WordPiece"}}; }), HasSubstr("decoder.type"));
  EXPECT_THAT(error_after([](json& f) { f["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }),
              HasSubstr("pre_tokenizer.pretokenizers[0].behavior is 'Removed'"));
  EXPECT_THAT(error_after([](json& f) { f["pre_tokenizer"]["pretokenizers"][1]["pattern"]["Regex"] = "a*?"; }),
              HasSubstr("pre_tokenizer.pretokenizers[1].pattern.Regex cannot be used: unsupported construct 'a*?'"));
  EXPECT_THAT(error_after([](json& f) { f["pre_tokenizer"]["pretokenizers"][1]["type"] = "Metaspace"; }),
              HasSubstr("pretokenizers[1].type is 'Metaspace'"));
  EXPECT_THAT(error_after([](json& f) { f["pre_tokenizer"]["pretokenizers"].erase(3); }), HasSubstr("no ByteLevel"));
  EXPECT_THAT(error_after([](json& f) { f["pre_tokenizer"] = nullptr; }), HasSubstr("pre_tokenizer is missing"));
}

TEST(TokenizerErrors, FaultsOfAddedTokensAreNamed) {
  for (const json& id : {json(int64_t{1} << 32), json(int64_t{1} << 40), json(-1), json(1.5), json(nullptr)}) {
    EXPECT_THAT(error_after([&](json& f) { f["added_tokens"][3]["id"] = id; }), HasSubstr("added_tokens[3].id "));
  }
  EXPECT_THAT(error_after([](json& f) { f["added_tokens"][3]["id"] = "x"; }), HasSubstr("added_tokens[3].id must be"));
  EXPECT_THAT(error_after([](json& f) { f["added_tokens"][3]["content"] = std::string(100000, 'a'); }),
              HasSubstr("the added token 'aaaaaaaaaaaaaaaaaaaa...' is 100000 bytes long"));
  EXPECT_THAT(error_after([](json& f) { f["added_tokens"][3]["lstrip"] = 1; }), HasSubstr("added_tokens[3].lstrip"));
  EXPECT_THAT(error_after([](json& f) { f["added_tokens"][3].erase("content"); }),
              HasSubstr("added_tokens[3].content is missing"));
}

TEST(TokenizerErrors, DeepOrEndlessFilesAreErrorsAndNoOverflow) {
  EXPECT_THAT(error_after([](json& f) {
                json sequence = f["pre_tokenizer"];
                for (int i = 0; i < 60; ++i) sequence = {{"type", "Sequence"}, {"pretokenizers", {sequence}}};
                f["pre_tokenizer"] = sequence;
              }),
              HasSubstr("more than 100 JSON lists and objects in one another"));
  EXPECT_THAT(error_after([](json& f) {
                json& steps = f["pre_tokenizer"]["pretokenizers"];
                const json digits = {{"type", "Digits"}};
                for (int i = 0; i < 200; ++i) steps.insert(steps.begin(), digits);
              }),
              HasSubstr("is one step more than the 100"));
  const TemporaryFolder folder;
  for (const std::string& text : {std::string(1000000, '['), "{\"model\": " + std::string(1000000, '[')}) {
    folder.write("tokenizer.json", text);
    EXPECT_THROW(Tokenizer::load(folder.path()), FormatError);
  }
  folder.write("tokenizer.json", small_tokenizer().dump());
  folder.write("tokenizer_config.json", "{\"pad_token\": " + std::string(1000000, '['));
  EXPECT_THROW(Tokenizer::load(folder.path()), FormatError);
}

TEST(TokenizerErrors, APatternThatExplodesNamesItsFile) {
  json file = small_tokenizer();
  file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "a*a*a*a*a*a*a*b";
  EXPECT_THAT([&] { load_json(file)->encode(std::string(2000, 'a')); },
              testing::ThrowsMessage<FormatError>(HasSubstr("a pattern of pre_tokenizer takes too many steps")));
}

// What stands in tests/data/cases: ids of tokenizers 0.23.3 and transformers 5.
class TokenizerFolders : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerFolders, AreReadAsTheReferenceReadsThem) {
  const std::string folder = std::string("tests/data/cases/") + GetParam();
  check_goldens(*Tokenizer::load(folder), folder + "/encode.jsonl", 1);
}

INSTANTIATE_TEST_SUITE_P(Cases, TokenizerFolders,
                         testing::Values("added_token_id_gap", "added_tokens_in_config", "added_tokens_json",
                                         "tokenizer_dup_same", "tokenizer_version_merge",
                                         "tokenizer_vocab_id_mismatch"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Tokenizer, SpecialTokensMayStandInTheirMapAlone) {
  const auto tokenizer = Tokenizer::load("tests/data/cases/special_tokens_map");
  EXPECT_EQ(tokenizer->bos_id(), 0);
  EXPECT_EQ(tokenizer->eos_id(), 1);
  EXPECT_EQ(tokenizer->pad_id(), std::nullopt);
}

TEST(Tokenizer, ATokenThatTheConfigAloneNamesIsAdded) {
  const auto tokenizer = Tokenizer::load("tests/data/cases/pad_token_new");
  EXPECT_EQ(tokenizer->pad_id(), 1785);
  EXPECT_EQ(tokenizer->vocab_size(), 1786);
  EXPECT_TRUE(tokenizer->is_special(1785));
  EXPECT_EQ(tokenizer->encode("[PAD]"), std::vector<int32_t>{1785});
}

}  // namespace
}  // namespace fathom
