// The key-value store as PJRT plugins call it. Shows pjrt_c_api.h: include it from .cc files alone.
#pragma once

#include <pjrt_c_api.h>

#include <memory>
#include <string>

namespace fathom {

class KeyValues;

// Stands where the plugin's calls point to, so it must outlive the plugin's client. Thread-safe.
struct KeyValueCallbacks {
  // Every object of a process puts its keys under a prefix of its own, numbered in the order of construction: the
  // processes of a job must make their clients in the same order.
  explicit KeyValueCallbacks(std::shared_ptr<KeyValues> store);
  KeyValueCallbacks(const KeyValueCallbacks&) = delete;
  KeyValueCallbacks& operator=(const KeyValueCallbacks&) = delete;

  void fill(PJRT_Client_Create_Args& args);

  std::shared_ptr<KeyValues> store;
  std::string prefix;
};

}  // namespace fathom
