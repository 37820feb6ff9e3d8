// The first batch of a run, as a file.
#pragma once

#include <string>

#include "config/config.h"

namespace fathom {

// Writes the first batch that a run of this configuration would train on: a safetensors file of the arrays of
// base/batch_fields.h, [rows, length] s32. Nothing is compiled. A process of several writes the rows that it reads
// itself, to `path` with "." and its number among those that read other rows. Throws ConfigError or FormatError for
// what is wrong with the data. `show`: its first row is printed as text too.
void dump_first_batch(const Config& config, const std::string& path, bool show);

}  // namespace fathom
