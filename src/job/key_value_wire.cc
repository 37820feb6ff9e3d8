#include "job/key_value_wire.h"

#include <fmt/format.h>

#include "base/bytes.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

constexpr size_t kLengthBytes = 4;
// Kind and request.
constexpr size_t kShortestFrame = 9;
// Memory that a buffer keeps for the next frame.
constexpr size_t kKeptCapacity = size_t{1} << 20;

[[noreturn]] void broken_frame(const char* what) {
  throw PjrtError(PjrtCode::kDataLoss, "key-value store",
                  fmt::format("the other side speaks another protocol: {}", what));
}

}  // namespace

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

std::string FrameWriter::with_length(size_t more) {
  size_t size = bytes_.size() - kLengthBytes + more;
  if (size > kLargestFrame) {
    throw PjrtError(PjrtCode::kInvalidArgument, "key-value store", "a value is larger than 64 MiB");
  }
  std::string length;
  append_little_endian(length, size, kLengthBytes);
  return std::move(bytes_.replace(0, kLengthBytes, length));
}

std::string FrameWriter::finish() { return with_length(0); }

std::string FrameWriter::finish_before(std::string_view value) {
  append_little_endian(bytes_, value.size(), 4);
  return with_length(value.size());
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

void FrameBuffer::forget_read() {
  // Less than half of the buffer stays where it is: so each byte is moved once at most.
  if (begin_ == 0 || begin_ < bytes_.size() / 2) return;
  bytes_.erase(0, begin_);
  begin_ = 0;
  if (bytes_.capacity() > kKeptCapacity && bytes_.size() < kKeptCapacity / 2) bytes_.shrink_to_fit();
}

bool FrameBuffer::has_frame(size_t largest) const {
  std::string_view waiting = rest();
  if (waiting.size() < kLengthBytes) return false;
  size_t length = little_endian(waiting.substr(0, kLengthBytes));
  if (length < kShortestFrame || length > largest) broken_frame("a message of impossible length");
  return waiting.size() >= kLengthBytes + length;
}

std::optional<std::string_view> FrameBuffer::next(size_t largest) {
  if (!has_frame(largest)) return std::nullopt;
  size_t length = little_endian(rest().substr(0, kLengthBytes));
  std::string_view frame = rest().substr(kLengthBytes, length);
  begin_ += kLengthBytes + length;
  return frame;
}

}  // namespace fathom
