#include "net/socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

#include "base/error.h"

namespace fathom {
namespace {

// What a name stands for.
class AddressList {
 public:
  // `reason` says why the list is empty.
  AddressList(const std::string& host, int port, int flags, std::string& reason) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;
    int fault = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &first_);
    if (fault != 0) reason = fmt::format("{}: {}", host, ::gai_strerror(fault));
  }
  ~AddressList() {
    if (first_ != nullptr) ::freeaddrinfo(first_);
  }
  AddressList(const AddressList&) = delete;
  AddressList& operator=(const AddressList&) = delete;
  const addrinfo* first() const { return first_; }

 private:
  addrinfo* first_ = nullptr;
};

bool set_blocking(int descriptor, bool blocking) {
  int flags = ::fcntl(descriptor, F_GETFL);
  return ::fcntl(descriptor, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) == 0;
}

// Waits for a connection that was begun without blocking; 0 or an errno.
int finish_connecting(int descriptor, std::chrono::milliseconds timeout) {
  pollfd entry{descriptor, POLLOUT, 0};
  int ready = ::poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(timeout.count(), 0, 3'600'000)));
  if (ready == 0) return ETIMEDOUT;
  if (ready < 0) return errno;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

// An empty socket leaves the reason in errno.
Socket listen_at(const sockaddr* address, socklen_t size) {
  Socket out(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int on = 1, off = 0;
  // An IPv6 socket for all addresses takes IPv4 connections too.
  bool done =
      out && ::setsockopt(out.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      (address->sa_family != AF_INET6 || ::setsockopt(out.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0) &&
      ::bind(out.get(), address, size) == 0 && ::listen(out.get(), SOMAXCONN) == 0 && set_blocking(out.get(), false);
  return done ? std::move(out) : Socket();
}

Socket listen_everywhere(int port, std::string& reason) {
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(static_cast<uint16_t>(port));
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = v6.sin6_port;
  Socket out = listen_at(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
  // Machines without IPv6 get an IPv4 one.
  if (!out && errno != EADDRINUSE && errno != EACCES) {
    out = listen_at(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
  }
  if (!out) reason = std::strerror(errno);
  return out;
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
  if (out.host.empty() || out.port < 1 || out.port > std::numeric_limits<uint16_t>::max()) {
    throw ConfigError(fmt::format("{}={}: must be host:port", what, text));
  }
  return out;
}

std::string SocketAddress::to_string() const {
  bool numeric = host.find(':') != std::string::npos;  // IPv6
  return fmt::format("{}{}{}:{}", numeric ? "[" : "", host, numeric ? "]" : "", port);
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
  int kept = errno;  // of the call that made the socket useless
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  errno = kept;
}

Socket Socket::listen(const SocketAddress& address, std::string& reason) {
  if (address.host.empty()) return listen_everywhere(address.port, reason);
  AddressList list(address.host, address.port, AI_PASSIVE, reason);
  for (const addrinfo* a = list.first(); a != nullptr; a = a->ai_next) {
    if (Socket out = listen_at(a->ai_addr, a->ai_addrlen)) return out;
    reason = std::strerror(errno);
  }
  return {};
}

Socket Socket::connect(const SocketAddress& address, std::chrono::milliseconds timeout, std::string& reason) {
  AddressList list(address.host, address.port, 0, reason);
  for (const addrinfo* a = list.first(); a != nullptr; a = a->ai_next) {
    Socket out(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol));
    int error = !out || ::connect(out.get(), a->ai_addr, a->ai_addrlen) != 0 ? errno : 0;
    if (error == EINPROGRESS) error = finish_connecting(out.get(), timeout);
    if (error == 0 && set_blocking(out.get(), true)) {
      out.prepare();
      return out;
    }
    reason = std::strerror(error);
  }
  return {};
}

Socket Socket::accept() const { return Socket(::accept4(descriptor_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)); }

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
