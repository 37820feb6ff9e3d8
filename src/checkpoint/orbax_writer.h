// Writing a checkpoint folder as Orbax does, chunk by chunk: bytes and shapes, no knowledge of parameters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/orbax_plan.h"

namespace fathom {

// Local: all is written under "<step_folder>.partial", and finish() gives it its name. On gs:// and s3:// chunks are
// written where they stay, "<step_folder>.unfinished" says that they are not all, and the marker that makes them a
// checkpoint comes last. An attempt that ended before is gone on with when its arrays, options and source are the same
// (not for plain files on gs:// and s3://), and is removed otherwise.
class OrbaxWriter {
 public:
  // `step_folder`: "<out>/0". Throws std::invalid_argument when the arrays make no tree or no grids, ConfigError when
  // there is something in the folder, it cannot be made or another process writes it.
  OrbaxWriter(std::string step_folder, std::vector<StoredArraySpec> arrays, OrbaxOptions options = {});
  // Unless finished: what is whole stays for the next attempt; when nothing is, nothing is left.
  ~OrbaxWriter();
  OrbaxWriter(const OrbaxWriter&) = delete;
  OrbaxWriter& operator=(const OrbaxWriter&) = delete;

  // Whether the chunk at `place` (its number along each axis) is whole already.
  bool has(size_t array, std::span<const int64_t> place) const;

  // One chunk, `elements` row-major and of the chunk's full size: what stands over the array's end is the caller's to
  // fill, with zeros. Thread-safe; packs in the calling thread. Throws std::invalid_argument when the chunk is whole,
  // or not of its size; RuntimeFault when the disk is full, and may be called again then.
  void write(size_t array, std::span<const int64_t> place, std::span<const std::byte> elements);

  // The folder in which what else is to stand in the step's folder is put, before finish().
  std::string folder() const;

  // Metadata and names, when all is on the disk. Throws std::logic_error naming arrays of which chunks are missing.
  void finish();

 private:
  class Attempt;
  std::unique_ptr<Attempt> attempt_;
};

}  // namespace fathom
