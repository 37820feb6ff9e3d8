// The shape of a machine that is not here: what to compile for ahead of time.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/client.h"
#include "runtime/compile_options.h"
#include "runtime/compiled_program.h"
#include "runtime/device.h"
#include "runtime/named_value.h"

struct PJRT_TopologyDescription;

namespace fathom {

// Keeps what it was made from alive. Thread-safe.
class Topology {
 public:
  // By the plugin's own name ("v5p:4x4x8") and options. Throws PjrtError when the plugin does not know it.
  static std::shared_ptr<const Topology> create(const Plugin& plugin, const std::string& name,
                                                const NamedValues& options);
  // That of a live client.
  static std::shared_ptr<const Topology> of(const std::shared_ptr<const Client>& client);
  ~Topology();
  Topology(const Topology&) = delete;
  Topology& operator=(const Topology&) = delete;

  const Plugin& plugin() const { return plugin_; }
  const std::string& platform() const { return platform_; }
  // Slice after slice, in each by id.
  const std::vector<DeviceDescription>& devices() const { return devices_; }
  int64_t num_devices() const { return static_cast<int64_t>(devices_.size()); }

  friend CompiledProgram compile_for(const std::shared_ptr<const Topology>& topology, std::string_view text,
                                     const CompileOptions& options);

 private:
  Topology(const Plugin& plugin, PJRT_TopologyDescription* handle, std::shared_ptr<const Client> client);

  const Plugin& plugin_;
  PJRT_TopologyDescription* handle_;
  // The owner of `handle_`, or null when it is ours.
  std::shared_ptr<const Client> client_;
  std::string platform_;
  std::vector<DeviceDescription> devices_;
};

// Compiles StableHLO text without a device. Throws PjrtError; the code is kResourceExhausted when the program does not
// fit.
CompiledProgram compile_for(const std::shared_ptr<const Topology>& topology, std::string_view text,
                            const CompileOptions& options);

}  // namespace fathom
