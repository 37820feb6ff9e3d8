#include "base/file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"

namespace fathom {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in || std::filesystem::is_directory(path)) {
    throw FormatError(path, std::string("cannot read: ") + (in ? "it is a folder" : std::strerror(errno)));
  }
  std::ostringstream out;
  out << in.rdbuf();
  return std::move(out).str();
}

void write_file_atomically(const std::string& path, std::string_view content) {
  namespace fs = std::filesystem;
  try {
    fs::path target(path);
    if (target.has_parent_path()) fs::create_directories(target.parent_path());
    std::string temporary = path + ".tmp" + std::to_string(::getpid());
    std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
    out.close();
    if (!out) {
      std::error_code ignored;
      fs::remove(temporary, ignored);
      throw RuntimeFault(path + ": cannot write: " + std::strerror(errno));
    }
    fs::rename(temporary, target);
  } catch (const fs::filesystem_error& e) {
    throw RuntimeFault(path + ": cannot write: " + e.code().message());
  }
}

}  // namespace fathom
