#include "cli/command_line.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr FlagSpec kFlags[] = {{"only", "A,B", ""},
                               {"scan", "true|false|both", ""},
                               {"json", "", ""},
                               {"tokens", "N", ""},
                               {"input_fp8_hf_path", "PATH", ""}};

CommandLine parse(std::vector<std::string> args) { return parse_command_line(args, kFlags); }

TEST(CommandLine, TakesTheLastPartOfAModulePathAsTheCommand) {
  EXPECT_EQ(parse({"maxtext.trainers.pre_train.train"}).command, "train");
  EXPECT_EQ(parse({"train"}).command, "train");
}

TEST(CommandLine, SortsKeysFlagsAndWords) {
  CommandLine c = parse({"verify", "folder", "--only=logits,batch", "scan_layers=false", "--json", "configs/base.yml"});
  EXPECT_THAT(c.words, ElementsAre("folder"));
  EXPECT_THAT(c.config, ElementsAre("scan_layers=false", "configs/base.yml"));
  EXPECT_EQ(c.flag("only"), "logits,batch");
  EXPECT_EQ(c.flag("json"), "");
  EXPECT_FALSE(c.flag("scan").has_value());
}

TEST(CommandLine, TreatsDashesAndUnderscoresInFlagNamesAlike) {
  EXPECT_EQ(parse({"x", "--input-fp8-hf-path=a"}).flag("input_fp8_hf_path"), "a");
}

TEST(CommandLine, AValueMayHoldEqualsSigns) {
  EXPECT_THAT(parse({"t", "prompt=a=b c"}).config, ElementsAre("prompt=a=b c"));
}

TEST(CommandLine, AFlagsValueStandsBehindAnEqualsSignOrASpace) {
  for (const CommandLine& c : {parse({"verify", "--only=logits", "--json", "folder", "--scan=both"}),
                               parse({"verify", "--only", "logits", "--json", "folder", "--scan", "both"})}) {
    EXPECT_EQ(c.flag("only"), "logits");
    EXPECT_EQ(c.flag("scan"), "both");
    EXPECT_TRUE(c.has_bare("json"));
    EXPECT_THAT(c.words, ElementsAre("folder"));
  }
  EXPECT_EQ(parse({"x", "--tokens", "-1"}).flag("tokens"), "-1");
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{"verify", "--only"}, std::vector<std::string>{"verify", "--only", "--json"}}) {
    EXPECT_THAT([&] { parse(args); }, ThrowsMessage<ConfigError>("verify: --only needs a value: --only=A,B"));
  }
}

TEST(CommandLine, AFlagThatIsTrueOrFalseMayStandBareAndTakesTheNextWordOnlyWhereItIsOne) {
  constexpr FlagSpec kTruth[] = {{"enable_mtp", "[true|false]", ""}};
  auto read = [&](std::vector<std::string> args) { return parse_command_line(args, kTruth); };
  EXPECT_FALSE(read({"c"}).truth_flag("enable_mtp", false));
  EXPECT_TRUE(read({"c"}).truth_flag("enable_mtp", true));
  EXPECT_TRUE(read({"c", "--enable_mtp"}).truth_flag("enable_mtp", false));
  EXPECT_TRUE(read({"c", "--enable-mtp", "True"}).truth_flag("enable_mtp", false));
  EXPECT_FALSE(read({"c", "--enable_mtp", "false"}).truth_flag("enable_mtp", true));
  EXPECT_FALSE(read({"c", "--enable_mtp=0"}).truth_flag("enable_mtp", true));
  const CommandLine beside = read({"c", "--enable_mtp", "folder"});
  EXPECT_TRUE(beside.truth_flag("enable_mtp", false));
  EXPECT_THAT(beside.words, ElementsAre("folder"));
  EXPECT_THAT(
      [&] {
        read({"c", "--enable_mtp=maybe"}).truth_flag("enable_mtp", false);
      },
      ThrowsMessage<ConfigError>("c: --enable_mtp=maybe: true or false"));
}

TEST(CommandLine, RefusesAnUnknownFlagByName) {
  EXPECT_THAT(
      [] {
        parse({"verify", "--onli=logits"});
      },
      ThrowsMessage<ConfigError>("verify: unknown flag --onli (nearest: --only); it takes --only, --scan, --json, "
                                 "--tokens, --input_fp8_hf_path"));
  EXPECT_THAT(
      [] {
        parse({"train", "--max-target-length=4"});
      },
      ThrowsMessage<ConfigError>(HasSubstr("max_target_length is a key: give max_target_length=...")));
}

TEST(CommandLine, CountsAreNumbersFromOne) {
  EXPECT_EQ(parse({"demo", "--tokens=3"}).count_flag("tokens", 48), 3);
  EXPECT_EQ(parse({"demo"}).count_flag("tokens", 48), 48);
  for (const char* text : {"", "0", "-1", "3x", "1.5", " 3"}) {
    CommandLine c = parse({"demo", std::string("--tokens=") + text});
    EXPECT_THAT([&] { c.count_flag("tokens", 48); },
                ThrowsMessage<ConfigError>(std::string("demo: --tokens=") + text + ": must be a number of at least 1"));
  }
}

TEST(CommandLine, NumbersAreFiniteAndNotBelowZero) {
  EXPECT_EQ(parse({"c", "--tokens=2e-4"}).number_flag("tokens"), 2e-4);
  EXPECT_EQ(parse({"c", "--tokens=0"}).number_flag("tokens"), 0);
  EXPECT_FALSE(parse({"c"}).number_flag("tokens"));
  for (const char* text : {"", "-1", "nan", "inf", "1e999", "2e-4x", " 1"}) {
    CommandLine c = parse({"c", std::string("--tokens=") + text});
    EXPECT_THAT([&] { c.number_flag("tokens"); },
                ThrowsMessage<ConfigError>(std::string("c: --tokens=") + text + ": must be a number of at least 0"));
  }
}

TEST(CommandLine, RefusesWordsWhereACommandTakesNone) {
  EXPECT_NO_THROW(parse({"train", "steps=1", "my.yml"}).refuse_words());
  EXPECT_THAT(
      [] {
        parse({"train", "stray"}).refuse_words();
      },
      ThrowsMessage<ConfigError>("train: 'stray' is neither a .yml file nor key=value"));
  EXPECT_THAT(
      [] {
        parse({"train", "learning-rate=1"}).refuse_words();
      },
      ThrowsMessage<ConfigError>(HasSubstr("(the key is learning_rate)")));
}

TEST(CommandLine, ShortHelpIsHelp) {
  EXPECT_TRUE(parse({"-h"}).flag("help").has_value());
  EXPECT_TRUE(parse({"train", "-h"}).flag("help").has_value());
  EXPECT_EQ(parse({"-h"}).command, "");
}

}  // namespace
}  // namespace fathom
