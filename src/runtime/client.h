// A live runtime of one platform: its devices, and what buffers and executables are made from.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/device.h"
#include "runtime/named_value.h"
#include "runtime/plugin.h"

struct PJRT_Client;
struct PJRT_Device;

namespace fathom {

class KeyValues;
struct KeyValueCallbacks;

// A device of a client, in this process or in another one of the same job.
struct Device : DeviceDescription {
  PJRT_Device* handle = nullptr;
};

struct ClientOptions {
  // Virtual devices of the CPU plugin, 1 or more. The other platforms have the devices they have and refuse a number.
  std::optional<int> cpu_device_count;
  // Further options of the plugin, by its own names.
  NamedValues plugin_options = {};
  // What the processes of a job tell each other while their clients are made, for plugins that need it (CUDA). Lives as
  // long as the client.
  std::shared_ptr<KeyValues> key_values = {};
};

// Everything made from a client shares its ownership, so it lives as long as the last buffer. Thread-safe.
class Client : public std::enable_shared_from_this<Client> {
 public:
  // Throws PjrtError when the plugin finds no device or refuses an option.
  static std::shared_ptr<const Client> create(const Plugin& plugin, const ClientOptions& options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const Plugin& plugin() const { return plugin_; }
  PJRT_Client* handle() const { return handle_; }
  // "cpu", "tpu", "cuda".
  const std::string& platform() const { return platform_; }
  // The version of the plugin's own runtime, in its words.
  const std::string& platform_version() const { return platform_version_; }
  bool is_cpu() const { return platform_ == "cpu"; }
  // This process among those of the job.
  int process_index() const { return process_index_; }
  // How many processes feed the devices of the job.
  int process_count() const;
  // Groups of devices with a fast network of their own, 1 or more.
  int slice_count() const;
  // All devices of the job.
  const std::vector<Device>& devices() const { return devices_; }
  // Those of this process, in the plugin's order.
  const std::vector<const Device*>& addressable_devices() const { return addressable_; }
  // The device of `devices()` behind a handle that the plugin gave.
  const Device& device(const PJRT_Device* handle) const;
  // Bytes of an own device that programs may use, as its allocator says; nothing where the plugin does not say.
  std::optional<int64_t> memory_limit(const Device& device) const;
  // The most bytes of an own device that were in use at once so far, in use now where the plugin does not keep the
  // most; nothing where it says neither.
  std::optional<int64_t> peak_memory(const Device& device) const;

 private:
  Client(const Plugin& plugin, PJRT_Client* handle, std::unique_ptr<KeyValueCallbacks> callbacks);
  void read_platform();
  void read_devices();

  const Plugin& plugin_;
  PJRT_Client* handle_;
  // The plugin calls them as long as the client lives.
  std::unique_ptr<KeyValueCallbacks> callbacks_;
  std::string platform_;
  std::string platform_version_;
  int process_index_ = 0;
  std::vector<Device> devices_;
  std::vector<const Device*> addressable_;
};

}  // namespace fathom
