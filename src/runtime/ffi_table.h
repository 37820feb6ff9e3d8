// Custom calls: functions of ours that compiled programs call by name.
#pragma once

#include <span>
#include <string>

#include "runtime/plugin.h"

namespace fathom {

// `handler` is a typed FFI handler (XLA_FFI_Handler*). Its FFI version must not be newer than the plugin's: the plugin
// then drops the registration silently, and compilation says "No FFI handler registered".
struct FfiHandler {
  const char* name;
  void* handler;
};

// Makes the handlers known to the plugin, for all its clients, before anything that calls them is compiled or loaded.
// A name registered before with the same handler is skipped. Throws PjrtError when the plugin takes no FFI handlers, or
// when a name already stands for another function.
void register_handlers(const Plugin& plugin, std::span<const FfiHandler> handlers,
                       const std::string& platform = "Host");

}  // namespace fathom
