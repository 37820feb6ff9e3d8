#include "runtime/topology.h"

#include <algorithm>
#include <utility>

#include "runtime/pjrt_api.h"

namespace fathom {

std::shared_ptr<const Topology> Topology::create(const Plugin& plugin, const std::string& name,
                                                 const NamedValues& options) {
  std::vector<PJRT_NamedValue> values = to_pjrt(options);
  PJRT_TopologyDescription_Create_Args args{};
  args.topology_name = name.data();
  args.topology_name_size = name.size();
  args.create_options = values.data();
  args.num_options = values.size();
  FATHOM_PJRT(plugin, PJRT_TopologyDescription_Create, args);
  return std::shared_ptr<const Topology>(new Topology(plugin, args.topology, nullptr));
}

std::shared_ptr<const Topology> Topology::of(const std::shared_ptr<const Client>& client) {
  PJRT_Client_TopologyDescription_Args args{};
  args.client = client->handle();
  FATHOM_PJRT(client->plugin(), PJRT_Client_TopologyDescription, args);
  return std::shared_ptr<const Topology>(new Topology(client->plugin(), args.topology, client));
}

Topology::Topology(const Plugin& plugin, PJRT_TopologyDescription* handle, std::shared_ptr<const Client> client)
    : plugin_(plugin), handle_(handle), client_(std::move(client)) {
  PJRT_TopologyDescription_PlatformName_Args name{};
  name.topology = handle_;
  FATHOM_PJRT(plugin_, PJRT_TopologyDescription_PlatformName, name);
  platform_.assign(name.platform_name, name.platform_name_size);
  PJRT_TopologyDescription_GetDeviceDescriptions_Args devices{};
  devices.topology = handle_;
  FATHOM_PJRT(plugin_, PJRT_TopologyDescription_GetDeviceDescriptions, devices);
  for (size_t i = 0; i < devices.num_descriptions; ++i) {
    devices_.push_back(describe(plugin_, devices.descriptions[i]));
  }
  std::sort(devices_.begin(), devices_.end(), [](const DeviceDescription& a, const DeviceDescription& b) {
    return std::pair(a.slice_index, a.id) < std::pair(b.slice_index, b.id);
  });
}

Topology::~Topology() {
  if (client_ != nullptr) return;
  PJRT_TopologyDescription_Destroy_Args args{};
  args.topology = handle_;
  FATHOM_PJRT_DESTROY(plugin_, PJRT_TopologyDescription_Destroy, args);
}

CompiledProgram compile_for(const std::shared_ptr<const Topology>& topology, std::string_view text,
                            const CompileOptions& options) {
  std::string encoded = encode(options);
  PJRT_Program program = mlir_program(text);
  PJRT_Compile_Args args{};
  args.topology = topology->handle_;
  args.program = &program;
  args.compile_options = encoded.data();
  args.compile_options_size = encoded.size();
  args.client = topology->client_ == nullptr ? nullptr : topology->client_->handle();
  FATHOM_PJRT(topology->plugin_, PJRT_Compile, args);
  return {topology->plugin_, args.executable, topology};
}

}  // namespace fathom
