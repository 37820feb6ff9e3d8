#include "runtime/ffi_table.h"

#include <fmt/format.h>

#include <map>
#include <mutex>
#include <tuple>

#include "runtime/pjrt_api.h"

namespace fathom {
namespace {

// XLA's FFI extension of the C API. Its header is in no wheel, so the layout is spelled out here.
struct RegisterHandlerArgs {
  size_t struct_size;
  const char* name;
  size_t name_size;
  void* handler;
  const char* platform;
  size_t platform_size;
  uint32_t traits;
};
struct FfiExtension {
  PJRT_Extension_Base base;
  void* type_register;
  void* user_data_add;
  PJRT_Error* (*register_handler)(RegisterHandlerArgs* args);
};
// Like the other structs, it ends with its last field, not with the padding: 52 bytes.
constexpr size_t kRegisterHandlerArgsSize = offsetof(RegisterHandlerArgs, traits) + sizeof(uint32_t);
// The struct grew this function in August 2025; in an older plugin it ends before.
constexpr size_t kFfiExtensionSize = offsetof(FfiExtension, register_handler) + sizeof(void*);

const FfiExtension& ffi_extension(const Plugin& plugin) {
  const auto* extension = static_cast<const FfiExtension*>(plugin.extension(PJRT_Extension_Type_FFI));
  if (extension == nullptr || extension->base.struct_size < kFfiExtensionSize ||
      extension->register_handler == nullptr) {
    throw PjrtError(PjrtCode::kUnimplemented, "register_handlers",
                    fmt::format("the plugin {} ({}) takes no FFI handlers, so our kernels cannot run on it: install a "
                                "newer plugin or turn the kernels off",
                                plugin.path(), plugin.description()));
  }
  return *extension;
}

}  // namespace

void register_handlers(const Plugin& plugin, std::span<const FfiHandler> handlers, const std::string& platform) {
  const FfiExtension& ffi = ffi_extension(plugin);
  static std::mutex mutex;
  static std::map<std::tuple<const Plugin*, std::string, std::string>, void*> registered;
  std::lock_guard lock(mutex);
  for (const FfiHandler& handler : handlers) {
    auto [it, fresh] = registered.try_emplace({&plugin, platform, handler.name}, handler.handler);
    if (!fresh) {
      if (it->second == handler.handler) continue;
      throw PjrtError(PjrtCode::kAlreadyExists, "register_handlers",
                      fmt::format("two functions are registered as '{}'", handler.name));
    }
    RegisterHandlerArgs args{};
    args.struct_size = kRegisterHandlerArgsSize;
    args.name = handler.name;
    args.name_size = std::string_view(handler.name).size();
    args.handler = handler.handler;
    args.platform = platform.data();
    args.platform_size = platform.size();
    try {
      check_call(plugin, fmt::format("PJRT_FFI_Register_Handler({})", handler.name), ffi.register_handler(&args));
    } catch (...) {
      registered.erase(it);
      throw;
    }
  }
}

}  // namespace fathom
