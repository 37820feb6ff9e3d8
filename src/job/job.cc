#include "job/job.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <exception>

#include "base/error.h"
#include "base/log.h"
#include "base/waiting.h"
#include "job/compile_votes.h"

namespace fathom {
namespace {

// Far from where sums of times overflow.
constexpr int64_t kLongestTimeout = int64_t{7} * 24 * 3600;

Coordination find_place(const Config& config, const Environment& environment) {
  std::vector<std::string> notices;
  Coordination out = resolve_coordination(config, environment, notices);
  for (const std::string& notice : notices) log_once(LogLevel::kInfo, notice);
  return out;
}

}  // namespace

Job::Job(const Config& config, const Environment& environment)
    : place_(find_place(config, environment)),
      timeout_(std::chrono::seconds(std::min(config.jax_distributed_initialization_timeout, kLongestTimeout))) {
  if (place_.process_count <= 1) return;
  int count = static_cast<int>(place_.process_count);
  if (place_.process_index == 0) {
    server_ = std::make_unique<KeyValueServer>(
        KeyValueServerOptions{.bind = place_.bind, .job = place_.job, .count = count, .secret = place_.secret});
  }
  KeyValueClientOptions options{.server = place_.address,
                                .member = {place_.job, static_cast<int>(place_.process_index), count, place_.secret},
                                .timeout = timeout_};
  // Collectives would wait for a process that is gone until the end of time.
  options.on_lost = [](const std::string& what) {
    log_line(LogLevel::kError, what);
    std::_Exit(kExitFault);
  };
  Waiting waiting(fmt::format("waiting for the coordinator {}", place_.address.to_string()));
  store_ = std::make_shared<KeyValueClient>(options);
}

Job::~Job() {
  if (store_ == nullptr) return;
  try {
    // After a fault the others must learn that this process is lost, so it does not say goodbye.
    if (std::uncaught_exceptions() > 0) return;
    store_->leave();
    if (server_ != nullptr && !server_->wait_until_left(timeout_)) {
      log_warning("some processes have not left {} s after process 0",
                  std::chrono::duration_cast<std::chrono::seconds>(timeout_).count());
    }
  } catch (const std::exception& e) {
    log_warning("leaving the job: {}", e.what());
  }
}

ClientOptions Job::client_options() const {
  ClientOptions out;
  if (store_ == nullptr) return out;
  out.key_values = store_;
  out.plugin_options["node_id"] = place_.process_index;
  out.plugin_options["num_nodes"] = place_.process_count;
  if (!place_.local_devices.empty()) out.plugin_options["visible_devices"] = place_.local_devices;
  return out;
}

JobStore Job::access() const {
  return {store_, static_cast<int>(place_.process_index), static_cast<int>(place_.process_count)};
}

std::shared_ptr<CompileAgreement> Job::compile_agreement() const {
  return store_ == nullptr ? nullptr : std::make_shared<CompileVotes>(access());
}

}  // namespace fathom
