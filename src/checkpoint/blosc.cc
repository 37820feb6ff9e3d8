// Blosc 1 chunks: a header, then blocks that are compressed alone, their bytes shuffled by place before.
#include <zlib.h>
#include <zstd.h>

#include <cstring>

#include "base/bytes.h"
#include "base/error.h"
#include "checkpoint/byte_stream.h"

namespace fathom {
namespace {

constexpr size_t kHeader = 16;
// Bits of the header's flags.
constexpr unsigned kShuffled = 1, kStored = 2, kBitShuffled = 4, kWhole = 16, kCodecShift = 5;
enum Codec : unsigned { kBloscLz, kLz4, kSnappy, kZlib, kZstd };
// A block is cut into one stream for each byte of an element where elements are small and blocks large enough.
constexpr size_t kMaxStreams = 16, kMinStreamBytes = 128;

size_t number(std::string_view bytes, size_t at, size_t width = 4) { return little_endian(bytes.substr(at, width)); }

// Length that a nibble begins: 15 goes on with bytes, until one is not 255. False when the bytes end.
bool lz4_length(std::string_view from, size_t& at, size_t& length) {
  if (length != 15) return true;
  while (at < from.size()) {
    const auto more = static_cast<uint8_t>(from[at++]);
    length += more;
    if (more != 255) return true;
  }
  return false;
}

// An LZ4 block that fills `out`. False when it does not.
bool decode_lz4(std::string_view from, std::span<char> out) {
  size_t at = 0, done = 0;
  while (at < from.size()) {
    const auto token = static_cast<uint8_t>(from[at++]);
    size_t literals = token >> 4;
    if (!lz4_length(from, at, literals) || literals > from.size() - at || literals > out.size() - done) return false;
    std::memcpy(out.data() + done, from.data() + at, literals);
    at += literals;
    done += literals;
    if (at == from.size()) break;  // the last sequence has no match
    if (from.size() - at < 2) return false;
    const size_t distance = number(from, at, 2);
    at += 2;
    size_t match = token & 15U;
    if (!lz4_length(from, at, match)) return false;
    match += 4;
    if (distance == 0 || distance > done || match > out.size() - done) return false;
    for (size_t i = 0; i < match; ++i, ++done) out[done] = out[done - distance];
  }
  return done == out.size();
}

bool decode(unsigned codec, std::string_view from, std::span<char> out) {
  if (codec == kLz4) return decode_lz4(from, out);
  if (codec == kZstd) return ZSTD_decompress(out.data(), out.size(), from.data(), from.size()) == out.size();
  uLongf size = out.size();
  return ::uncompress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(from.data()),
                      from.size()) == Z_OK &&
         size == out.size();
}

// All first bytes of the elements, then all second ones, ...; what is no whole element stays at the end.
void unshuffle(std::span<const char> from, std::span<char> to, size_t width) {
  const size_t count = from.size() / width;
  for (size_t j = 0; j < width; ++j) {
    for (size_t i = 0; i < count; ++i) to[i * width + j] = from[j * count + i];
  }
  std::memcpy(to.data() + count * width, from.data() + count * width, from.size() - count * width);
}

// The same with bits; only where the number of elements is a multiple of 8.
void unshuffle_bits(std::span<const char> from, std::span<char> to, size_t width) {
  const size_t count = from.size() / width;
  std::memcpy(to.data(), from.data(), from.size());
  if (count % 8 != 0) return;
  std::memset(to.data(), 0, count * width);
  for (size_t row = 0; row < width * 8; ++row) {
    for (size_t i = 0; i < count; ++i) {
      const unsigned bit = static_cast<uint8_t>(from[row * (count / 8) + i / 8]) >> (i % 8) & 1U;
      char& byte = to[i * width + row / 8];
      byte = static_cast<char>(static_cast<uint8_t>(byte) | bit << (row % 8));
    }
  }
}

class BloscStream final : public ByteStream {
 public:
  BloscStream(ByteStreamPtr from, const StoredBytes& where, int64_t limit)
      : from_(std::move(from)), where_(where), limit_(limit) {}

  size_t read(std::span<std::byte> out) override {
    if (bytes_.empty()) read_header();
    size_t done = 0;
    while (done < out.size()) {
      if (taken_ == block_.size()) {
        if (next_ == blocks_) break;
        read_block(next_++);
        taken_ = 0;
      }
      const size_t count = std::min(out.size() - done, block_.size() - taken_);
      std::memcpy(out.data() + done, block_.data() + taken_, count);
      done += count;
      taken_ += count;
    }
    return done;
  }

 private:
  void read_header() {
    // Blosc never makes a chunk more than its header longer than what is in it.
    bytes_ = read_all(*from_, where_, limit_ + static_cast<int64_t>(kHeader));
    if (bytes_.size() < kHeader) fail("too short for its header");
    const auto flags = static_cast<uint8_t>(bytes_[2]);
    flags_ = flags;
    codec_ = flags >> kCodecShift;
    width_ = std::max<size_t>(static_cast<uint8_t>(bytes_[3]), 1);
    size_ = number(bytes_, 4);
    block_size_ = number(bytes_, 8);
    if (number(bytes_, 12) != bytes_.size()) fail(fmt::format("it is {} bytes long and says otherwise", bytes_.size()));
    if (size_ > static_cast<size_t>(limit_)) fail(fmt::format("it decodes to more than {} bytes", limit_));
    if ((flags_ & kStored) != 0 && size_ != bytes_.size() - kHeader) fail("its size is not that of what it holds");
    if (size_ == 0) return;
    if (block_size_ == 0 || block_size_ > size_) fail("the size of its blocks is not one");
    if ((flags_ & kStored) == 0 && codec_ != kLz4 && codec_ != kZlib && codec_ != kZstd) {
      fail(fmt::format("compressor {} is not read, only lz4, zlib and zstd", codec_));
    }
    blocks_ = (size_ + block_size_ - 1) / block_size_;
    if ((flags_ & kStored) == 0 && blocks_ > (bytes_.size() - kHeader) / 4) fail("cut short");
  }

  void read_block(size_t k) {
    const size_t begin = k * block_size_;
    const size_t size = std::min(block_size_, size_ - begin);
    block_.resize(size);
    if ((flags_ & kStored) != 0) {  // as it is, not even shuffled
      std::memcpy(block_.data(), bytes_.data() + kHeader + begin, size);
      return;
    }
    const bool is_shuffled = (flags_ & kShuffled) != 0 && width_ > 1, is_bit_shuffled = (flags_ & kBitShuffled) != 0;
    std::vector<char>& to = is_shuffled || is_bit_shuffled ? shuffled_ : block_;
    to.resize(size);
    decode_streams(number(bytes_, kHeader + 4 * k), to);
    if (is_bit_shuffled) {
      unshuffle_bits(shuffled_, block_, width_);
    } else if (is_shuffled) {
      unshuffle(shuffled_, block_, width_);
    }
  }

  void decode_streams(size_t at, std::span<char> to) const {
    const bool is_split = (flags_ & kWhole) == 0 && width_ <= kMaxStreams && to.size() == block_size_ &&
                          block_size_ / width_ >= kMinStreamBytes;
    const size_t streams = is_split ? width_ : 1, size = to.size() / streams;
    for (size_t i = 0; i < streams; ++i) {
      if (at > bytes_.size() || bytes_.size() - at < 4) fail("a block begins past its end");
      const size_t length = number(bytes_, at);
      at += 4;
      if (length > bytes_.size() - at) fail("a block ends past its end");
      const std::string_view stored = std::string_view(bytes_).substr(at, length);
      const std::span<char> part = to.subspan(i * size, i + 1 == streams ? to.size() - i * size : size);
      if (length == part.size()) {
        std::memcpy(part.data(), stored.data(), length);
      } else if (!decode(codec_, stored, part)) {
        fail("a block cannot be decoded");
      }
      at += length;
    }
  }

  [[noreturn]] void fail(std::string_view what) const {
    throw FormatError(where_.path, where_.offset, fmt::format("blosc: {}", what));
  }

  ByteStreamPtr from_;
  StoredBytes where_;
  int64_t limit_;
  std::string bytes_;
  unsigned flags_ = 0, codec_ = 0;
  size_t width_ = 1, size_ = 0, block_size_ = 0, blocks_ = 0, next_ = 0, taken_ = 0;
  std::vector<char> block_, shuffled_;
};

}  // namespace

ByteStreamPtr blosc_stream(ByteStreamPtr from, const StoredBytes& where, int64_t limit) {
  return std::make_unique<BloscStream>(std::move(from), where, limit);
}

}  // namespace fathom
