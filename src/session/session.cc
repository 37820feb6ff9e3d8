#include "session/session.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/environment.h"
#include "base/error.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/stopwatch.h"
#include "base/waiting.h"
#include "kernels/abi.h"
#include "kernels/ffi/handlers.h"
#include "runtime/compiled_file.h"
#include "runtime/donation.h"
#include "runtime/ffi_table.h"
#include "runtime/host_memory.h"
#include "runtime/pjrt_error.h"
#include "runtime/plugin_search.h"
#include "session/gpu_memory.h"
#include "session/process_limits.h"

namespace fathom {
namespace {

NamedValues memory_options(Hardware hardware) {
  Problems problems;
  NamedValues options = gpu_memory_options(hardware, process_environment(), problems);
  problems.throw_if_any();
  return options;
}

// A plugin would look for minutes.
void require_devices(const Config& config) {
  if (!config.plugin.empty() || !process_variable("FATHOM_PLUGIN").empty() || shows_devices(config.hardware)) return;
  throw ConfigError(
      fmt::format("hardware={}: this machine shows no such device; use hardware=cpu, or name a plugin that "
                  "knows better (plugin=PATH)",
                  name(config.hardware)));
}

}  // namespace

Session::Session(const Config& config)
    : job_(config, process_environment()),
      require_kernels_(config.kernels == KernelUse::kRequire),
      xla_flags_(config.compile_xla_flags),
      cache_({.folder = config.jax_cache_dir,
              .kernel_abi = std::to_string(abi::kVersion),
              .agreement = job_.compile_agreement()}) {
  if (config.hardware == Hardware::kCpu) keep_large_blocks(static_cast<size_t>(machine_memory_bytes()));
  require_devices(config);
  require_threads();
  plugin_ = &Plugin::load(find_plugin(config.plugin, config.hardware));
  target_.hardware = config.hardware;
  if (config.hardware == Hardware::kCpu && config.kernels != KernelUse::kOff) {
    std::vector<FfiHandler> handlers;
    for (const KernelHandler& k : cpu_kernel_handlers()) {
      handlers.push_back({k.name, k.handler});
      target_.kernels.emplace(k.name);
    }
    register_handlers(*plugin_, handlers);
  }
  ClientOptions options = job_.client_options();
  if (config.hardware == Hardware::kCpu) options.cpu_device_count = static_cast<int>(config.cpu_device_count);
  options.plugin_options.merge(memory_options(config.hardware));
  {
    Waiting waiting(fmt::format("waiting for the devices of hardware={}", name(config.hardware)));
    client_ = Client::create(*plugin_, options);
  }
  mesh_ = resolve_mesh(config, static_cast<int64_t>(client_->devices().size()), client_->slice_count());
  assignment_ = DeviceAssignment::create(client_, mesh_.mesh, {.slices = mesh_.slices_along()});
}

std::string Session::description() const {
  return fmt::format("{} x {} ({}, {})", client_->platform(), client_->devices().size(),
                     std::filesystem::path(plugin_->path()).filename().string(), plugin_->description());
}

std::string Session::kernel_version() const { return target_.kernels.empty() ? "" : std::to_string(abi::kVersion); }

CompileOptions Session::compile_options() const {
  return {.device_ids = assignment_->device_ids(), .xla_flags = parse_xla_flags(xla_flags_)};
}

CachedExecutable Session::compile_cached(const std::string& text, const CompileOptions& options) const {
  try {
    return cache_.compile(client_, text, options);
  } catch (const PjrtError& error) {
    blame_xla_flags(error, options);
    throw;
  }
}

Compiled Session::compile(const std::function<Program()>& stage, const std::string& file) const {
  Stopwatch staging;
  Program program = stage();
  std::string text = emit(program, {.target = target_, .require_kernels = require_kernels_});
  double text_seconds = staging.seconds();
  Stopwatch compiling;
  Waiting waiting(fmt::format("compiling {}", program.name));
  CompileOptions options = compile_options();
  CachedExecutable made =
      file.empty()
          ? compile_cached(text, options)
          : CachedExecutable{load_compiled_file(file, client_, compiled_for(text, *client_, kernel_version()), options),
                             true};
  check_donation(made.executable.program(), program.signature);
  Compiled out{.executable = std::move(made.executable),
               .signature = std::move(program.signature),
               .text_seconds = text_seconds,
               .compile_seconds = compiling.seconds(),
               .from_cache = made.from_cache};
  log_info("{}: {} kB of StableHLO in {:.2f} s, {} in {:.2f} s", program.name, text.size() / 1000, out.text_seconds,
           !file.empty()    ? "loaded from " + file
           : out.from_cache ? "loaded from the compile cache"
                            : "compiled",
           out.compile_seconds);
  return out;
}

ShardedArray Session::upload(const HostArray& whole, const Sharding& sharding, HostMemory memory) const {
  return ShardedArray::from_host(assignment_, whole, sharding, memory);
}

}  // namespace fathom
