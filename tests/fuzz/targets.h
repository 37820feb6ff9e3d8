// The parsers of files that others made, each fed with any bytes as a file of its kind: an Error is as good an answer
// as any, and nothing else may happen.
#pragma once

#include <string_view>

#include "base/error.h"
#include "base/temporary_folder.h"

namespace fathom {

void fuzz_safetensors(std::string_view input);
// Metadata, a zero byte, and what every chunk holds.
void fuzz_zarr(std::string_view input);
// A byte that says how long the manifest is, then the bodies of a manifest and of a file "d/n" of one node: frames and
// checksums are made for them, which no bytes would have by chance.
void fuzz_ocdbt(std::string_view input);
void fuzz_tokenizer(std::string_view input);
void fuzz_template(std::string_view input);
void fuzz_parquet(std::string_view input);
// A byte: even, the rest is an Example, which gets its frame and checksums; odd, a file of three records.
void fuzz_tfds(std::string_view input);

// Arrays and documents of more bytes are not read: a file may announce them, and the reader of a model knows better.
inline constexpr int64_t kFuzzRead = int64_t{16} << 20;

// Where inputs become files.
inline const TemporaryFolder& fuzz_folder() {
  static const TemporaryFolder folder;
  return folder;
}

template <class Read>
void expect_error_at_most(Read read) {
  try {
    read();
  } catch (const Error&) {
  }
}

}  // namespace fathom
