// The checkpoints of a run: <run>/checkpoints/N is its state after step N.
#pragma once

#include <cstdint>
#include <future>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "data/batch.h"
#include "session/state_folder.h"
#include "session/state_io.h"
#include "session/state_writer.h"

namespace fathom {

// What a run goes on from.
struct SavedRun {
  std::string folder;  // of the step
  int64_t step = 0;    // steps done
  State state;
  std::optional<DataState> data;  // where its data stands; nothing where the folder does not say
};

// Whether what is in the run's folder may be gone on with: it has a checkpoint, or was ended before its first one and
// had the same configuration. Throws ConfigError when it has one and enable_checkpointing is off.
bool may_go_on(const Config& config);

class Checkpoints {
 public:
  // Process 0 removes what saves that were ended left. Nothing else is touched. Configuration and list outlive this.
  // `process`: which of the run's processes this is; process 0 waits `patience` for the parts of the others.
  Checkpoints(const Config& config, const StateSpec& spec, StepShare process,
              std::chrono::seconds patience = std::chrono::minutes(20));
  // Waits for the save under way.
  ~Checkpoints();
  Checkpoints(const Checkpoints&) = delete;
  Checkpoints& operator=(const Checkpoints&) = delete;

  // Whether the run has one that is whole.
  bool any() const { return !steps_.empty(); }
  // How many steps the newest one has done, if it can be read. Throws ConfigError naming the keys when it is of another
  // model, optimizer or mask.
  std::optional<int64_t> steps_done();
  // The newest one that can be read; of a damaged one a run of one process says so and takes the one before. Throws as
  // StateFolder and steps_done() do.
  SavedRun load(const Session& session);
  // Throws ConfigError unless two have room.
  void require_space() const;

  // Takes the memory for copies of the state, from a thread of its own.
  void reserve(State& state);
  // Training begins: until its first checkpoint is whole, a file says that the run has none yet.
  void begin() const;

  // Training has come to its end.
  void end() const;

  // Whether checkpoint_period asks for a save after the step.
  bool due(int64_t step) const;
  // Saves the state after `step`. Returns when the state may be donated: at the end, or with async_checkpointing once
  // it is copied. Waits for the save before, and throws what ended it.
  void save(int64_t step, State& state, const DataState& data);
  // Whether a save was under way and has ended, one way or the other: wait() says which.
  bool written() const;
  // Waits for the save under way; throws what ended it.
  void wait();
  // The last step that was saved in this process; negative: none.
  int64_t last() const { return last_; }

 private:
  std::string folder_of(int64_t step) const;
  // The folder as a training state of this run.
  StateFolder open(int64_t step) const;
  // Calls `read` with the newest step, and while that is damaged with the one before.
  template <class Read>
  auto newest_readable(Read read);
  void require_same_run(const std::string& folder) const;
  // Where this process's data stood; nothing in a folder that we did not write.
  std::optional<DataState> data_position(const std::string& folder) const;
  void make_way(int64_t step) const;
  void write(int64_t step, const DataState& data, int threads) const;
  void remove_old() const;

  const Config& config_;
  const StateSpec& spec_;
  const std::string folder_;
  const std::chrono::seconds patience_;
  StateWriter writer_;
  std::map<std::string, std::string> companions_;  // files beside the tree
  std::vector<int64_t> steps_;                     // that are whole, at the start
  std::set<int64_t> damaged_;                      // of these
  std::future<void> reserving_, under_way_;
  int64_t last_ = -1;
};

}  // namespace fathom
