// The folder of a step of training, written by all processes of a run together.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/orbax_plan.h"

namespace fathom {

struct StepShare {
  int process = 0;  // of the run's processes
  int processes = 1;
};

// Each process writes chunks of its own and says with a mark that they are on the disk; process 0 waits for all marks
// and makes the folder whole. They meet in the file system alone. Local: all is made in "<step>.orbax-checkpoint-tmp",
// which gets its name at the end. On gs:// and s3:// it is made in its place, and commit_success.txt comes last.
class StepWriter {
 public:
  // `step_folder`: "<run>/checkpoints/100", absent. The plan outlives this. Throws RuntimeFault when there is something
  // in the way.
  StepWriter(std::string step_folder, const OrbaxPlan& plan, StepShare share);
  // Unless it is whole, process 0 removes what was made.
  ~StepWriter();
  StepWriter(const StepWriter&) = delete;
  StepWriter& operator=(const StepWriter&) = delete;

  // A chunk that no other process writes. Thread-safe. Throws as OrbaxPlan::store and the disk do.
  void write(size_t array, std::span<const int64_t> place, std::span<const std::byte> elements);
  // A file beside the tree.
  void put(const std::string& name, std::string_view content) const;
  // Waits until all that this process has written is on the disk, and leaves its mark.
  void finish();
  // In process 0, behind finish(): waits for the marks of the others, at most `limit` after its own, and gives the
  // folder its name. Throws RuntimeFault naming processes that are late.
  void commit(std::chrono::seconds limit);

 private:
  std::string mark(int process) const;
  void take_marks(std::chrono::seconds limit);
  void require_all() const;

  const std::string step_folder_, folder_;
  const OrbaxPlan& plan_;
  const StepShare share_;
  const int64_t begun_ = nanoseconds_now();
  std::unique_ptr<ChunkStore> chunks_;
  std::mutex mutex_;
  std::map<ChunkId, ChunkPlace> places_;
  bool whole_ = false;
};

// The steps of a run's folder `checkpoints` that are whole, ascending.
std::vector<int64_t> whole_steps(const std::string& checkpoints);
// Removes what saves that were ended left there. Gives the names.
std::vector<std::string> clear_unfinished_steps(const std::string& checkpoints);
// Removes a step: it is no whole one any more from the first moment on.
void remove_step(const std::string& checkpoints, int64_t step);

}  // namespace fathom
