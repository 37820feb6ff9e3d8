#include "runtime/compile_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "base/environment.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// An entry is this line, the hash of the rest in 32 hexadecimal digits, a newline, and the serialised executable. XLA
// does not survive damaged input, so nothing reaches it whose hash differs.
constexpr std::string_view kMagic = "fathom compiled program 1\n";
constexpr size_t kHashDigits = 32;
constexpr size_t kHeaderSize = kMagic.size() + kHashDigits + 1;
constexpr std::string_view kSuffix = ".xla";

// The serialised executable inside an entry, or nothing when the entry is damaged.
std::optional<std::string_view> payload(std::string_view entry) {
  if (entry.size() < kHeaderSize || !entry.starts_with(kMagic)) return std::nullopt;
  std::string_view bytes = entry.substr(kHeaderSize);
  if (entry.substr(kMagic.size(), kHashDigits) != hash_of(bytes)) return std::nullopt;
  return bytes;
}

std::optional<Executable> load(const std::string& path, const std::shared_ptr<const Client>& client,
                               const CompileOptions& options) {
  std::error_code none;
  if (!fs::exists(path, none)) return std::nullopt;
  if (!fs::is_regular_file(path, none)) {
    log_warning("{}: not a file, so no entry of the compile cache; compiling", path);
    return std::nullopt;
  }
  try {
    const std::string entry = read_file(path);  // not mapped: another process may cut it short
    auto bytes = payload(entry);
    if (!bytes) {
      log_warning("{}: damaged entry of the compile cache; compiling again", path);
      return std::nullopt;
    }
    Executable executable = Executable::deserialize(client, *bytes, options);
    fs::last_write_time(path, fs::file_time_type::clock::now(), none);  // marks it as used
    return executable;
  } catch (const Error& error) {
    log_warning("{}: unusable entry of the compile cache; compiling again ({})", path, error.what());
    return std::nullopt;
  }
}

}  // namespace

std::string CompileCache::entry_path(const Client& client, std::string_view text, const CompileOptions& options) const {
  std::vector<std::string> parts{
      std::string(text),   encode(options),   client.plugin().fingerprint(), process_variable("XLA_FLAGS"),
      options_.kernel_abi, client.platform(), client.platform_version(),     cpu_fingerprint()};
  for (const Device& device : client.devices()) parts.push_back(fmt::format("{} {}", device.id, device.kind));
  return (fs::path(options_.folder) / (hash_of_parts(parts) + std::string(kSuffix))).string();
}

CachedExecutable CompileCache::compile(const std::shared_ptr<const Client>& client, std::string_view text,
                                       const CompileOptions& options) const {
  std::string path = options_.folder.empty() ? "" : entry_path(*client, text, options);
  std::optional<Executable> loaded = path.empty() ? std::nullopt : load(path, client, options);
  if (options_.agreement != nullptr && !options_.agreement->all_have_it(loaded.has_value()) && loaded) {
    log_info("another process does not have the program in its cache: compiling with it");
    loaded.reset();
  }
  if (loaded) return {.executable = std::move(*loaded), .from_cache = true};
  Executable compiled = Executable::compile(client, text, options);
  if (!path.empty()) store(path, compiled.program());
  return {.executable = std::move(compiled), .from_cache = false};
}

void CompileCache::store(const std::string& path, const CompiledProgram& program) const {
  try {
    std::string bytes = program.serialize();
    write_file_atomically(path, std::string(kMagic) + hash_of(bytes) + "\n" + bytes);
    remove_oldest();
  } catch (const std::exception& error) {
    log_once(LogLevel::kWarning, fmt::format("compiled programs are not kept: {}", error.what()));
  }
}

void CompileCache::remove_oldest() const {
  struct Entry {
    fs::file_time_type used;
    fs::path path;
    int64_t bytes;
  };
  std::vector<Entry> entries;
  int64_t total = 0;
  for (const auto& file : fs::directory_iterator(options_.folder)) {
    if (file.path().extension() != kSuffix) continue;
    // Another process may be removing entries too.
    std::error_code gone;
    Entry entry{file.last_write_time(gone), file.path(), static_cast<int64_t>(file.file_size(gone))};
    if (gone) continue;
    total += entry.bytes;
    entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
  for (const Entry& entry : entries) {
    if (total <= options_.max_bytes) break;
    std::error_code gone;
    fs::remove(entry.path, gone);
    total -= entry.bytes;
  }
}

const std::string& cpu_fingerprint() {
  static const std::string kFingerprint = [] {
    std::string out = fmt::format("{} cores", std::thread::hardware_concurrency());
    std::ifstream info("/proc/cpuinfo");
    std::set<std::string> seen;
    for (std::string line; std::getline(info, line);) {
      std::string key = line.substr(0, line.find_first_of("\t :"));
      bool wanted = key == "flags" || key == "Features" || line.starts_with("model name");
      if (wanted && seen.insert(key).second) out += "\n" + line;
    }
    return out;
  }();
  return kFingerprint;
}

}  // namespace fathom
