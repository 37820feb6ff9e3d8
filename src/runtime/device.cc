#include "runtime/device.h"

#include <initializer_list>
#include <variant>

#include "runtime/pjrt_api.h"

namespace fathom {
namespace {

// The first of these attributes that is there and a whole number; 0 without one.
int64_t number(const NamedValues& attributes, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    auto found = attributes.find(name);
    if (found == attributes.end()) continue;
    if (const auto* value = std::get_if<int64_t>(&found->second)) return *value;
  }
  return 0;
}

}  // namespace

DeviceDescription describe(const Plugin& plugin, PJRT_DeviceDescription* handle) {
  PJRT_DeviceDescription_Id_Args id{};
  id.device_description = handle;
  FATHOM_PJRT(plugin, PJRT_DeviceDescription_Id, id);
  PJRT_DeviceDescription_ProcessIndex_Args process{};
  process.device_description = handle;
  FATHOM_PJRT(plugin, PJRT_DeviceDescription_ProcessIndex, process);
  PJRT_DeviceDescription_Kind_Args kind{};
  kind.device_description = handle;
  FATHOM_PJRT(plugin, PJRT_DeviceDescription_Kind, kind);
  PJRT_DeviceDescription_Attributes_Args list{};
  list.device_description = handle;
  FATHOM_PJRT(plugin, PJRT_DeviceDescription_Attributes, list);
  NamedValues attributes = from_pjrt(list.attributes, list.num_attributes);
  // TPU plugins call it slice_index, newer CUDA plugins partition_index; the others have a single slice.
  return {.id = id.id,
          .process_index = process.process_index,
          .slice_index = static_cast<int>(number(attributes, {"slice_index", "partition_index"})),
          .kind = std::string(kind.device_kind, kind.device_kind_size),
          .memory_bytes = number(attributes, {"device_memory_bytes_limit"})};
}

}  // namespace fathom
