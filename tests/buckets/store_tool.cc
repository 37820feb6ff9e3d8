// The functions of storage/file_store.h one by one, for buckets_test.py:
//   store_tool put PATH BYTES        writes that many bytes, a MB at a time; byte i is a function of i. Says how much
//                                    memory that took at most
//   store_tool give_up PATH BYTES    the same, and does not finish
//   store_tool parts PATH BYTES      writes them in parts that come in the wrong order
//   store_tool check PATH BYTES      reads ranges here and there and compares
//   store_tool range PATH FROM SIZE  reads one range to stdout
//   store_tool kind|list|remove PATH
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

constexpr int64_t kStep = int64_t{1} << 20;

std::string bytes_from(int64_t first, int64_t count) {
  std::string out(static_cast<size_t>(count), '\0');
  for (int64_t i = 0; i < count; ++i) {
    const auto n = static_cast<uint64_t>(first + i);
    out[static_cast<size_t>(i)] = static_cast<char>((n * 0x9E3779B97F4A7C15) >> 56);
  }
  return out;
}

// Bytes that the process has held, apart from pages of files.
int64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  int64_t out = 0;
  for (std::string line; std::getline(status, line);) {
    const int64_t bytes = std::strtoll(line.c_str() + line.find(':') + 1, nullptr, 10) * 1024;
    if (line.starts_with("VmHWM:")) out += bytes;
    if (line.starts_with("RssFile:")) out -= bytes;
  }
  return out;
}

void put(const std::string& path, int64_t bytes, bool finish) {
  const std::unique_ptr<FileUpload> file = file_store(path).upload(path);
  for (int64_t at = 0; at < bytes; at += kStep) file->append(bytes_from(at, std::min(kStep, bytes - at)));
  if (!finish) return;
  file->finish();
  std::cout << peak_memory();
}

void put_in_parts(const std::string& path, int64_t bytes) {
  const std::unique_ptr<FileInParts> file = file_store(path).in_parts(path);
  file->resize(bytes);
  for (int64_t at = (bytes - 1) / kStep * kStep; at >= 0; at -= kStep) {
    file->write(at, bytes_from(at, std::min(kStep, bytes - at)));
  }
  file->finish();
}

std::string range(const FileReader& file, int64_t first, int64_t count) {
  std::string out(static_cast<size_t>(count), '\0');
  file.read(first, std::as_writable_bytes(std::span(out)));
  return out;
}

void check(const std::string& path, int64_t bytes) {
  const std::unique_ptr<const FileReader> file = file_store(path).open(path);
  if (file->size() != bytes) throw RuntimeFault("the size is " + std::to_string(file->size()));
  int64_t size = 1;
  for (int64_t first = 0; first < bytes; first = 2 * first + 1) {
    const int64_t count = std::min(size, bytes - first);
    if (range(*file, first, count) != bytes_from(first, count)) {
      throw RuntimeFault(std::to_string(count) + " bytes from " + std::to_string(first) + " on are others");
    }
    size = std::min(2 * size + 1, 20 * kStep);
  }
}

int run(const std::vector<std::string>& words) {
  const std::string &what = words.at(0), &path = words.at(1);
  const FileStore& store = file_store(path);
  auto number = [&](size_t i) { return std::stoll(words.at(i)); };
  if (what == "put" || what == "give_up") {
    put(path, number(2), what == "put");
  } else if (what == "parts") {
    put_in_parts(path, number(2));
  } else if (what == "check") {
    check(path, number(2));
  } else if (what == "range") {
    std::cout << range(*store.open(path), number(2), number(3));
  } else if (what == "kind") {
    const PathKind kind = store.kind(path);
    std::cout << (kind == PathKind::kAbsent ? "absent" : kind == PathKind::kFile ? "file" : "folder");
  } else if (what == "list") {
    for (const FolderEntry& e : store.list(path)) std::cout << e.name << ' ' << e.size << ' ' << e.is_folder << '\n';
  } else if (what == "remove") {
    store.remove(path);
  } else {
    return kExitUserMistake;
  }
  return 0;
}

}  // namespace
}  // namespace fathom

int main(int count, char** words) {
  try {
    return fathom::run({words + 1, words + count});
  } catch (const fathom::Error& e) {
    std::cerr << e.what() << '\n';
    return e.exit_code();
  }
}
