#include "convert/folder_files.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "checkpoint/safetensors_writer.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<std::string> paths(const std::vector<FolderFile>& files) {
  std::vector<std::string> out;
  for (const FolderFile& file : files) out.push_back(file.path);
  return out;
}

// A model folder with a file of every kind.
void make_model(const TemporaryFolder& folder) {
  SafetensorsWriter writer(folder.path(), {{"a", DType::kU8, {1}, "model-00001-of-000001.safetensors"}},
                           {.index = true});
  writer.write("a", HostArray::allocate(DType::kU8, {1}));
  writer.finish();
  folder.write("config.json", R"({"b": 1, "quantization_config": {"fmt": "e4m3"}, "a": 1e-06})");
  folder.write("tokenizer.json", "{}");
  folder.write("inference/kernel.py", std::string((size_t{1} << 20) + 17, 'k'));
  folder.write(".git/HEAD", "x");
  folder.write(".gitattributes", "x");
  folder.write(".cache/huggingface/x.lock", "x");
  fs::create_directory_symlink(".", folder / "again");
  fs::create_symlink("nowhere", folder / "broken");
  fs::create_symlink("tokenizer.json", folder / "link.json");
}

TEST(FilesBesideWeights, AreAllOthersWithThoseInFoldersAndNoneTwice) {
  TemporaryFolder folder;
  make_model(folder);
  EXPECT_THAT(paths(files_beside_weights(TensorFolder::open(folder.path()))),
              ElementsAre(".gitattributes", "config.json", "inference/kernel.py", "link.json", "tokenizer.json"));
}

TEST(CopyFiles, CopiesBytesAndChangesTheConfigAlone) {
  TemporaryFolder folder, target;
  make_model(folder);
  const auto files = files_beside_weights(TensorFolder::open(folder.path()));
  int64_t copied = 0;
  const FolderCopy copy{.from = folder.path(),
                        .to = target / "out",
                        .changes = {{"quantization_config", ""}, {"num_nextn_predict_layers", "1"}},
                        .copied = [&](int64_t bytes) { copied += bytes; }};
  copy_files(copy, files);
  EXPECT_EQ(read_file(target / "out/config.json"),
            "{\n  \"b\": 1,\n  \"a\": 1e-06,\n  \"num_nextn_predict_layers\": 1\n}\n");
  for (const char* name : {".gitattributes", "inference/kernel.py", "link.json", "tokenizer.json"}) {
    EXPECT_EQ(read_file(target / ("out/" + std::string(name))), read_file(folder / name)) << name;
  }
  int64_t all = 0;
  for (const FolderFile& file : files) all += file.bytes;
  EXPECT_EQ(copied, all);

  // Again: what is the same stays as it is, what differs does not.
  const auto before = fs::last_write_time(target / "out/tokenizer.json");
  target.write("out/link.json", "[]");
  copy_files(copy, files);
  EXPECT_EQ(fs::last_write_time(target / "out/tokenizer.json"), before);
  EXPECT_EQ(read_file(target / "out/link.json"), "{}");
}

TEST(ChangedConfig, KeepsBytesWhereNothingChangesAndRefusesWhatIsNoObject) {
  EXPECT_EQ(changed_config("c", "{\"a\":1 }", {{"quantization_config", ""}, {"a", "1"}}), "{\"a\":1 }");
  EXPECT_THAT(
      [] {
        changed_config("c/config.json", "[1]", {{"a", ""}});
      },
      ThrowsMessage<FormatError>(HasSubstr("c/config.json: it is not a JSON object")));
  EXPECT_THAT(
      [] {
        changed_config("c/config.json", "{\"a\"", {{"a", ""}});
      },
      ThrowsMessage<FormatError>(HasSubstr("c/config.json: at byte")));
  EXPECT_THAT(
      [] {
        changed_config("c/config.json", std::string(200, '['), {{"a", ""}});
      },
      ThrowsMessage<FormatError>(HasSubstr("100 JSON lists")));
}

}  // namespace
}  // namespace fathom
