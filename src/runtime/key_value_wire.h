// Frames of the key-value store and the sockets that carry them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/key_value_store.h"

namespace fathom {

// A frame longer than this is no frame of ours.
inline constexpr size_t kLargestFrame = size_t{64} << 20;
inline constexpr std::string_view kStoreMagic = "fathom key-value store 1";

enum class FrameKind : uint8_t {
  // Requests.
  kHello,    // texts: magic, job, host name; then i32 index, i32 count
  kJoin,     // i64 milliseconds; answered when all processes are there
  kPut,      // texts: key, value
  kGet,      // text: key; i64 milliseconds
  kTryGet,   // text: key
  kGoodbye,  // nothing; answered, then the connection is closed by the client
  // Answers, with the number of their request.
  kOk,      // text: the value, if any
  kFailed,  // u8 PjrtCode; text
  // Without a request.
  kLost,  // text: which process
};

// Puts a frame together.
class FrameWriter {
 public:
  FrameWriter(FrameKind kind, uint64_t request);
  FrameWriter& text(std::string_view value);
  FrameWriter& number(int64_t value);
  // The bytes, their length in front.
  std::string finish();

 private:
  std::string bytes_;
};

// Reads the fields of a frame. Throws PjrtError (kDataLoss) past the end.
class FrameReader {
 public:
  // A whole frame without its length.
  explicit FrameReader(std::string_view frame);
  FrameKind kind() const { return kind_; }
  uint64_t request() const { return request_; }
  std::string text();
  int64_t number();

 private:
  std::string_view take(size_t count);
  std::string_view rest_;
  FrameKind kind_ = FrameKind::kOk;
  uint64_t request_ = 0;
};

// Cuts the first whole frame (without its length) off `received`; nothing while it is not all there. Throws PjrtError
// (kDataLoss) for a length that cannot be.
std::optional<std::string> next_frame(std::string& received);

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

  // A listening socket on all addresses of this machine; 0 takes a free port. Throws ConfigError.
  static Socket listen(int port);
  // A connected socket, or the reason why there is none (in `reason`).
  static Socket connect(const SocketAddress& address, Timeout timeout, std::string& reason);
  int local_port() const;
  // Sends small frames at once, and notices within half a minute when the other machine is gone.
  void prepare() const;

 private:
  int descriptor_ = -1;
};

}  // namespace fathom
