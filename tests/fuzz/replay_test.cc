// What `./run fuzz` begins with, and what it has found: each file is read, and nothing but an error comes of it.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "targets.h"

namespace fathom {
namespace {

class Fuzz : public testing::TestWithParam<FuzzTarget> {};

TEST_P(Fuzz, CorpusDoesNoMoreThanAnError) {
  int files = 0;
  const std::filesystem::path folder = "tests/data/fuzz/" + std::string(GetParam().name);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    SCOPED_TRACE(entry.path());
    const std::string whole = read_file(entry.path());
    GetParam().run(whole);
    // Cut short anywhere, too.
    for (size_t size = 0; size < whole.size(); size += whole.size() / 16 + 1) GetParam().run({whole.data(), size});
    ++files;
  }
  EXPECT_GE(files, 2);
}

INSTANTIATE_TEST_SUITE_P(Targets, Fuzz, testing::ValuesIn(fuzz_targets().begin(), fuzz_targets().end()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace fathom
