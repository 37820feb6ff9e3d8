#include "session/process_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"

namespace fathom {

void require_threads() {
  // XLA:CPU has a few pools of as many threads as there are cores.
  const size_t wanted = std::min<size_t>(4 * std::max(1U, std::thread::hardware_concurrency()) + 8, 256);
  std::promise<void> all_there;
  std::shared_future<void> end = all_there.get_future().share();
  std::vector<std::thread> threads;
  std::string fault;
  try {
    while (threads.size() < wanted) threads.emplace_back([end] { end.wait(); });
  } catch (const std::system_error& e) {
    fault = fmt::format(
        "only {} of the {} threads that are needed can be started ({}): raise the limit of processes "
        "(`ulimit -u`, or the container's)",
        threads.size(), wanted, e.code().message());
  }
  all_there.set_value();
  for (std::thread& t : threads) t.join();
  if (!fault.empty()) throw ConfigError(fault);
}

}  // namespace fathom
