#include "aot/ahead_of_time.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <functional>
#include <optional>

#include "base/stopwatch.h"
#include "runtime/device_assignment.h"
#include "runtime/donation.h"
#include "runtime/executable.h"
#include "runtime/pjrt_error.h"
#include "runtime/plugin_search.h"

namespace fathom {
namespace {

// `compile` is the call into the plugin.
Verdict judge(const StagedProgram& program, const CompileOptions& options, int64_t available,
              const std::function<std::shared_ptr<const CompiledProgram>()>& compile) {
  Verdict out;
  out.available = available;
  Stopwatch time;
  try {
    out.program = compile();
  } catch (const PjrtError& error) {
    bool memory = error.code() == PjrtCode::kResourceExhausted || error.text().find("HbmOom") != std::string::npos;
    if (!memory) blame_xla_flags(error, options);
    if (!memory) throw;
    MemoryFigures figures = figures_of(error.text());
    out.refusal = error.text();
    out.needed = figures.needed;
    // Texts have hundredths of a GiB: one that says no more than that says nothing new.
    const bool same = std::abs(figures.available - available) <= (int64_t{1} << 30) / 100;
    if (figures.available > 0 && !same) out.available = figures.available;
  }
  out.seconds = time.seconds();
  if (!out.program) return out;
  check_donation(*out.program, program.signature);
  out.memory = out.program->memory_stats();
  const MemoryStats& m = out.memory;
  out.needed = m.argument + m.output - m.alias + m.temp + m.generated_code;
  return out;
}

// Takes an amount of memory, "286.10G" or "900MiB", off the front of the text.
std::optional<int64_t> take_bytes(std::string_view& text) {
  constexpr std::string_view kUnits = "BKMGT";  // powers of 1,024, as XLA means them
  constexpr double kMost = 0x1p62;
  double bytes = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), bytes, std::chars_format::fixed);
  if (fault != std::errc() || bytes < 0) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  const size_t power = text.empty() ? std::string_view::npos : kUnits.find(text.front());
  if (power == std::string_view::npos) return std::nullopt;
  text.remove_prefix(1);
  for (char rest : {'i', 'B'}) {
    if (text.starts_with(rest)) text.remove_prefix(1);
  }
  for (size_t i = 0; i < power; ++i) bytes *= 1024;
  if (!(bytes < kMost)) return std::nullopt;
  return static_cast<int64_t>(bytes);
}

// The first two amounts with `between` between them that follow `before`.
std::optional<MemoryFigures> find_figures(std::string_view text, std::string_view before, std::string_view between) {
  for (size_t at = text.find(before); at != std::string_view::npos; at = text.find(before, at + 1)) {
    std::string_view rest = text.substr(at + before.size());
    const std::optional<int64_t> needed = take_bytes(rest);
    if (!needed || !rest.starts_with(between)) continue;
    rest.remove_prefix(between.size());
    if (const std::optional<int64_t> available = take_bytes(rest)) return MemoryFigures{*needed, *available};
  }
  return std::nullopt;
}

}  // namespace

Verdict compile_ahead(const std::shared_ptr<const Topology>& topology, const StagedProgram& program,
                      const std::string& xla_flags, int64_t available) {
  std::vector<int> ids;
  for (const DeviceDescription& d : topology->devices()) ids.push_back(d.id);
  CompileOptions options{.device_ids = in_mesh_order(program.mesh.mesh, program.mesh.slices_along(), ids),
                         .xla_flags = parse_xla_flags(xla_flags)};
  if (int64_t told = topology->devices().front().memory_bytes; told > 0) available = told;
  return judge(program, options, available,
               [&] { return std::make_shared<const CompiledProgram>(compile_for(topology, program.text, options)); });
}

Verdict compile_ahead(const std::shared_ptr<const Client>& client, const StagedProgram& program,
                      const CompileOptions& options, int64_t available) {
  if (int64_t told = Topology::of(client)->devices().front().memory_bytes; told > 0) available = told;
  return judge(program, options, available, [&] {
    auto loaded = std::make_shared<const Executable>(Executable::compile(client, program.text, options));
    return std::shared_ptr<const CompiledProgram>(loaded, &loaded->program());
  });
}

std::shared_ptr<const Topology> topology_of(const Machine& machine, const std::string& plugin) {
  std::string path = find_plugin(plugin, machine.hardware);
  if (machine.hardware == Hardware::kTpu) {
    // libtpu looks for its machine's data on the network and for other programs that use the TPU; here there is none.
    setenv("TPU_SKIP_MDS_QUERY", "1", 0);
    setenv("ALLOW_MULTIPLE_LIBTPU_LOAD", "1", 0);
    // Without these it complains of an unknown machine on stderr. They change nothing in the programs.
    setenv("TPU_ACCELERATOR_TYPE", "v5p-8", 0);
    setenv("TPU_WORKER_HOSTNAMES", "localhost", 0);
    setenv("TPU_WORKER_ID", "0", 0);
  }
  return Topology::create(Plugin::load(path), machine.topology, machine.options);
}

MemoryFigures figures_of(const std::string& refusal) {
  std::optional<MemoryFigures> found = find_figures(refusal, "(", ") exceeds available HBM (");
  if (!found) found = find_figures(refusal, "Used ", " of ");
  return found.value_or(MemoryFigures{});
}

}  // namespace fathom
