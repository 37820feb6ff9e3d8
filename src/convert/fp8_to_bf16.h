// A model folder with quantized weights as one in bfloat16.
#pragma once

#include <string>

#include "convert/conversion.h"

namespace fathom {

// Writes the model of folder `input` (local, gs:// or s3://) to the local folder `output`: shards of the same names
// with the quantized tensors in bfloat16 and all others as they are, an index without the scales, config.json without
// quantization_config, and copies of all other files. Everything is checked before the first byte is written. Memory: a
// megabyte or two a thread.
//
// A shard carries its name only when all of it is there, the index comes last, and a second call keeps what is whole
// and was made of the same folder. Throws FormatError for an input that is not whole or not quantized, ConfigError when
// the output is the input, holds another model, or has no room, RuntimeFault when a file cannot be written.
void convert_fp8_to_bf16(const std::string& input, const std::string& output, const ConversionOptions& options);

}  // namespace fathom
