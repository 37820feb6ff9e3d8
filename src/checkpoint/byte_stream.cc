#include "checkpoint/byte_stream.h"

#include <zlib.h>
#include <zstd.h>

#include <cstring>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"

namespace fathom {
namespace {

// Stored bytes that a decoder takes at once.
constexpr int64_t kInputBytes = int64_t{128} << 10;

class StoredStream final : public ByteStream {
 public:
  explicit StoredStream(const StoredBytes& bytes) : bytes_(bytes) {}

  size_t read(std::span<std::byte> out) override {
    const int64_t count = std::min(static_cast<int64_t>(out.size()), bytes_.size - at_);
    bytes_.read(at_, out.first(static_cast<size_t>(count)));
    at_ += count;
    return static_cast<size_t>(count);
  }

 private:
  StoredBytes bytes_;
  int64_t at_ = 0;
};

// What the decoders share: the input, a buffer of it at a time.
class Decoder : public ByteStream {
 protected:
  Decoder(ByteStreamPtr from, const StoredBytes& where)
      : from_(std::move(from)),
        where_(where),
        buffer_size_(static_cast<size_t>(std::clamp<int64_t>(where.size, 64, kInputBytes))),
        buffer_(std::make_unique_for_overwrite<std::byte[]>(buffer_size_)) {}

  // The next bytes of the input; none: its end.
  std::span<const std::byte> next() {
    if (ended_) return {};
    const size_t count = from_->read({buffer_.get(), buffer_size_});
    ended_ = count < buffer_size_;
    return {buffer_.get(), count};
  }
  bool ended() const { return ended_; }
  [[noreturn]] void fail(std::string_view what) const { throw FormatError(where_.path, where_.offset, what); }

 private:
  ByteStreamPtr from_;
  StoredBytes where_;
  size_t buffer_size_;
  std::unique_ptr<std::byte[]> buffer_;
  bool ended_ = false;
};

struct FreeContext {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};
using ZstdContext = std::unique_ptr<ZSTD_DCtx, FreeContext>;

// A thread decodes many small chunks, and making a context takes longer than one of them.
ZstdContext& spare_context() {
  thread_local ZstdContext context;
  return context;
}

class ZstdStream final : public Decoder {
 public:
  ZstdStream(ByteStreamPtr from, const StoredBytes& where)
      : Decoder(std::move(from), where), context_(std::move(spare_context())) {
    if (context_ == nullptr) context_.reset(ZSTD_createDCtx());
    if (context_ == nullptr) throw std::bad_alloc();
    ZSTD_DCtx_reset(context_.get(), ZSTD_reset_session_only);
  }
  ~ZstdStream() override { spare_context() = std::move(context_); }
  ZstdStream(const ZstdStream&) = delete;
  ZstdStream& operator=(const ZstdStream&) = delete;

  size_t read(std::span<std::byte> out) override {
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    while (to.pos < to.size) {
      if (in_.pos == in_.size) {
        if (ended() && !open_) break;
        std::span<const std::byte> bytes = next();
        in_ = {bytes.data(), bytes.size(), 0};
        if (bytes.empty() && !open_) break;
      }
      const size_t before = to.pos + in_.pos;
      const size_t left = ZSTD_decompressStream(context_.get(), &to, &in_);
      if (ZSTD_isError(left) != 0) fail(fmt::format("zstd: {}", ZSTD_getErrorName(left)));
      open_ = left != 0;
      if (open_ && to.pos + in_.pos == before && ended()) fail("zstd: the data is cut short");
    }
    return to.pos;
  }

 private:
  ZstdContext context_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool open_ = true;  // inside a frame, or before the first
};

class InflateStream final : public Decoder {
 public:
  // zlib's number for a kind of header, beside the largest window.
  static constexpr int kGzip = 15 + 16, kZlib = 15;

  InflateStream(ByteStreamPtr from, const StoredBytes& where, int kind) : Decoder(std::move(from), where) {
    if (inflateInit2(&state_, kind) != Z_OK) throw std::bad_alloc();
  }
  ~InflateStream() override { inflateEnd(&state_); }
  InflateStream(const InflateStream&) = delete;
  InflateStream& operator=(const InflateStream&) = delete;

  size_t read(std::span<std::byte> out) override {
    size_t done = 0;
    while (done < out.size()) {
      if (state_.avail_in == 0) refill();
      const bool is_last = state_.avail_in == 0;
      if (!open_) {  // another member may follow
        if (is_last) break;
        inflateReset(&state_);
        open_ = true;
      }
      const auto room = static_cast<uInt>(std::min<size_t>(out.size() - done, 1U << 30));
      state_.next_out = reinterpret_cast<Bytef*>(out.data() + done);
      state_.avail_out = room;
      const int status = inflate(&state_, Z_NO_FLUSH);
      done += room - state_.avail_out;
      if (status == Z_STREAM_END) {
        open_ = false;
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        fail(fmt::format("zlib: {}", state_.msg == nullptr ? "bad data" : state_.msg));
      } else if (is_last && state_.avail_out == room) {
        fail("zlib: the data is cut short");
      }
    }
    return done;
  }

 private:
  void refill() {
    std::span<const std::byte> bytes = next();
    // zlib's interface takes no const; it only reads.
    state_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
    state_.avail_in = static_cast<uInt>(bytes.size());
  }

  z_stream state_{};
  bool open_ = true;  // inside a member, or before the first
};

class Crc32cStream final : public ByteStream {
 public:
  Crc32cStream(ByteStreamPtr from, const StoredBytes& where) : from_(std::move(from)), where_(where) {}

  size_t read(std::span<std::byte> out) override {
    if (out.empty()) return 0;
    if (!begun_ && from_->read(held_) < held_.size()) fail("too short for its checksum");
    begun_ = true;
    const size_t count = from_->read(out);
    if (count < out.size() && !checked_) {
      shift(out.first(count));
      checked_ = true;
      const uint64_t stored = little_endian({reinterpret_cast<const char*>(held_.data()), held_.size()});
      if (stored != crc_) fail("its bytes do not have its checksum (crc32c)");
    } else {
      shift(out.first(count));
    }
    return count;
  }

 private:
  // `bytes` follow the four that are held: gives out the first of all of them, and holds the last four.
  void shift(std::span<std::byte> bytes) {
    std::array<std::byte, kBytes> last{};
    if (bytes.size() >= kBytes) {
      std::memcpy(last.data(), bytes.data() + bytes.size() - kBytes, kBytes);
      std::memmove(bytes.data() + kBytes, bytes.data(), bytes.size() - kBytes);
      std::memcpy(bytes.data(), held_.data(), kBytes);
    } else {
      std::array<std::byte, 2 * kBytes> all{};
      std::ranges::copy(bytes, std::ranges::copy(held_, all.begin()).out);
      std::copy_n(all.begin(), bytes.size(), bytes.begin());
      std::copy_n(all.begin() + static_cast<ptrdiff_t>(bytes.size()), kBytes, last.begin());
    }
    held_ = last;
    crc_ = crc32c({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, crc_);
  }
  [[noreturn]] void fail(std::string_view what) const { throw FormatError(where_.path, where_.offset, what); }

  static constexpr size_t kBytes = 4;
  ByteStreamPtr from_;
  StoredBytes where_;
  std::array<std::byte, kBytes> held_{};
  uint32_t crc_ = 0;
  bool begun_ = false, checked_ = false;
};

}  // namespace

ByteStreamPtr stored_stream(const StoredBytes& bytes) { return std::make_unique<StoredStream>(bytes); }
ByteStreamPtr zstd_stream(ByteStreamPtr from, const StoredBytes& where) {
  return std::make_unique<ZstdStream>(std::move(from), where);
}
ByteStreamPtr gzip_stream(ByteStreamPtr from, const StoredBytes& where) {
  return std::make_unique<InflateStream>(std::move(from), where, InflateStream::kGzip);
}
ByteStreamPtr zlib_stream(ByteStreamPtr from, const StoredBytes& where) {
  return std::make_unique<InflateStream>(std::move(from), where, InflateStream::kZlib);
}
ByteStreamPtr crc32c_stream(ByteStreamPtr from, const StoredBytes& where) {
  return std::make_unique<Crc32cStream>(std::move(from), where);
}

std::string read_all(ByteStream& stream, const StoredBytes& where, int64_t limit) {
  constexpr size_t kStep = size_t{64} << 10;
  std::string out;
  while (true) {
    const size_t begin = out.size();
    // One byte more than may come shows that it is too many.
    out.resize(begin + std::min({std::max(begin, kStep), static_cast<size_t>(limit) + 1 - begin}));
    const size_t count = stream.read(std::as_writable_bytes(std::span(out).subspan(begin)));
    const bool ended = begin + count < out.size();
    out.resize(begin + count);
    if (out.size() > static_cast<size_t>(limit)) {
      throw FormatError(where.path, where.offset, fmt::format("it decodes to more than {} bytes", limit));
    }
    if (ended) return out;
  }
}

}  // namespace fathom
