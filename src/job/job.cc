#include "job/job.h"

#include <cstdlib>
#include <exception>

#include "base/error.h"
#include "base/log.h"

namespace fathom {

Job::Job(const Config& config)
    : place_(config.coordination), timeout_(std::chrono::seconds(config.jax_distributed_initialization_timeout)) {
  if (place_.process_count <= 1) return;
  SocketAddress address = SocketAddress::parse(place_.address, "coordinator_address");
  int count = static_cast<int>(place_.process_count);
  if (place_.process_index == 0) server_ = std::make_unique<KeyValueServer>(address.port, place_.job, count);
  KeyValueClientOptions options{
      .server = address, .member = {place_.job, static_cast<int>(place_.process_index), count}, .timeout = timeout_};
  // Collectives would wait for a process that is gone until the end of time.
  options.on_lost = [](const std::string& what) {
    log_line(LogLevel::kError, what);
    std::_Exit(kExitFault);
  };
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

}  // namespace fathom
