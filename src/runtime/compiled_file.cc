#include "runtime/compiled_file.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "runtime/compile_cache.h"

namespace fathom {
namespace {

// A file is this line, one line a field, an empty line, and the serialised program.
constexpr std::string_view kMagic = "fathom compiled train step 1\n";

struct Field {
  const char* name;
  const char* meaning;
  std::string CompiledFor::*value;
};
constexpr std::array<Field, 4> kFields = {{
    {"program", "another program (configuration, model or version of fathom)", &CompiledFor::program},
    {"plugin", "another plugin", &CompiledFor::plugin},
    {"machine", "another machine", &CompiledFor::machine},
    {"kernels", "another version of the kernels", &CompiledFor::kernels},
}};

// What the compiler is, but not where it lies: the machine that runs the program has its own copy.
std::string version_of(const Plugin& plugin) {
  std::string out = plugin.description();
  for (const auto& [name, value] : plugin.attributes()) {
    if (name.ends_with("version")) out += fmt::format(", {} {}", name, to_string(value));
  }
  return out;
}

// "tpu: 128 TPU v5, 4 TPU v4"; `where` is a client or a topology.
template <class Machine>
std::string machine(const Machine& where) {
  std::map<std::string, int64_t> kinds;
  for (const auto& device : where.devices()) ++kinds[device.kind];
  std::string out = where.platform() + ":";
  const char* separator = " ";
  for (const auto& [kind, count] : kinds) {
    out += fmt::format("{}{} {}", separator, count, kind);
    separator = ", ";
  }
  if (where.platform() == "cpu") out += ", processor " + hash_of(cpu_fingerprint());
  return out;
}

template <class Machine>
CompiledFor fields_for(std::string_view text, const Machine& where, std::string kernels) {
  return {hash_of(text), version_of(where.plugin()), machine(where), std::move(kernels)};
}

std::string header(const CompiledFor& made_for, std::string_view payload) {
  std::string out(kMagic);
  for (const Field& f : kFields) out += fmt::format("{}: {}\n", f.name, made_for.*f.value);
  return out + fmt::format("content: {}\n\n", hash_of(payload));
}

// Takes "name: value\n" off the front of `text`; nothing when it does not stand there.
std::optional<std::string> take_field(std::string_view& text, std::string_view name) {
  size_t end = text.find('\n');
  std::string prefix = fmt::format("{}: ", name);
  if (end == std::string_view::npos || !text.starts_with(prefix)) return std::nullopt;
  std::string value(text.substr(prefix.size(), end - prefix.size()));
  text.remove_prefix(end + 1);
  return value;
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw ConfigError(fmt::format("compiled_trainstep_file={}: {}", path, why));
}

// Splits a file into what it was made for and its payload.
std::pair<CompiledFor, std::string_view> parse(const std::string& path, std::string_view file) {
  std::string_view rest = file;
  if (!rest.starts_with(kMagic)) refuse(path, "this is no file that `fathom train_compile` wrote");
  rest.remove_prefix(kMagic.size());
  CompiledFor made_for;
  for (const Field& f : kFields) {
    auto value = take_field(rest, f.name);
    if (!value) refuse(path, fmt::format("damaged: no field '{}'; compile again with `fathom train_compile`", f.name));
    made_for.*f.value = *value;
  }
  auto content = take_field(rest, "content");
  if (!content || !rest.starts_with('\n') || hash_of(rest.substr(1)) != *content) {
    refuse(path,
           "damaged: its content does not have the hash that it names; compile again with `fathom train_compile`");
  }
  return {made_for, rest.substr(1)};
}

}  // namespace

CompiledFor compiled_for(std::string_view text, const Topology& topology, std::string kernels) {
  return fields_for(text, topology, std::move(kernels));
}

CompiledFor compiled_for(std::string_view text, const Client& client, std::string kernels) {
  return fields_for(text, client, std::move(kernels));
}

void write_compiled_file(const std::string& path, const CompiledProgram& program, const CompiledFor& made_for) {
  std::string payload = program.serialize();
  write_file_atomically(path, header(made_for, payload) + payload);
}

Executable load_compiled_file(const std::string& path, const std::shared_ptr<const Client>& client,
                              const CompiledFor& wanted, const CompileOptions& options) {
  if (!std::filesystem::is_regular_file(path)) {
    refuse(path, "there is no such file; `fathom train_compile` with the same keys writes it");
  }
  const std::string file = read_file(path);
  auto [made_for, payload] = parse(path, file);
  for (const Field& f : kFields) {
    if (made_for.*f.value == wanted.*f.value) continue;
    refuse(path, fmt::format("made for {}: '{}', here it is '{}'; compile again with `fathom train_compile`, or leave "
                             "the key out",
                             f.meaning, made_for.*f.value, wanted.*f.value));
  }
  return Executable::deserialize(client, payload, options);
}

}  // namespace fathom
