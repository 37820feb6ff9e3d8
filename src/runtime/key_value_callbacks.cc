#include "runtime/key_value_callbacks.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstring>

#include "runtime/key_values.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

void delete_value(char* value) { delete[] value; }

// The plugin copies the value and then calls the deleter.
template <class Args>
void give(Args& args, const std::string& value) {
  args.value = new char[value.size() + 1];
  std::memcpy(args.value, value.data(), value.size());
  args.value_size = value.size();
  args.value_deleter_callback = delete_value;
}

// Calls body(callbacks, key); nothing may be thrown into the plugin.
template <class Args, class Body>
PJRT_Error* guarded(Args* args, Body body) {
  const auto& callbacks = *static_cast<const KeyValueCallbacks*>(args->user_arg);
  auto fail = [&](PjrtCode code, const std::string& text) {
    return (*args->callback_error)(static_cast<PJRT_Error_Code>(code), text.data(), text.size());
  };
  try {
    body(*callbacks.store, callbacks.prefix + std::string(args->key, args->key_size));
    return nullptr;
  } catch (const PjrtError& error) {
    return fail(error.code(), error.text());
  } catch (const std::exception& error) {
    return fail(PjrtCode::kInternal, error.what());
  }
}

PJRT_Error* get(PJRT_KeyValueGetCallback_Args* args) {
  return guarded(args, [&](KeyValues& store, const std::string& key) {
    give(*args, store.get(key, std::chrono::milliseconds(args->timeout_in_ms)));
  });
}

PJRT_Error* try_get(PJRT_KeyValueTryGetCallback_Args* args) {
  return guarded(args, [&](KeyValues& store, const std::string& key) {
    std::optional<std::string> value = store.try_get(key);
    if (!value) throw PjrtError(PjrtCode::kNotFound, "KeyValues::try_get", "no such key: " + key);
    give(*args, *value);
  });
}

PJRT_Error* put(PJRT_KeyValuePutCallback_Args* args) {
  return guarded(args, [&](KeyValues& store, const std::string& key) {
    store.put(key, std::string(args->value, args->value_size));
  });
}

std::string next_prefix() {
  static std::atomic<int> made = 0;
  return fmt::format("pjrt/{}/", made++);
}

}  // namespace

KeyValueCallbacks::KeyValueCallbacks(std::shared_ptr<KeyValues> key_values)
    : store(std::move(key_values)), prefix(next_prefix()) {}

void KeyValueCallbacks::fill(PJRT_Client_Create_Args& args) {
  args.kv_get_callback = get;
  args.kv_put_callback = put;
  args.kv_try_get_callback = try_get;
  args.kv_get_user_arg = args.kv_put_user_arg = args.kv_try_get_user_arg = this;
}

}  // namespace fathom
