#include "cli/commands.h"

#include <gmock/gmock.h>

#include <sstream>

#include "base/error.h"
#include "config/keys/keys.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct Said {
  int code = 0;
  std::string out;
};

Said say(std::vector<std::string> args) {
  testing::internal::CaptureStdout();
  int code = run_command(args, {});
  return {code, testing::internal::GetCapturedStdout()};
}

std::string refusal(std::vector<std::string> args) {
  try {
    run_command(args, {});
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "accepted";
}

TEST(Commands, HelpIsFoundHoweverItIsAsked) {
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{"-h"}, std::vector<std::string>{"--help"}, std::vector<std::string>{"help"}}) {
    Said said = say(args);
    EXPECT_EQ(said.code, 0);
    EXPECT_THAT(said.out, AllOf(HasSubstr("usage: fathom COMMAND"), HasSubstr("train_compile")));
  }
  EXPECT_EQ(say({}).code, 2);
}

TEST(Commands, EveryCommandExplainsItsFlagsAndKeys) {
  for (const Command& c : commands()) {
    std::string name(c.name);
    std::string help = say({name, "--help"}).out;
    EXPECT_EQ(help, say({name, "-h"}).out);
    EXPECT_EQ(help, say({"help", name}).out);
    EXPECT_EQ(help, say({"a.b." + name, "--help"}).out);
    EXPECT_THAT(help, StartsWith("fathom " + name + ": "));
    for (const FlagSpec& flag : c.flags) EXPECT_THAT(help, HasSubstr("--" + std::string(flag.name)));
    std::istringstream keys{std::string(c.keys)};
    for (std::string key; keys >> key;) EXPECT_NE(find_key(key), nullptr) << name << " names " << key;
  }
  EXPECT_THAT(say({"train", "--help"}).out,
              AllOf(HasSubstr("with their values in configs/base.yml"), HasSubstr("max_target_length (2048): ")));
  EXPECT_THAT(say({"train_sft", "--help"}).out,
              AllOf(HasSubstr("with their values in configs/post_train/sft.yml"),
                    HasSubstr("\n  train_data_columns ([messages]): "), HasSubstr("\n  learning_rate (2.0e-5): "),
                    HasSubstr("\n  sft_train_on_completion_only (true): "), HasSubstr("max_target_length (2048): ")));
}

TEST(Commands, NamesTheNearestOfAnUnknownOne) {
  EXPECT_THAT(refusal({"trian"}), HasSubstr("unknown command 'trian' (nearest: train); there are train, "));
  EXPECT_THAT(refusal({"maxtext.trainers.post_train.rl.train_rl"}), HasSubstr("the command train_rl is not built"));
  EXPECT_THAT(refusal({"help", "verfy"}), HasSubstr("nearest: verify"));
  EXPECT_THAT(refusal({"--hlep"}), HasSubstr("unknown flag --hlep"));
  EXPECT_THAT(refusal({"train", "--fast"}), HasSubstr("train: unknown flag --fast; it takes --dump_batch"));
}

TEST(Commands, VersionTellsCommitInterfaceAndPlugins) {
  Said said = say({"--version"});
  EXPECT_EQ(said.code, 0);
  EXPECT_THAT(said.out,
              testing::ContainsRegex("^fathom [0-9]+\\.[0-9]+\\.[0-9]+ \\(commit ([0-9a-f]+(-dirty)?|unknown)\\)"));
  EXPECT_THAT(said.out,
              AllOf(testing::ContainsRegex("PJRT API 0\\.[0-9]+"), HasSubstr("  cpu: "), HasSubstr("  tpu: ")));
}

TEST(Commands, KeysPrintsTheRowsThatMatch) {
  std::string some = say({"keys", "warmup"}).out;
  EXPECT_THAT(some, AllOf(HasSubstr("| warmup_steps_fraction |"), Not(HasSubstr("| dtype |"))));
  EXPECT_THAT(say({"keys", "max_seq_len"}).out, HasSubstr("| max_target_length |"));
  EXPECT_THAT(say({"keys"}).out, HasSubstr("# Keys"));
  EXPECT_THAT(refusal({"keys", "qqqq"}), HasSubstr("no key matches qqqq"));
}

// What a Tab makes of a line is tried in real shells (tests/completion).
TEST(Commands, CompletionKnowsCommandsFlagsKeysAndTheirValues) {
  const std::string bash = say({"completion", "bash"}).out, zsh = say({"completion", "zsh"}).out;
  EXPECT_THAT(bash, HasSubstr("\ncomplete -o bashdefault -o default -F _fathom fathom\n"));
  EXPECT_THAT(zsh, HasSubstr("\ncompdef _fathom fathom\n"));
  for (const std::string& script : {bash, zsh}) {
    for (const Command& c : commands()) {
      EXPECT_THAT(script, HasSubstr("\n    " + std::string(c.name) + ") flags='--help"));
      for (const FlagSpec& flag : c.flags) EXPECT_THAT(script, HasSubstr(" --" + std::string(flag.name)));
    }
    EXPECT_THAT(script, AllOf(HasSubstr(" max_target_length="), HasSubstr("hardware) list='cpu tpu gpu' ;;"),
                              HasSubstr("scan) list='true false both' ;;"), HasSubstr("words='bash zsh' ;;")));
  }
  EXPECT_THAT(refusal({"completion", "fish"}), HasSubstr("fathom completion bash|zsh"));
}

}  // namespace
}  // namespace fathom
