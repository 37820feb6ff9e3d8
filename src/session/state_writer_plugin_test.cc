#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "session/state_folder.h"
#include "session/state_testing.h"
#include "session/state_writer.h"

namespace fathom {
namespace {

using testing::HasSubstr;

void expect_whole(const std::string& folder, const KnownState& known, const KnownState& reader) {
  const StateFolder stored(OrbaxFolder::open(folder), reader.config, reader.spec);
  EXPECT_EQ(stored.step(), KnownState::kStep);
  EXPECT_TRUE(stored.missing().empty());
  for (size_t i = 0; i < known.spec.entries.size(); ++i) {
    const StateEntry& entry = known.spec.entries[i];
    if (entry.role == StateRole::kCounter) continue;
    HostArray read = HostArray::allocate(entry.type.dtype, entry.type.shape.sizes());
    const SliceMemory all{{std::vector<int64_t>(read.sizes().size(), 0), read.sizes()}, read.mutable_data()};
    stored.fill(reader.spec.index(entry.name), {&all, 1});
    EXPECT_EQ(std::memcmp(read.data(), known.values[i].data(), static_cast<size_t>(read.bytes())), 0) << entry.name;
  }
}

int64_t bytes_below(const std::string& folder) {
  int64_t bytes = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder)) {
    if (file.is_regular_file()) bytes += static_cast<int64_t>(file.file_size());
  }
  return bytes;
}

TEST(StateWriter, TwoProcessesWriteTheirOwnHalvesOfOneCheckpoint) {
  TemporaryFolder folder;
  const KnownState known;
  const std::string step = folder / "checkpoints/6";
  known.write_by_two(step);
  expect_whole(step, known, known);
  const int64_t first = bytes_below(step + "/items/ocdbt.process_0");
  const int64_t second = bytes_below(step + "/items/ocdbt.process_1");
  // What is not split is written once, by the first.
  EXPECT_GT(second, 0.4 * static_cast<double>(known.spec.bytes()));
  EXPECT_GT(first, 0.5 * static_cast<double>(known.spec.bytes()));
  EXPECT_FALSE(std::filesystem::exists(step + "/fathom_marks"));
  EXPECT_FALSE(std::filesystem::exists(step + ".orbax-checkpoint-tmp"));
}

TEST(StateWriter, ChunkForEachFileAndOlderZarrHoldTheSame) {
  TemporaryFolder folder;
  const KnownState known(
      {"ici_fsdp_parallelism=4", "checkpoint_storage_use_ocdbt=false", "checkpoint_storage_use_zarr3=false"});
  known.write_by_two(folder / "6");
  expect_whole(folder / "6", known, known);
}

TEST(StateWriter, MaskedStateAndSgdComeBack) {
  for (const char* key : {"trainable_parameters_mask=['.*norm.*']", "opt_type=sgd"}) {
    TemporaryFolder folder;
    const KnownState known({"ici_fsdp_parallelism=4", key});
    known.write_by_two(folder / "6");
    expect_whole(folder / "6", known, known);
  }
}

TEST(StateWriter, ProcessWhosePartDoesNotComeIsNamedAndNothingIsLeft) {
  TemporaryFolder folder;
  const KnownState known;
  State state = known.of({0, 1});
  StateWriter writer(known.config, known.spec, {0, 2});
  writer.copy_out(state);
  {
    StepWriter step(folder / "6", writer.plan(), writer.share());
    writer.write(step, 0);
    step.finish();
    try {
      step.commit(std::chrono::seconds(0));
      FAIL() << "half of a state was committed";
    } catch (const RuntimeFault& e) {
      EXPECT_THAT(e.what(), HasSubstr("from process 1 within 0 s"));
    }
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(StateWriter, HeldStateIsWrittenAsACopiedOne) {
  TemporaryFolder folder;
  const KnownState known;
  State state = known.of({0, 1, 2, 3});
  StateWriter writer(known.config, known.spec, {0, 1});
  writer.hold(state);
  StepWriter step(folder / "6", writer.plan(), writer.share());
  writer.write(step, 0);
  step.finish();
  step.commit(std::chrono::seconds(0));
  expect_whole(folder / "6", known, known);
}

}  // namespace
}  // namespace fathom
