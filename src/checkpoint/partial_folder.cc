#include "checkpoint/partial_folder.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "checkpoint/local_file.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path, std::string_view what, const std::string& why) {
  throw RuntimeFault(fmt::format("{}: {}: {}", path, what, why));
}

void remove_tree(const std::string& path) {
  std::error_code fault;
  fs::remove_all(path, fault);
  if (fault) fail(path, "cannot remove", fault.message());
}

}  // namespace

void refuse_taken(const std::string& folder) {
  throw ConfigError(folder + ": there is something already; name another folder, or remove it");
}

PartialFolder::PartialFolder(std::string name) : name_(std::move(name)), partial_(name_ + ".partial") {
  std::error_code fault;
  const bool is_folder = fs::is_directory(name_, fault);
  if (is_folder ? !fs::is_empty(name_, fault) : fs::exists(name_, fault)) {
    if (fs::exists(journal()) && !fs::exists(content())) remove_tree(partial_);  // its name was the last it needed
    refuse_taken(name_);
  }
  for (fs::path above = fs::absolute(partial_).parent_path(); !fs::exists(above, fault); above = above.parent_path()) {
    made_.push_back(above);
  }
  fs::create_directories(partial_, fault);
  if (fault) throw ConfigError(partial_ + ": cannot make the folder: " + fault.message());
}

void PartialFolder::keep(const std::map<std::string, int64_t>& bytes) const {
  std::error_code fault;
  if (bytes.empty()) return remove_tree(content());
  std::vector<fs::path> stale;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(content())) {
    if (entry.is_directory()) continue;
    const auto kept = bytes.find(fs::relative(entry.path(), content()).string());
    if (kept == bytes.end()) {
      stale.push_back(entry.path());
    } else if (static_cast<int64_t>(entry.file_size()) > kept->second) {
      fs::resize_file(entry.path(), static_cast<uintmax_t>(kept->second), fault);
      if (fault) fail(entry.path(), "cannot write", fault.message());
    }
  }
  for (const fs::path& path : stale) remove_tree(path);
}

void PartialFolder::sync() const { sync_tree(content()); }

void PartialFolder::commit() const {
  if (::rename(content().c_str(), name_.c_str()) != 0) fail(name_, "cannot make it", std::strerror(errno));
  sync_folder(fs::absolute(name_).parent_path());
  remove_tree(partial_);
}

void PartialFolder::discard() const {
  std::error_code ignored;
  fs::remove_all(partial_, ignored);
  for (const std::string& folder : made_) fs::remove(folder, ignored);  // only if it is empty
}

}  // namespace fathom
