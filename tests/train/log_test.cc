// The log of a run in its folder.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <regex>

#include "base/file.h"
#include "train_run.h"

namespace fathom {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

TEST(TrainLog, HoldsWhatTheRunSaidFromTheStartOfTheProgramOn) {
  TrainRun run({"steps=1", "log_config=true", "hf_access_token=hf_secret"});
  const std::string log = read_file(run.folder() + "/log.txt");
  EXPECT_EQ(log, run.outcome().err);
  EXPECT_THAT(log, HasSubstr("Config param max_target_length: 160"));
  EXPECT_THAT(log, HasSubstr("1 steps done"));
  EXPECT_THAT(log, Not(HasSubstr("hf_secret")));
}

// The error that ends a run is said twice, for the log and on stderr, perhaps in two seconds.
std::string without_times(const std::string& log) {
  return std::regex_replace(log, std::regex("(^|\n)([IWE][0-9]{4}) [0-9:]{8} "), "$1$2 ");
}

TEST(TrainLog, EndsWithTheErrorThatEndsTheRun) {
  TemporaryFolder output;
  // The metrics outgrow the size that a file may have, the log does not.
  Words words = {"train", "configs/base.yml"};
  for (const std::string& word : keys_with({"steps=1000"}, output.path())) words.push_back(word);
  Process process(words, 16'000);
  EXPECT_EQ(process.wait(), 1) << process.err();
  const std::string log = read_file(output / "run/log.txt");
  EXPECT_EQ(without_times(log), without_times(process.err()));
  EXPECT_THAT(log, ContainsRegex("\nE[0-9]{4} [0-9:]{8} .*metrics.jsonl.*\n$"));
}

TEST(TrainLog, EndsWithTheSignalThatStopsTheRun) {
  TemporaryFolder output;
  Words words = {"train", "configs/base.yml"};
  for (const std::string& word : keys_with({"steps=1000000", "dataset_type=synthetic"}, output.path())) {
    words.push_back(word);
  }
  Process process(words);
  process.wait_for_lines(2);
  process.send(SIGTERM);
  EXPECT_EQ(process.wait(), 128 + SIGTERM) << process.err();
  const std::string log = read_file(output / "run/log.txt");
  // What the handler of the signal says is no line of the log.
  const std::string handler = "\nstopping after this step; the same again stops at once\n";
  std::string err = process.err();
  ASSERT_THAT(err, HasSubstr(handler));
  err.erase(err.find(handler), handler.size());
  EXPECT_EQ(log, err);
  EXPECT_THAT(log, HasSubstr("stopped by signal 15 after step"));
}

TEST(TrainLog, GoesOnWithTheRunAndIsBegunAnewWhenTheRunIsOverwritten) {
  TemporaryFolder output;
  const std::string path = output / "run/log.txt";
  auto run = [&](const std::string& steps, const std::string& overwrite) {
    const Words keys = {"enable_checkpointing=true", steps, overwrite};
    Outcome outcome = train(keys_with(keys, output.path()));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome.err;
  };
  const std::string first = run("steps=2", "overwrite=false");
  EXPECT_EQ(read_file(path), first);
  const std::string second = run("steps=3", "overwrite=false");
  EXPECT_EQ(read_file(path), first + second);
  run("steps=3", "overwrite=false");
  EXPECT_EQ(read_file(path), first + second) << "a run with nothing left to do writes nothing";
  std::filesystem::remove_all(output / "run/checkpoints");
  const std::string third = run("steps=1", "overwrite=true");
  EXPECT_EQ(read_file(path), third);
}

TEST(TrainLog, ThatCannotBeWrittenIsOneWarning) {
  TemporaryFolder output;
  std::filesystem::create_directory(output / "run");
  std::filesystem::create_symlink("/dev/full", output / "run/log.txt");
  Outcome outcome = train(keys_with({"steps=2"}, output.path()));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.lines().size(), 2u);
  const std::string fault = "log.txt: cannot be written: No space left on device";
  EXPECT_THAT(outcome.err, HasSubstr(fault));
  EXPECT_EQ(outcome.err.find(fault), outcome.err.rfind(fault));
}

}  // namespace
}  // namespace fathom
