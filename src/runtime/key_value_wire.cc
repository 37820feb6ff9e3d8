#include "runtime/key_value_wire.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

constexpr size_t kLengthBytes = 4;

void append_little_endian(std::string& to, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) to.push_back(static_cast<char>((value >> (8 * i)) & 0xff));
}

uint64_t little_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

[[noreturn]] void broken_frame(const char* what) {
  throw PjrtError(PjrtCode::kDataLoss, "key-value store",
                  fmt::format("the other side speaks another protocol: {}", what));
}

struct AddressList {
  addrinfo* first = nullptr;
  ~AddressList() {
    if (first != nullptr) freeaddrinfo(first);
  }
};

bool set_blocking(int descriptor, bool blocking) {
  int flags = ::fcntl(descriptor, F_GETFL);
  return ::fcntl(descriptor, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) == 0;
}

// Waits for a connection that was begun without blocking; 0 or an errno.
int finish_connecting(int descriptor, Timeout timeout) {
  pollfd entry{descriptor, POLLOUT, 0};
  int ready = ::poll(&entry, 1, static_cast<int>(timeout.count()));
  if (ready == 0) return ETIMEDOUT;
  if (ready < 0) return errno;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

}  // namespace

SocketAddress SocketAddress::parse(const std::string& text, const std::string& what) {
  size_t colon = text.rfind(':');
  SocketAddress out;
  if (colon != std::string::npos) {
    out.host = text.substr(0, colon);
    if (out.host.starts_with('[') && out.host.ends_with(']')) out.host = out.host.substr(1, out.host.size() - 2);
    const char* end = text.data() + text.size();
    auto [stop, error] = std::from_chars(text.data() + colon + 1, end, out.port);
    if (error != std::errc() || stop != end) out.port = 0;
  }
  if (out.host.empty() || out.port < 1 || out.port > 65535) {
    throw ConfigError(fmt::format("{}={}: must be host:port", what, text));
  }
  return out;
}

std::string SocketAddress::to_string() const {
  bool numeric = host.find(':') != std::string::npos;  // IPv6
  return fmt::format("{}{}{}:{}", numeric ? "[" : "", host, numeric ? "]" : "", port);
}

FrameWriter::FrameWriter(FrameKind kind, uint64_t request) : bytes_(kLengthBytes, '\0') {
  bytes_.push_back(static_cast<char>(kind));
  append_little_endian(bytes_, request, 8);
}

FrameWriter& FrameWriter::text(std::string_view value) {
  append_little_endian(bytes_, value.size(), 4);
  bytes_ += value;
  return *this;
}

FrameWriter& FrameWriter::number(int64_t value) {
  append_little_endian(bytes_, static_cast<uint64_t>(value), 8);
  return *this;
}

std::string FrameWriter::finish() {
  if (bytes_.size() > kLargestFrame) {
    throw PjrtError(PjrtCode::kInvalidArgument, "key-value store", "a value is larger than 64 MiB");
  }
  std::string length;
  append_little_endian(length, bytes_.size() - kLengthBytes, kLengthBytes);
  return bytes_.replace(0, kLengthBytes, length);
}

FrameReader::FrameReader(std::string_view frame) : rest_(frame) {
  auto kind = static_cast<uint8_t>(take(1)[0]);
  if (kind > static_cast<uint8_t>(FrameKind::kLost)) broken_frame("an unknown message");
  kind_ = static_cast<FrameKind>(kind);
  request_ = little_endian(take(8));
}

std::string_view FrameReader::take(size_t count) {
  if (count > rest_.size()) broken_frame("a message ends too early");
  std::string_view out = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return out;
}

std::string FrameReader::text() { return std::string(take(little_endian(take(4)))); }
int64_t FrameReader::number() { return static_cast<int64_t>(little_endian(take(8))); }

std::optional<std::string> next_frame(std::string& received) {
  if (received.size() < kLengthBytes) return std::nullopt;
  size_t length = little_endian(std::string_view(received).substr(0, kLengthBytes));
  if (length < 9 || length > kLargestFrame) broken_frame("a message of impossible length");
  if (received.size() < kLengthBytes + length) return std::nullopt;
  std::string frame = received.substr(kLengthBytes, length);
  received.erase(0, kLengthBytes + length);
  return frame;
}

Socket::Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    close();
    descriptor_ = std::exchange(other.descriptor_, -1);
  }
  return *this;
}

void Socket::close() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

Socket Socket::listen(int port) {
  std::string reason;
  // An IPv6 socket takes IPv4 connections too; machines without IPv6 get an IPv4 one.
  for (int family : {AF_INET6, AF_INET}) {
    Socket out(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int on = 1, off = 0;
    sockaddr_in6 v6{};
    sockaddr_in v4{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = v4.sin_port = htons(static_cast<uint16_t>(port));
    v4.sin_family = AF_INET;
    bool six = family == AF_INET6;
    bool done = out && ::setsockopt(out.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                (!six || ::setsockopt(out.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0) &&
                ::bind(out.get(), six ? reinterpret_cast<sockaddr*>(&v6) : reinterpret_cast<sockaddr*>(&v4),
                       six ? sizeof v6 : sizeof v4) == 0 &&
                ::listen(out.get(), SOMAXCONN) == 0 && set_blocking(out.get(), false);
    if (done) return out;
    reason = std::strerror(errno);
    if (errno == EADDRINUSE || errno == EACCES) break;
  }
  throw ConfigError(
      fmt::format("process 0 cannot serve the other processes on port {} of this machine: {}; give another port in "
                  "coordinator_address",
                  port, reason));
}

Socket Socket::connect(const SocketAddress& address, Timeout timeout, std::string& reason) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  AddressList list;
  int fault = ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &list.first);
  if (fault != 0) {
    reason = fmt::format("{}: {}", address.host, ::gai_strerror(fault));
    return {};
  }
  for (const addrinfo* a = list.first; a != nullptr; a = a->ai_next) {
    Socket out(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol));
    if (!out) continue;
    int error = ::connect(out.get(), a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) error = finish_connecting(out.get(), timeout);
    if (error == 0 && set_blocking(out.get(), true)) {
      out.prepare();
      return out;
    }
    reason = std::strerror(error);
  }
  return {};
}

int Socket::local_port() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

void Socket::prepare() const {
  constexpr int kOn = 1, kIdleSeconds = 10, kIntervalSeconds = 5, kProbes = 4;
  constexpr unsigned kUnacknowledgedMilliseconds = 30'000;
  ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof kOn);
  ::setsockopt(descriptor_, SOL_SOCKET, SO_KEEPALIVE, &kOn, sizeof kOn);
  ::setsockopt(descriptor_, IPPROTO_TCP, TCP_KEEPIDLE, &kIdleSeconds, sizeof kIdleSeconds);
  ::setsockopt(descriptor_, IPPROTO_TCP, TCP_KEEPINTVL, &kIntervalSeconds, sizeof kIntervalSeconds);
  ::setsockopt(descriptor_, IPPROTO_TCP, TCP_KEEPCNT, &kProbes, sizeof kProbes);
  ::setsockopt(descriptor_, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnacknowledgedMilliseconds,
               sizeof kUnacknowledgedMilliseconds);
}

}  // namespace fathom
