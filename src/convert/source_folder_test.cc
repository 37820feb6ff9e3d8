#include "convert/source_folder.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

void change_one_byte(const fs::path& path) {
  std::string bytes = read_file(path.string());
  bytes.at(bytes.size() / 2) ^= 1;
  write_file_atomically(path.string(), bytes);
}

// A checkpoint whose own checksums do not hold is refused.
std::string identity_or_refusal(const std::string& folder) {
  try {
    return source_identity(folder);
  } catch (const FormatError& e) {
    return e.what();
  }
}

TEST(SourceIdentity, IsThatOfTheWeightsAlone) {
  TemporaryFolder folder;
  const std::string model = folder / "model";
  fs::copy("tests/data/deepseek_v3/hf", model);
  const std::string before = source_identity(model);
  EXPECT_EQ(before, source_identity("tests/data/deepseek_v3/hf")) << "a copy";
  folder.write("model/results.jsonl", "of a command that reads the weights");
  change_one_byte(model + "/tokenizer.json");
  EXPECT_EQ(before, source_identity(model));
  for (const char* name : {"model.safetensors", "config.json"}) {
    const std::string last = source_identity(model);
    change_one_byte(fs::path(model) / name);
    EXPECT_NE(last, source_identity(model)) << name;
  }
  const std::string last = source_identity(model), with_times = source_identity(model, true);
  fs::last_write_time(model + "/model.safetensors", fs::last_write_time("tests/data/deepseek_v3/hf/config.json"));
  EXPECT_EQ(last, source_identity(model));
  EXPECT_NE(with_times, source_identity(model, true));
  EXPECT_EQ(source_identity(folder.path()), source_identity(folder / "nowhere"));
}

TEST(SourceIdentity, OfACheckpointIsThatOfItsTreeAndItsStep) {
  TemporaryFolder folder;
  const fs::path step = folder / "0";
  fs::copy("tests/data/checkpoints/layouts/manager_default/3", step, fs::copy_options::recursive);
  const std::string before = source_identity(step.string());
  folder.write("0/results.jsonl", "of a command that reads the weights");
  fs::create_directory_symlink(step, step / "default/round");
  EXPECT_EQ(before, source_identity(step.string()));
  fs::remove(step / "default/round");
  folder.write("0/config.json", "{}");
  std::vector<fs::path> files = {step / "config.json"};
  for (const auto& entry : fs::recursive_directory_iterator(step / "default")) {
    if (entry.is_regular_file() && entry.path().parent_path() != step / "default") files.push_back(entry.path());
  }
  ASSERT_GT(files.size(), 1u);
  for (const fs::path& file : files) {
    const std::string whole = read_file(file.string()), last = source_identity(step.string());
    change_one_byte(file);
    EXPECT_NE(last, identity_or_refusal(step.string())) << file;
    write_file_atomically(file.string(), whole);
    EXPECT_EQ(last, source_identity(step.string())) << file;
  }
  EXPECT_EQ(source_identity((step / "default").string()), source_identity((step / "default/").string()));
}

TEST(Companions, StandBesideATreeWhoseNameEndsInASlashToo) {
  TemporaryFolder folder;
  fs::copy("tests/data/checkpoints/layouts/manager_default/3", folder / "0", fs::copy_options::recursive);
  folder.write("0/config.json", "{}");
  folder.write("0/tokenizer.json", "of the model");
  for (const char* tree : {"0/default", "0/default/"}) {
    const auto found = companions({.from = folder / tree, .to = "", .made_config = ""});
    EXPECT_TRUE(found.contains("tokenizer.json")) << tree;
  }
}

}  // namespace
}  // namespace fathom
