// TCP sockets: listening, connecting, and the addresses for both.
#pragma once

#include <chrono>
#include <string>

namespace fathom {

struct SocketAddress {
  std::string host;  // a name or a number; empty for listening: all addresses of this machine
  int port = 0;

  // "host:port", "[::1]:port". Throws ConfigError naming `what`.
  static SocketAddress parse(const std::string& text, const std::string& what);
  std::string to_string() const;
};

// A file descriptor that closes itself.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket() { close(); }
  int get() const { return descriptor_; }
  explicit operator bool() const { return descriptor_ >= 0; }
  void close();

  // A listening socket that does not block; port 0 takes a free one. Without one, `reason` says why.
  static Socket listen(const SocketAddress& address, std::string& reason);
  // A connected socket, or the reason why there is none.
  static Socket connect(const SocketAddress& address, std::chrono::milliseconds timeout, std::string& reason);
  // Of a listening socket: the next connection, which does not block. Without one, errno says why.
  Socket accept() const;
  int local_port() const;
  // Sends small messages at once, and notices within half a minute when the other machine is gone.
  void prepare() const;

 private:
  int descriptor_ = -1;
};

}  // namespace fathom
