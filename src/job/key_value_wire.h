// Frames of the key-value store: u32 length, u8 kind, u64 request, then the fields of the kind. A text is u32 length
// and its bytes, a number an i64; everything is little-endian.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fathom {

// A frame longer than this is no frame of ours; one of a process that has not said who it is must be shorter still.
inline constexpr size_t kLargestFrame = size_t{64} << 20;
inline constexpr size_t kLargestHello = size_t{16} << 10;
inline constexpr std::string_view kStoreMagic = "fathom key-value store 2";

enum class FrameKind : uint8_t {
  // Requests.
  kHello,    // texts: magic, job, host name, secret; numbers: index, count
  kJoin,     // number: milliseconds; answered when all processes are there
  kPut,      // texts: key, value
  kGet,      // text: key; number: milliseconds
  kTryGet,   // text: key
  kErase,    // text: key
  kGoodbye,  // nothing; answered, then the connection is closed by the client
  // Answers, with the number of their request.
  kOk,      // text: the value, if any
  kFailed,  // number: PjrtCode; text
  // Without a request.
  kLost,  // text: which process
};

// Puts a frame together.
class FrameWriter {
 public:
  FrameWriter(FrameKind kind, uint64_t request);
  FrameWriter& text(std::string_view value);
  FrameWriter& number(int64_t value);
  // The bytes, their length in front. Throws PjrtError (kInvalidArgument) for more than kLargestFrame.
  std::string finish();
  // The bytes of a frame that ends with the text `value`, without those of the text itself.
  std::string finish_before(std::string_view value);

 private:
  std::string with_length(size_t more);
  std::string bytes_;
};

// Reads the fields of a frame. Throws PjrtError (kDataLoss) past the end.
class FrameReader {
 public:
  // A whole frame without its length; it must stay while its fields are read.
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

// Received bytes, cut into frames.
class FrameBuffer {
 public:
  void append(const char* bytes, size_t count) { bytes_.append(bytes, count); }
  // Whether next() would give a frame. Throws PjrtError (kDataLoss) for a length below a frame's or above `largest`.
  bool has_frame(size_t largest) const;
  // The first frame without its length, good until the next append() or forget_read(); nothing while it is not all
  // there. Throws as has_frame() does.
  std::optional<std::string_view> next(size_t largest);
  // Gives back the memory of the frames that next() gave.
  void forget_read();
  // Bytes kept.
  size_t size() const { return bytes_.size(); }

 private:
  std::string_view rest() const { return std::string_view(bytes_).substr(begin_); }
  std::string bytes_;
  size_t begin_ = 0;  // what came before is read
};

}  // namespace fathom
