// What `./run fuzz` begins with, and what it has found: each file is read, and nothing but an error comes of it.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "targets.h"

namespace fathom {
namespace {

struct Target {
  std::string name;
  void (*run)(std::string_view);
};
constexpr auto kNameOf = [](const auto& info) { return info.param.name; };

class Fuzz : public testing::TestWithParam<Target> {};

TEST_P(Fuzz, CorpusDoesNoMoreThanAnError) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/data/fuzz/" + GetParam().name)) {
    SCOPED_TRACE(entry.path());
    const std::string whole = read_file(entry.path());
    GetParam().run(whole);
    // Cut short anywhere, too.
    for (size_t size = 0; size < whole.size(); size += whole.size() / 16 + 1) GetParam().run({whole.data(), size});
    ++files;
  }
  EXPECT_GE(files, 2);
}

INSTANTIATE_TEST_SUITE_P(Targets, Fuzz,
                         testing::Values(Target{"safetensors", fuzz_safetensors}, Target{"zarr", fuzz_zarr},
                                         Target{"ocdbt", fuzz_ocdbt}, Target{"tokenizer", fuzz_tokenizer},
                                         Target{"parquet", fuzz_parquet}, Target{"tfds", fuzz_tfds},
                                         Target{"template", fuzz_template}),
                         kNameOf);

}  // namespace
}  // namespace fathom
