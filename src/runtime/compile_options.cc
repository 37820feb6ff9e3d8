#include "runtime/compile_options.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/proto_wire.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

// xla.DeviceAssignmentProto: one replica, one computation (a partition) a device.
std::string device_assignment(const std::vector<int>& ids) {
  ProtoWriter out;
  out.varint(1, 1).varint(2, static_cast<int64_t>(ids.size()));
  for (int64_t id : ids) out.bytes(3, ProtoWriter().varints(1, {&id, 1}).str());
  return out.str();
}

// xla.ExecutableBuildOptionsProto. Zero is not the default of XLA's own struct for the first three, so all are written.
std::string build_options(const CompileOptions& options) {
  constexpr int64_t kNoDeviceOrdinal = -1;
  return ProtoWriter()
      .varint(1, kNoDeviceOrdinal)
      .varint(4, 1)  // num_replicas
      .varint(5, static_cast<int64_t>(options.device_ids.size()))
      .varint(6, 1)  // use_spmd_partitioning
      .bytes(9, device_assignment(options.device_ids))
      .varint(19, options.shardy ? 1 : 0)
      .str();
}

// xla.OptionOverrideProto. XLA reads numbers out of a string_field = 1 itself, but not "true", which the command line
// accepts; that is a bool_field = 2.
std::string flag_value(const std::string& value) {
  if (value == "true" || value == "false") return ProtoWriter().varint(2, value == "true" ? 1 : 0).str();
  return ProtoWriter().bytes(1, value).str();
}

}  // namespace

std::string encode(const CompileOptions& options) {
  ProtoWriter out;
  out.bytes(3, build_options(options));
  for (const auto& [flag, value] : options.xla_flags) {
    // env_option_overrides: map<string, OptionOverrideProto>
    out.bytes(7, ProtoWriter().bytes(1, flag).bytes(2, flag_value(value)).str());
  }
  return out.str();
}

std::map<std::string, std::string> parse_xla_flags(std::string_view flags) {
  constexpr std::string_view kSpace = " \t\n";
  std::map<std::string, std::string> out;
  size_t begin = flags.find_first_not_of(kSpace);
  while (begin != std::string_view::npos) {
    size_t end = std::min(flags.find_first_of(kSpace, begin), flags.size());
    std::string_view flag = flags.substr(begin, end - begin);
    size_t dashes = flag.find_first_not_of('-');
    if ((dashes != 1 && dashes != 2) || flag[dashes] == '=') {
      throw ConfigError(fmt::format("XLA flags: '{}' is not of the form --name=value", flag));
    }
    flag.remove_prefix(dashes);
    size_t equals = flag.find('=');
    out[std::string(flag.substr(0, equals))] =
        equals == std::string_view::npos ? "true" : std::string(flag.substr(equals + 1));
    begin = flags.find_first_not_of(kSpace, end);
  }
  return out;
}

void blame_xla_flags(const PjrtError& error, const CompileOptions& options) {
  if (error.code() != PjrtCode::kInvalidArgument) return;
  for (const auto& [name, value] : options.xla_flags) {
    if (error.text().find(name) == std::string::npos) continue;
    throw ConfigError(fmt::format("compile_xla_flags: --{}={}: {}", name, value, error.text()));
  }
}

}  // namespace fathom
