// Whom a run's folder belongs to, and what an end before the first step leaves.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <thread>

#include "base/file.h"
#include "train_run.h"

namespace fathom {
namespace {

using testing::HasSubstr;

TEST(RunFolder, MetricsOfAnotherRunAreNeverDroppedUnasked) {
  TemporaryFolder output;
  const Words keys = keys_with({"steps=1"}, output.path());
  ASSERT_EQ(train(keys).exit_code, 0);
  const std::string before = read_file(output / "run/metrics.jsonl"), config = read_file(output / "run/config.yml");

  Outcome again = train(keys);
  EXPECT_EQ(again.exit_code, 2) << again.err;
  EXPECT_THAT(again.err, HasSubstr("run_name"));
  EXPECT_THAT(again.err, HasSubstr("overwrite=true"));
  EXPECT_EQ(read_file(output / "run/metrics.jsonl"), before);
  EXPECT_EQ(read_file(output / "run/config.yml"), config);

  Words overwriting = keys;
  overwriting.push_back("overwrite=true");
  EXPECT_EQ(train(overwriting).exit_code, 0);
  EXPECT_EQ(read_records(output / "run/metrics.jsonl").size(), 1u);
}

TEST(RunFolder, HasOneWriterAtATime) {
  TemporaryFolder output;
  Words endless = {"train", "configs/base.yml"};
  for (const std::string& word : keys_with({"steps=1000000", "dataset_type=synthetic"}, output.path())) {
    endless.push_back(word);
  }
  Process first(endless);
  first.wait_for_lines(1);
  Outcome second = train(keys_with({"steps=1", "overwrite=true"}, output.path()));
  first.send(SIGKILL);
  first.wait();
  EXPECT_EQ(second.exit_code, 2) << second.err;
  EXPECT_THAT(second.err, HasSubstr("another process is writing"));
}

TEST(RunFolder, MistakeThatIsFoundLateLeavesNoTrace) {
  TemporaryFolder output;
  Outcome outcome = train(keys_with({"base_output_directory=" + (output / "a/b"), "dataset_path=gone.txt",
                                     "metrics_file=" + (output / "c/d/copy.jsonl")},
                                    output / "a/b"));
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_TRUE(std::filesystem::is_empty(output.path()));
}

TEST(RunFolder, CopyOfTheMetricsThatIsAnotherRunsIsKeptAndNoFolderLeft) {
  TemporaryFolder output;
  const std::string copy = output.write("copy.jsonl", "{\"step\": 0}\n");
  Outcome outcome = train(keys_with({"metrics_file=" + copy}, output / "a/b"));
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("metrics_file"));
  EXPECT_EQ(read_file(copy), "{\"step\": 0}\n");
  EXPECT_FALSE(std::filesystem::exists(output / "a"));
}

TEST(RunFolder, SignalBeforeTheFirstStepEndsTheRunAtOnceAndLeavesNoTrace) {
  for (int signal : {SIGTERM, SIGHUP}) {
    TemporaryFolder output;
    Words words = {"train", "configs/base.yml"};
    for (const std::string& word : keys_with({"jax_cache_dir=", "dataset_type=synthetic"}, output / "out")) {
      words.push_back(word);
    }
    Process process(words);
    while (process.running() && !std::filesystem::exists(output / "out")) std::this_thread::yield();
    process.send(signal);
    EXPECT_EQ(process.wait(), 128 + signal) << process.err();
    EXPECT_THAT(process.err(), HasSubstr("stopped by a signal"));
    EXPECT_FALSE(std::filesystem::exists(output / "out"));
  }
}

}  // namespace
}  // namespace fathom
