#include "checkpoint/safetensors.h"

#include "targets.h"

namespace fathom {

void fuzz_safetensors(std::string_view input) {
  const std::string path = fuzz_folder().write("x.safetensors", input);
  expect_error_at_most([&] {
    auto file = SafetensorsFile::open(path);
    for (const std::string& name : file->names()) file->tensor(name);
  });
}

}  // namespace fathom
