// Something that the device finishes later: a transfer, a step.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "runtime/pjrt_error.h"

struct PJRT_Event;

namespace fathom {

class Client;

// Move-only; an empty event is ready. Keeps its client alive.
class Event {
 public:
  Event() = default;
  // Takes over `event`; null means that there is nothing to wait for.
  Event(std::shared_ptr<const Client> client, PJRT_Event* event) : client_(std::move(client)), event_(event) {}
  Event(Event&& other) noexcept;
  Event& operator=(Event&& other) noexcept;
  ~Event();

  bool is_ready() const;
  // Blocks until it has happened. Throws PjrtError when what it stands for has failed.
  void await() const;
  // Calls `callback` once, with the error if there is one; at once when the event is ready, otherwise in a thread of
  // the plugin, where it must not block. What it throws is logged. The event itself may be destroyed before.
  void on_ready(std::function<void(const std::optional<PjrtError>&)> callback) const;

 private:
  void destroy() noexcept;

  std::shared_ptr<const Client> client_;
  PJRT_Event* event_ = nullptr;
};

// The events of one launch on several devices.
class Completion {
 public:
  Completion() = default;
  explicit Completion(std::vector<Event> events) : events_(std::move(events)) {}

  bool is_ready() const;
  // Waits for all devices, also when one has failed; then throws the first error.
  void await() const;

 private:
  std::vector<Event> events_;
};

}  // namespace fathom
