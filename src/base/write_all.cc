#include "base/write_all.h"

#include <unistd.h>

#include <cerrno>

namespace fathom {

namespace {

// `some` writes the beginning of what is left and gives how much, or -1 with errno.
template <class Write>
bool write_until_done(std::string_view bytes, Write some) {
  while (!bytes.empty()) {
    const ssize_t n = some(bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

bool write_all(int descriptor, std::string_view bytes) {
  return write_until_done(bytes, [&](std::string_view left) { return ::write(descriptor, left.data(), left.size()); });
}

bool write_all_at(int descriptor, int64_t offset, std::string_view bytes) {
  const char* begin = bytes.data();
  return write_until_done(bytes, [&](std::string_view left) {
    return ::pwrite(descriptor, left.data(), left.size(), offset + (left.data() - begin));
  });
}

}  // namespace fathom
