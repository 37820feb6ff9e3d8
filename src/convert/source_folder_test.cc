#include "convert/source_folder.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// A copy whose files have the times of the first one's.
void copy_with_times(const fs::path& from, const fs::path& to) {
  fs::copy(from, to, fs::copy_options::recursive);
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    if (entry.is_regular_file()) fs::last_write_time(to / fs::relative(entry.path(), from), entry.last_write_time());
  }
}

void touch(const fs::path& path) { fs::last_write_time(path, fs::last_write_time(path) + std::chrono::seconds(1)); }

TEST(SourceIdentity, IsThatOfTheWeightsAlone) {
  TemporaryFolder folder;
  const std::string model = folder / "model";
  copy_with_times("tests/data/deepseek_v3/hf", model);
  const std::string before = source_identity(model);
  EXPECT_EQ(before, source_identity(model));
  EXPECT_EQ(before, source_identity("tests/data/deepseek_v3/hf")) << "a copy that kept its times";
  folder.write("model/results.jsonl", "of a command that reads the weights");
  touch(model + "/tokenizer.json");
  EXPECT_EQ(before, source_identity(model));
  for (const char* name : {"model.safetensors", "config.json"}) {
    const std::string last = source_identity(model);
    touch(fs::path(model) / name);
    EXPECT_NE(last, source_identity(model)) << name;
  }
  EXPECT_EQ(source_identity(folder.path()), source_identity(folder / "nowhere"));
}

TEST(SourceIdentity, OfACheckpointIsThatOfItsTreeAndItsStep) {
  TemporaryFolder folder;
  const fs::path step = folder / "0";
  copy_with_times("tests/data/checkpoints/layouts/manager_default/3", step);
  const std::string before = source_identity(step.string());
  folder.write("0/results.jsonl", "of a command that reads the weights");
  EXPECT_EQ(before, source_identity(step.string()));
  std::vector<fs::path> files = {step / "_CHECKPOINT_METADATA"};
  for (const auto& entry : fs::recursive_directory_iterator(step / "default")) {
    if (entry.is_regular_file() && entry.path().parent_path() != step / "default") files.push_back(entry.path());
  }
  ASSERT_GT(files.size(), 1u);
  for (const fs::path& file : files) {
    const std::string last = source_identity(step.string());
    touch(file);
    EXPECT_NE(last, source_identity(step.string())) << file;
  }
  EXPECT_EQ(source_identity((step / "default").string()), source_identity((step / "default/").string()));
}

TEST(Companions, StandBesideATreeWhoseNameEndsInASlashToo) {
  TemporaryFolder folder;
  copy_with_times("tests/data/checkpoints/layouts/manager_default/3", folder / "0");
  folder.write("0/config.json", "{}");
  folder.write("0/tokenizer.json", "of the model");
  for (const char* tree : {"0/default", "0/default/"}) {
    const auto found = companions({.from = folder / tree, .to = "", .made_config = ""});
    EXPECT_TRUE(found.contains("tokenizer.json")) << tree;
  }
}

}  // namespace
}  // namespace fathom
