#include "runtime/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <thread>

#include "base/error.h"
#include "runtime/key_value_callbacks.h"
#include "runtime/pjrt_api.h"

namespace fathom {
namespace {

Device device_of(const Plugin& plugin, PJRT_Device* handle) {
  PJRT_Device_GetDescription_Args args{};
  args.device = handle;
  FATHOM_PJRT(plugin, PJRT_Device_GetDescription, args);
  return {describe(plugin, args.device_description), handle};
}

// XLA:CPU runs all devices on pools of a thread for each core or device, whichever are more, and a device that waits in
// a collective keeps its thread. One device can wait in several at once, behind a loop, in it, and in a loop inside:
// when the threads are used up like that, those that all wait for get none. While this lives the plugin gives each
// device one for every level and one to work, unless the user has said how many there are.
class RoomToWait {
 public:
  explicit RoomToWait(int devices) {
    if (devices < 2 || std::getenv(kOwn) != nullptr || std::getenv("NPROC") != nullptr) return;
    setenv(kOwn,
           std::to_string(std::max<int>(std::thread::hardware_concurrency(), kThreadsPerDevice * devices)).c_str(), 1);
    set_ = true;
  }
  ~RoomToWait() {
    if (set_) unsetenv(kOwn);
  }
  RoomToWait(const RoomToWait&) = delete;
  RoomToWait& operator=(const RoomToWait&) = delete;

 private:
  static constexpr const char* kOwn = "PJRT_NPROC";  // read when a client is made
  static constexpr int kThreadsPerDevice = 4;
  bool set_ = false;
};

// Nothing where the plugin has none, as the CPU's.
std::optional<PJRT_Device_MemoryStats_Args> memory_stats(const Plugin& plugin, const Device& device) {
  PJRT_Device_MemoryStats_Args args{};
  args.device = device.handle;
  try {
    FATHOM_PJRT(plugin, PJRT_Device_MemoryStats, args);
  } catch (const PjrtError& error) {
    if (error.code() == PjrtCode::kUnimplemented) return std::nullopt;
    throw;
  }
  return args;
}

}  // namespace

std::shared_ptr<const Client> Client::create(const Plugin& plugin, const ClientOptions& options) {
  NamedValues all = options.plugin_options;
  if (options.cpu_device_count) {
    if (*options.cpu_device_count < 1) {
      throw ConfigError(fmt::format("cpu_device_count={}: must be 1 or more", *options.cpu_device_count));
    }
    all["cpu_device_count"] = int64_t{*options.cpu_device_count};
  }
  std::vector<PJRT_NamedValue> values = to_pjrt(all);
  PJRT_Client_Create_Args args{};
  args.create_options = values.data();
  args.num_options = values.size();
  std::unique_ptr<KeyValueCallbacks> callbacks;
  if (options.key_values != nullptr) {
    callbacks = std::make_unique<KeyValueCallbacks>(options.key_values);
    callbacks->fill(args);
  }
  RoomToWait room(options.cpu_device_count.value_or(1));
  FATHOM_PJRT(plugin, PJRT_Client_Create, args);
  std::shared_ptr<Client> client(new Client(plugin, args.client, std::move(callbacks)));
  client->read_platform();
  client->read_devices();
  return client;
}

Client::Client(const Plugin& plugin, PJRT_Client* handle, std::unique_ptr<KeyValueCallbacks> callbacks)
    : plugin_(plugin), handle_(handle), callbacks_(std::move(callbacks)) {}

Client::~Client() {
  PJRT_Client_Destroy_Args args{};
  args.client = handle_;
  FATHOM_PJRT_DESTROY(plugin_, PJRT_Client_Destroy, args);
}

void Client::read_platform() {
  PJRT_Client_PlatformName_Args platform{};
  platform.client = handle_;
  FATHOM_PJRT(plugin_, PJRT_Client_PlatformName, platform);
  platform_.assign(platform.platform_name, platform.platform_name_size);
  PJRT_Client_PlatformVersion_Args version{};
  version.client = handle_;
  FATHOM_PJRT(plugin_, PJRT_Client_PlatformVersion, version);
  platform_version_.assign(version.platform_version, version.platform_version_size);
  PJRT_Client_ProcessIndex_Args process{};
  process.client = handle_;
  FATHOM_PJRT(plugin_, PJRT_Client_ProcessIndex, process);
  process_index_ = process.process_index;
}

void Client::read_devices() {
  PJRT_Client_Devices_Args all{};
  all.client = handle_;
  FATHOM_PJRT(plugin_, PJRT_Client_Devices, all);
  for (size_t i = 0; i < all.num_devices; ++i) devices_.push_back(device_of(plugin_, all.devices[i]));
  PJRT_Client_AddressableDevices_Args own{};
  own.client = handle_;
  FATHOM_PJRT(plugin_, PJRT_Client_AddressableDevices, own);
  for (size_t i = 0; i < own.num_addressable_devices; ++i) {
    addressable_.push_back(&device(own.addressable_devices[i]));
  }
}

int Client::process_count() const {
  std::set<int> processes;
  for (const Device& d : devices_) processes.insert(d.process_index);
  return static_cast<int>(processes.size());
}

int Client::slice_count() const {
  std::set<int> slices;
  for (const Device& d : devices_) slices.insert(d.slice_index);
  return static_cast<int>(slices.size());
}

std::optional<int64_t> Client::memory_limit(const Device& device) const {
  const auto stats = memory_stats(plugin_, device);
  if (!stats || !stats->bytes_limit_is_set || stats->bytes_limit <= 0) return std::nullopt;
  return stats->bytes_limit;
}

std::optional<int64_t> Client::peak_memory(const Device& device) const {
  const auto stats = memory_stats(plugin_, device);
  if (!stats) return std::nullopt;
  const int64_t bytes = stats->peak_bytes_in_use_is_set ? stats->peak_bytes_in_use : stats->bytes_in_use;
  return bytes > 0 ? std::optional(bytes) : std::nullopt;
}

const Device& Client::device(const PJRT_Device* handle) const {
  auto it = std::find_if(devices_.begin(), devices_.end(), [&](const Device& d) { return d.handle == handle; });
  if (it == devices_.end()) {
    throw PjrtError(PjrtCode::kInternal, "Client::device", "the plugin names a device that it did not list");
  }
  return *it;
}

}  // namespace fathom
