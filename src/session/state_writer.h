// A training state on its way to a checkpoint: copied out of the devices at one moment, written while they go on.
#pragma once

#include <cstdint>
#include <vector>

#include "base/host_array.h"
#include "checkpoint/step_writer.h"
#include "convert/array_chunks.h"
#include "session/state_io.h"

namespace fathom {

class StateWriter : private ArraySource {
 public:
  // `spec` outlives this. `share`: which process this is, of those that hold the state together.
  StateWriter(const Config& config, const StateSpec& spec, StepShare share);

  // Of the whole checkpoint, all processes together.
  int64_t bytes() const { return bytes_; }
  const OrbaxPlan& plan() const { return plan_; }
  const StepShare& share() const { return share_; }

  // Takes the memory for copies of a state of this layout. What the system gives of it is given by the first write:
  // touch() does that, which takes longer than a copy, on a thread of its own beside other work.
  void reserve(State& state);
  void touch();
  // Copies what this process holds, each element once over all processes, into memory that is kept for the next time,
  // and waits for the end of it: the state may be donated then. Gives the bytes.
  int64_t copy_out(State& state);
  // The same without a copy where the devices' memory is the host's: the state stays as it is until let_go().
  void hold(State& state);
  void let_go();
  // Writes what was copied or is held. `threads`: so many of the lowest priority; 0: all cores.
  void write(StepWriter& step, int threads) const;

 private:
  struct Held {
    ArraySlice slice;
    size_t shard = 0;  // of this process's
    HostArray memory;
  };

  void fill(size_t index, std::span<const SliceMemory> slices) const override;
  std::vector<int64_t> grain(size_t index) const override;
  // Whether this process has what the chunk holds.
  bool has(const ArrayChunk& chunk) const;

  const StateSpec& spec_;
  const StepShare share_;
  std::vector<ChunkedArray> arrays_;  // whose index is that of an entry, or that of none: zeros
  const OrbaxPlan plan_;
  std::vector<std::vector<Held>> held_;  // by entry
  bool reserved_ = false;                // `held_` has memory of its own
  int64_t bytes_ = 0;
};

}  // namespace fathom
