#include "runtime/event.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "runtime/client.h"
#include "runtime/pjrt_api.h"

namespace fathom {
namespace {

struct Callback {
  const Plugin* plugin;
  std::function<void(const std::optional<PjrtError>&)> function;
};

// Runs in the plugin's thread, so nothing may leave it.
void run_callback(PJRT_Error* error, void* argument) {
  std::unique_ptr<Callback> callback(static_cast<Callback*>(argument));
  try {
    std::optional<PjrtError> fault;
    if (error != nullptr) fault = take_error(*callback->plugin, "PJRT_Event_OnReady", error);
    callback->function(fault);
  } catch (const std::exception& e) {
    log_line(LogLevel::kError, std::string("a callback of a device event failed: ") + e.what());
  }
}

}  // namespace

Event::Event(Event&& other) noexcept
    : client_(std::move(other.client_)), event_(std::exchange(other.event_, nullptr)) {}

Event& Event::operator=(Event&& other) noexcept {
  if (this != &other) {
    destroy();
    client_ = std::move(other.client_);
    event_ = std::exchange(other.event_, nullptr);
  }
  return *this;
}

Event::~Event() { destroy(); }

void Event::destroy() noexcept {
  if (event_ == nullptr) return;
  PJRT_Event_Destroy_Args args{};
  args.event = std::exchange(event_, nullptr);
  FATHOM_PJRT_DESTROY(client_->plugin(), PJRT_Event_Destroy, args);
}

bool Event::is_ready() const {
  if (event_ == nullptr) return true;
  PJRT_Event_IsReady_Args args{};
  args.event = event_;
  FATHOM_PJRT(client_->plugin(), PJRT_Event_IsReady, args);
  return args.is_ready;
}

void Event::await() const {
  if (event_ == nullptr) return;
  PJRT_Event_Await_Args args{};
  args.event = event_;
  FATHOM_PJRT(client_->plugin(), PJRT_Event_Await, args);
}

void Event::on_ready(std::function<void(const std::optional<PjrtError>&)> callback) const {
  if (event_ == nullptr) {
    callback(std::nullopt);
    return;
  }
  auto argument = std::make_unique<Callback>(Callback{&client_->plugin(), std::move(callback)});
  PJRT_Event_OnReady_Args args{};
  args.event = event_;
  args.callback = run_callback;
  args.user_arg = argument.get();
  FATHOM_PJRT(client_->plugin(), PJRT_Event_OnReady, args);
  // From here on the callback owns it (and may already have freed it).
  static_cast<void>(argument.release());
}

bool Completion::is_ready() const {
  return std::all_of(events_.begin(), events_.end(), [](const Event& e) { return e.is_ready(); });
}

void Completion::await() const {
  std::optional<PjrtError> first;
  for (const Event& event : events_) {
    try {
      event.await();
    } catch (const PjrtError& error) {
      if (!first) first = error;
    }
  }
  if (first) throw PjrtError(*first);
}

}  // namespace fathom
