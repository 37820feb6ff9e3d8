#include "data/packed_files.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "data/documents.h"
#include "data/packed_testing.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// Text that does not pack well, longer than three blocks.
std::string long_text() {
  std::string text;
  uint64_t state = 1;
  while (text.size() < 900'000)
    text += std::to_string(state = state * 6364136223846793005U + 1442695040888963407U) + "\n";
  return text;
}

TEST(PackedFiles, AnyPlaceOfBothFormsIsRead) {
  TemporaryFolder folder;
  const std::string text = long_text();
  PackedFiles files;
  std::unique_ptr<const FileReader> gzip, zstd;
  EXPECT_EQ(files.add(folder.write("a.gz", gzipped(text)), gzip), static_cast<int64_t>(text.size()));
  EXPECT_EQ(files.add(folder.write("b.zst", zstd_packed(text)), zstd), static_cast<int64_t>(text.size()));
  for (size_t i = 0; i < 50; ++i) {
    const size_t begin = i * 611'953 % text.size();
    std::string out(std::min<size_t>(i * 10'000, text.size() - begin), '\0');
    for (const auto* reader : {&gzip, &zstd}) {
      (*reader)->read(static_cast<int64_t>(begin), std::as_writable_bytes(std::span(out)));
      EXPECT_EQ(out, text.substr(begin, out.size())) << i;
    }
  }
  std::byte beyond;
  EXPECT_THAT(
      [&] {
        gzip->read(static_cast<int64_t>(text.size()), {&beyond, 1});
      },
      ThrowsMessage<FormatError>(HasSubstr("the unpacked file ends here")));
}

TEST(PackedFiles, PartsOneBehindTheOtherAreOneFile) {
  TemporaryFolder folder;
  PackedFiles files;
  for (const std::string& path : {folder.write("a.gz", gzipped("one\n") + gzipped("") + gzipped("two\n")),
                                  folder.write("b.zst", zstd_packed("one\n") + zstd_packed("two\n"))}) {
    std::unique_ptr<const FileReader> reader;
    ASSERT_EQ(files.add(path, reader), 8);
    std::string out(8, '\0');
    reader->read(0, std::as_writable_bytes(std::span(out)));
    EXPECT_EQ(out, "one\ntwo\n");
  }
}

TEST(PackedFiles, WhatIsBrokenOrCutIsAnErrorThatNamesTheFile) {
  TemporaryFolder folder;
  const std::string text = long_text();
  for (const std::string& packed : {gzipped(text), zstd_packed(text)}) {
    const std::string name = packed[0] == '\x1f' ? "a.gz" : "a.zst";
    const auto add = [&](const std::string& bytes) {
      return [&, path = folder.write(name, bytes)] {
        PackedFiles files;
        std::unique_ptr<const FileReader> reader;
        files.add(path, reader);
      };
    };
    const auto names_it = ThrowsMessage<FormatError>(HasSubstr(folder / name));
    for (size_t cut : {size_t{1}, size_t{5}, packed.size() / 2}) {
      EXPECT_THAT(add(packed.substr(0, packed.size() - cut)), names_it) << cut;
    }
    std::string flipped = packed;
    flipped[packed.size() / 2] = static_cast<char>(flipped[packed.size() / 2] ^ 1);
    EXPECT_THAT(add(flipped), names_it);
    EXPECT_THAT(add("no such thing"), names_it);
    EXPECT_THAT(add(packed + "rubbish"), names_it);
  }
}

TEST(PackedFiles, WhatUnpacksToManyTimesItsSizeIsRefused) {
  TemporaryFolder folder;
  const std::string path = folder.write("a.zst", zstd_packed(std::string(size_t{300} << 20, '\n')));
  PackedFiles files;
  std::unique_ptr<const FileReader> reader;
  EXPECT_THAT([&] { files.add(path, reader); }, ThrowsMessage<FormatError>(HasSubstr("more than 200 times as many")));
}

TEST(PackedFilesDeathTest, AFolderForTemporaryFilesThatIsNotThereIsNamed) {
  TemporaryFolder folder;
  const std::string path = folder.write("a.txt.gz", gzipped("x"));
  EXPECT_EXIT(
      {
        setenv("TMPDIR", (folder / "absent").c_str(), 1);
        try {
          open_documents(find_dataset(path, "k"), {});
        } catch (const RuntimeFault& e) {
          std::fputs(e.what(), stderr);
          std::exit(3);
        }
      },
      testing::ExitedWithCode(3), "TMPDIR");
}

}  // namespace
}  // namespace fathom
