// Calls into a plugin. The only header of this folder that shows pjrt_c_api.h: include it from .cc files alone.
#pragma once

#include <pjrt_c_api.h>

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "runtime/named_value.h"
#include "runtime/pjrt_error.h"
#include "runtime/plugin.h"

namespace fathom {

// Throws PjrtError (unimplemented) when the plugin's table of functions ends before this one or has none there.
void require_function(const Plugin& plugin, size_t offset, const char* function);
// Copies code and text, then frees `error`, which must not be null.
PjrtError take_error(const Plugin& plugin, std::string_view call, PJRT_Error* error);
// Throws when `error` is not null.
void check_call(const Plugin& plugin, std::string_view call, PJRT_Error* error);
// For destructors: frees `error`, if any, and says nothing.
void discard_error(const Plugin& plugin, PJRT_Error* error) noexcept;

// Calls a function of the C API with a zeroed struct of arguments:
//   PJRT_Client_Devices_Args args{};
//   args.client = handle;
//   FATHOM_PJRT(plugin, PJRT_Client_Devices, args);
// struct_size is the header's own constant, not sizeof: padding at the end is no part of what the plugin may read.
#define FATHOM_PJRT(plugin, function, args)                                        \
  do {                                                                             \
    (args).struct_size = function##_Args_STRUCT_SIZE;                              \
    ::fathom::require_function((plugin), offsetof(PJRT_Api, function), #function); \
    ::fathom::check_call((plugin), #function, (plugin).api()->function(&(args)));  \
  } while (false)

// The same for the *_Destroy functions, which every plugin has: never throws.
#define FATHOM_PJRT_DESTROY(plugin, function, args)                       \
  do {                                                                    \
    (args).struct_size = function##_Args_STRUCT_SIZE;                     \
    ::fathom::discard_error((plugin), (plugin).api()->function(&(args))); \
  } while (false)

// The results point into `values`, which must outlive them.
std::vector<PJRT_NamedValue> to_pjrt(const NamedValues& values);
NamedValues from_pjrt(const PJRT_NamedValue* values, size_t count);

// StableHLO text as a program; points into `text`.
PJRT_Program mlir_program(std::string_view text);

PJRT_Buffer_Type to_pjrt(DType dtype);
// Throws PjrtError (unimplemented) for an element type that fathom has no name for.
DType from_pjrt(PJRT_Buffer_Type type);

}  // namespace fathom
