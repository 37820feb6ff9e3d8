// The plugin's own thread pool behind the kernels' Parallel.
#pragma once

#include "kernels/parallel.h"
#include "xla/ffi/api/ffi.h"

namespace fathom {

// The calling thread takes tasks like the others and never waits for a pool thread to become free: it may be one
// itself.
class PluginPool : public Parallel {
 public:
  explicit PluginPool(xla::ffi::ThreadPool pool) : pool_(pool) {}
  void run(int64_t count, const std::function<void(int64_t)>& task) override;

 private:
  xla::ffi::ThreadPool pool_;
};

}  // namespace fathom
