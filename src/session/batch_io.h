// Batches on the way to the devices: which rows of the global batch a process reads, and how it hands them over.
#pragma once

#include "session/state_io.h"

namespace fathom {

// The rows of a global batch that the devices of this process hold: the `index`-th of `count` equal shares, row `first`
// and those behind it. Processes whose devices hold the same rows have the same share.
struct RowShare {
  int64_t first = 0;
  int64_t rows = 0;
  int index = 0;
  int count = 1;
};

// `batch`: type and split of the batch arguments. Where the rows of a process do not stand in one piece as large as
// the others', each process reads all of them (said in the log).
RowShare row_share(const DeviceAssignment& assignment, const ArgSpec& batch);

// The batch arguments of a program; `batch` holds the rows of `share`.
NamedArrays upload_batch(const ShardedArray::Assignment& assignment, const Signature& signature,
                         const BatchFields<HostArray>& batch, const RowShare& share);

// One s32 number for each device of the mesh (an argument [device]): `value` on the devices of this process.
ShardedArray upload_for_devices(const ShardedArray::Assignment& assignment, const ArgSpec& argument, int32_t value);

// The argument of that name; throws std::logic_error when the program has none.
const ArgSpec& argument(const Signature& signature, std::string_view name);

}  // namespace fathom
