// What goes wrong with checkpoints is said, and harms none that is whole.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "checkpoint/step_writer.h"
#include "train_run.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class CheckpointFaults : public testing::Test {
 protected:
  Outcome start(const Words& more) const {
    Words keys = {"enable_checkpointing=true", "checkpoint_period=2", "learning_rate_schedule_steps=12"};
    keys.insert(keys.end(), more.begin(), more.end());
    return train(keys_with(keys, output_.path()));
  }
  std::string checkpoints() const { return output_ / "run/checkpoints"; }
  std::string checkpoint(int64_t step) const { return checkpoints() + "/" + std::to_string(step); }

  TemporaryFolder output_;
};

// The largest file below a folder: of a checkpoint its data.
fs::path largest_file(const std::string& folder) {
  fs::path out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && (out.empty() || entry.file_size() > fs::file_size(out))) out = entry.path();
  }
  return out;
}

TEST_F(CheckpointFaults, TruncatedNewestIsSaidAndTheOneBeforeIsTaken) {
  ASSERT_EQ(start({"steps=5"}).exit_code, 0);
  const std::vector<json> before = read_records(output_ / "run/metrics.jsonl");
  const fs::path data = largest_file(checkpoint(4));
  fs::resize_file(data, fs::file_size(data) / 2);
  const Outcome again = start({"steps=5"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err,
              AllOf(HasSubstr(checkpoint(4) + ": cannot be read"), HasSubstr("going on from " + checkpoint(2)),
                    HasSubstr("moved to " + checkpoint(4) + ".damaged")));
  const std::vector<json> after = read_records(output_ / "run/metrics.jsonl");
  ASSERT_EQ(after.size(), 5u);
  EXPECT_EQ(after[4]["learning/loss"], before[4]["learning/loss"]);
  EXPECT_THAT(whole_steps(checkpoints()), ElementsAre(0, 2, 4));
}

TEST_F(CheckpointFaults, NewestWithoutItsTreeIsPassedOver) {
  ASSERT_EQ(start({"steps=5"}).exit_code, 0);
  fs::resize_file(checkpoint(4) + "/items/_METADATA", 10);
  const Outcome again = start({"steps=6"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("going on from " + checkpoint(2)));
}

TEST_F(CheckpointFaults, OnlyOneDamagedCheckpointIsAnErrorThatNamesIt) {
  ASSERT_EQ(start({"steps=2", "max_num_checkpoints_to_keep=1"}).exit_code, 0);
  const fs::path data = largest_file(checkpoint(1));
  fs::resize_file(data, fs::file_size(data) / 2);
  const Outcome again = start({"steps=5"});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, AllOf(HasSubstr(checkpoint(1)), HasSubstr("none of the run's checkpoints can be read")));
  EXPECT_TRUE(fs::exists(data));
}

TEST_F(CheckpointFaults, NewestWhosePlaceInTheDataIsLostOrDamagedIsPassedOver) {
  for (const char* text : {"{\"epoch\": 0, \"posi", "[]", ""}) {
    ASSERT_EQ(start({"steps=5"}).exit_code, 0);
    const std::string place = checkpoint(4) + "/data_position/process_0.json";
    if (*text == 0) {
      fs::remove(place);
    } else {
      std::ofstream(place) << text;
    }
    const Outcome again = start({"steps=6"});
    EXPECT_EQ(again.exit_code, 0) << again.err;
    EXPECT_THAT(again.err, AllOf(HasSubstr(place), HasSubstr("going on from " + checkpoint(2))));
    fs::remove_all(output_ / "run");
  }
}

TEST_F(CheckpointFaults, SavedAgainAfterADamageACheckpointIsRemovedLikeOthers) {
  ASSERT_EQ(start({"steps=5"}).exit_code, 0);
  fs::resize_file(checkpoint(4) + "/items/_METADATA", 10);
  ASSERT_EQ(start({"steps=9", "max_num_checkpoints_to_keep=1"}).exit_code, 0);
  EXPECT_THAT(whole_steps(checkpoints()), ElementsAre(8));
}

TEST_F(CheckpointFaults, RunWithCheckpointsIsNotMixedWithOneThatWritesNone) {
  ASSERT_EQ(start({"steps=2"}).exit_code, 0);
  const Outcome other = start({"steps=2", "enable_checkpointing=false", "overwrite=true"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("holds checkpoints"));
  EXPECT_THAT(whole_steps(checkpoints()), ElementsAre(0, 1));
}

TEST_F(CheckpointFaults, FinishedRunThatSavedNothingIsNotBegunAgain) {
  const Words sparing = {"steps=3", "save_checkpoint_on_start=false", "save_checkpoint_on_completion=false",
                         "checkpoint_period=100"};
  ASSERT_EQ(start(sparing).exit_code, 0);
  const Outcome again = start(sparing);
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, HasSubstr("holds the metrics of another run"));
}

TEST_F(CheckpointFaults, AnotherModelOptimizerOrMaskIsNamedByItsKeys) {
  ASSERT_EQ(start({"steps=2"}).exit_code, 0);
  struct Case {
    Words keys;
    std::string named;
  };
  const Case cases[] = {{{"opt_type=sgd"}, "opt_type is sgd here and adamw there"},
                        {{"trainable_parameters_mask=['.*norm.*']"}, "trainable_parameters_mask"},
                        {{"adamw_mask=['kernel$']"}, "adamw_mask"},
                        {{"override_model_config=true", "num_experts_per_tok=2"}, "num_experts_per_tok is 2 here"}};
  for (const Case& c : cases) {
    Words keys = c.keys;
    keys.push_back("steps=5");
    const Outcome other = start(keys);
    EXPECT_EQ(other.exit_code, 2) << c.named;
    EXPECT_THAT(other.err, AllOf(HasSubstr(c.named), HasSubstr("run_name"))) << c.named;
  }
  EXPECT_THAT(whole_steps(checkpoints()), ElementsAre(0, 1));
}

TEST_F(CheckpointFaults, LeftOversOfAKilledSaveAreClearedWithALine) {
  ASSERT_EQ(start({"steps=2"}).exit_code, 0);
  fs::create_directories(checkpoint(9) + ".orbax-checkpoint-tmp/items");
  fs::create_directories(checkpoints() + "/mine");
  const Outcome again = start({"steps=3"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("removed what a save that was ended left: 9.orbax-checkpoint-tmp"));
  EXPECT_FALSE(fs::exists(checkpoint(9) + ".orbax-checkpoint-tmp"));
  EXPECT_TRUE(fs::exists(checkpoints() + "/mine")) << "what is nobody's save is not touched";
}

// A limit on the size of a file stands for a disk that is full: the write fails.
Outcome train_with_small_files(const Words& keys, uint64_t bytes) {
  Words words = {"train", "configs/base.yml"};
  words.insert(words.end(), keys.begin(), keys.end());
  Process process(words, bytes);
  const int code = process.wait();
  return {.exit_code = code, .out = process.out(), .err = process.err()};
}

TEST_F(CheckpointFaults, FullDiskEndsTheRunWithItsReasonAndLeavesTheOthersWhole) {
  ASSERT_EQ(start({"steps=3"}).exit_code, 0);
  for (const char* async : {"true", "false"}) {
    Words keys = {"enable_checkpointing=true", "checkpoint_period=2", "learning_rate_schedule_steps=12", "steps=12",
                  std::string("async_checkpointing=") + async};
    const Outcome full = train_with_small_files(keys_with(keys, output_.path()), 1'000'000);
    EXPECT_EQ(full.exit_code, 1) << full.err;
    EXPECT_THAT(full.err, AllOf(HasSubstr(checkpoint(4)), HasSubstr("cannot write")));
    EXPECT_THAT(whole_steps(checkpoints()), ElementsAre(0, 2));
    EXPECT_FALSE(fs::exists(checkpoint(4) + ".orbax-checkpoint-tmp"));
  }
  EXPECT_EQ(start({"steps=6"}).exit_code, 0);
  EXPECT_THAT(whole_steps(checkpoints()), ElementsAre(0, 2, 4, 5));
}

TEST_F(CheckpointFaults, StateWithoutTheMomentsOfWhatIsTrainedNamesThemOrBeginsThemWhereAsked) {
  ASSERT_EQ(start({"steps=2", "trainable_parameters_mask=['.*norm.*']"}).exit_code, 0);
  TemporaryFolder other;
  auto go_on = [&](const Words& more) {
    Words keys = {"enable_checkpointing=true",
                  "load_parameters_path=", "load_full_state_path=" + checkpoint(1) + "/items", "steps=3",
                  "learning_rate_schedule_steps=12"};
    keys.insert(keys.end(), more.begin(), more.end());
    return train(keys_with(keys, other.path()));
  };
  const Outcome refused = go_on({});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("missing"), HasSubstr("opt_state.0.mu.params.decoder.")));
  EXPECT_FALSE(fs::exists(other / "run"));
  const Outcome begun = go_on({"init_missing_parameters=['.*']"});
  EXPECT_EQ(begun.exit_code, 0) << begun.err;
  EXPECT_THAT(begun.err, HasSubstr("begun as in a fresh run: mu."));
  EXPECT_EQ(read_records(other / "run/metrics.jsonl").at(0).at("step"), 2);
}

TEST_F(CheckpointFaults, StateOfFewerTrainedParametersLeavesTheOtherMomentsAside) {
  ASSERT_EQ(start({"steps=2"}).exit_code, 0);
  TemporaryFolder other;
  const Outcome masked = train(
      keys_with({"enable_checkpointing=true", "load_parameters_path=", "steps=3", "learning_rate_schedule_steps=12",
                 "load_full_state_path=" + checkpoint(1), "trainable_parameters_mask=['.*norm.*']"},
                other.path()));
  EXPECT_EQ(masked.exit_code, 0) << masked.err;
  EXPECT_THAT(masked.err, HasSubstr("not used, as their parameters are not trained here: opt_state.0.mu"));
}

}  // namespace
}  // namespace fathom
