// Weights from any folder into a checkpoint of MaxText's form.
#pragma once

#include <functional>
#include <string>

#include "convert/conversion.h"
#include "convert/weight_source.h"

namespace fathom {

struct ToOrbax {
  std::string step_folder;  // "<out>/0"
  bool ocdbt = true;        // else a file for each chunk
  bool zarr3 = true;        // else zarr 2
  bool compress = true;     // zstd, level 1
  // Names what the numbers come from; an attempt of before is gone on with only where it was of the same source.
  std::string source;
  // Writes what stands beside `items` (config.json and the tokenizer) into the folder that becomes the step's.
  std::function<void(const std::string& folder)> beside = [](const std::string&) {};
};

// Bytes that the arrays have in the checkpoint before they are packed.
int64_t orbax_bytes(const WantedWeights& wanted);

// About what they have on the disk: packing is tried on some of the numbers.
int64_t estimated_orbax_bytes(const WeightSource& source, const WantedWeights& wanted, const ToOrbax& to);

// Writes every array chunk by chunk as its parts are read, with the step (0) and an empty state of the optimizer, as
// MaxText's converters do. Memory: 64 MiB and a grain of the source a thread, of which there are 16 at most. Nothing
// carries the folder's name before it is whole; an attempt that was ended goes on. Throws as WeightSource::fill and
// OrbaxWriter do.
void write_orbax(const WeightSource& source, const WantedWeights& wanted, const ToOrbax& to,
                 ConversionProgress& progress);

}  // namespace fathom
