#include "cli/command_line.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace fathom {
namespace {

using testing::ElementsAre;

CommandLine parse(std::vector<std::string> args) { return parse_command_line(args); }

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

TEST(CommandLine, RefusesAnUnknownFlagByName) {
  CommandLine c = parse({"verify", "--onli=logits"});
  constexpr std::string_view kKnown[] = {"only", "scan"};
  EXPECT_THROW(c.allow_flags(kKnown), ConfigError);
}

}  // namespace
}  // namespace fathom
