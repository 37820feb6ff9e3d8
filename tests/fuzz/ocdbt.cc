#include <algorithm>

#include "checkpoint/key_store.h"
#include "checkpoint/ocdbt_testing.h"
#include "targets.h"

namespace fathom {

void fuzz_ocdbt(std::string_view input) {
  if (input.empty()) return;
  const size_t length = std::min<size_t>(static_cast<uint8_t>(input[0]), input.size() - 1);
  fuzz_folder().write("ocdbt/d/n", ocdbt_frame(kOcdbtNodeMagic, input.substr(1 + length)));
  fuzz_folder().write("ocdbt/manifest.ocdbt", ocdbt_frame(kOcdbtManifestMagic, input.substr(1, length)));
  expect_error_at_most([&] {
    const auto keys = open_ocdbt(fuzz_folder() / "ocdbt");
    for (const char* key : {"a", "w/zarr.json", "w/c/0"}) {
      if (const std::optional<StoredBytes> value = keys->find(key)) value->text(kFuzzRead);
    }
  });
}

}  // namespace fathom
