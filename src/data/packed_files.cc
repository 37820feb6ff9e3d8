#include "data/packed_files.h"

#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/remote_path.h"
#include "base/waiting.h"
#include "checkpoint/byte_stream.h"
#include "data/part_cache.h"

namespace fathom {

namespace {

constexpr size_t kBlock = size_t{256} << 10;  // unpacked
constexpr int kLevel = 1;
constexpr int64_t kAlwaysAllowed = int64_t{256} << 20;  // bytes, of whatever

[[noreturn]] void fail_temporary(const std::string& folder, const char* what, int reason) {
  throw RuntimeFault(
      fmt::format("{}: cannot {} a temporary file, in which packed data are kept: {}; TMPDIR names "
                  "another folder",
                  folder, what, std::strerror(reason)));
}

struct FreePacker {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct FreeUnpacker {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// A decoder asks for little at a time, and of a bucket every read is a request.
class LargeReads final : public FileReader {
 public:
  LargeReads(std::shared_ptr<const FileReader> from, int64_t size) : from_(std::move(from)), size_(size) {}
  void read(int64_t offset, std::span<std::byte> out) const override { cache_.read(0, *from_, size_, offset, out); }
  int64_t size() const override { return size_; }

 private:
  std::shared_ptr<const FileReader> from_;
  int64_t size_;
  mutable PartCache cache_{0};
};

ByteStreamPtr unpacked_stream(Packing packing, const StoredBytes& stored) {
  switch (packing) {
    case Packing::kGzip:
      return gzip_stream(stored_stream(stored), stored);
    case Packing::kZstd:
      return zstd_stream(stored_stream(stored), stored);
    case Packing::kNone:
      break;
  }
  return stored_stream(stored);
}

}  // namespace

Packing packing_of(std::string_view name) {
  if (name.ends_with(".gz")) return Packing::kGzip;
  if (name.ends_with(".zst")) return Packing::kZstd;
  return Packing::kNone;
}

std::string_view unpacked_name(std::string_view name) {
  return packing_of(name) == Packing::kNone ? name : name.substr(0, name.rfind('.'));
}

// The blocks of all files, in one file without a name.
class PackedFiles::Blocks {
 public:
  Blocks() : packer_(ZSTD_createCCtx()), unpacker_(ZSTD_createDCtx()) {
    if (packer_ == nullptr || unpacker_ == nullptr) throw std::bad_alloc();
    std::error_code fault;
    folder_ = std::filesystem::temp_directory_path(fault).string();
    if (fault) fail_temporary("TMPDIR", "make", fault.value());
    std::string name = folder_ + "/fathom-data-XXXXXX";
    file_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (file_ < 0) fail_temporary(folder_, "make", errno);
    ::unlink(name.c_str());
  }
  ~Blocks() { ::close(file_); }
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;

  size_t count() const { return places_.size(); }

  void add(std::span<const std::byte> bytes) {
    packed_.resize(ZSTD_compressBound(bytes.size()));
    const size_t size =
        ZSTD_compressCCtx(packer_.get(), packed_.data(), packed_.size(), bytes.data(), bytes.size(), kLevel);
    if (ZSTD_isError(size) != 0) throw std::logic_error(ZSTD_getErrorName(size));
    for (size_t done = 0; done < size;) {
      const ssize_t n = ::pwrite(file_, packed_.data() + done, size - done, static_cast<off_t>(end_ + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail_temporary(folder_, "write", n == 0 ? ENOSPC : errno);
      done += static_cast<size_t>(n);
    }
    places_.push_back(
        {.begin = end_, .packed = static_cast<uint32_t>(size), .bytes = static_cast<uint32_t>(bytes.size())});
    end_ += size;
  }

  // Valid until the next call.
  std::span<const std::byte> block(size_t i) {
    if (held_ == i) return unpacked_;
    const Place& place = places_[i];
    held_ = kNothing;
    packed_.resize(place.packed);
    for (size_t done = 0; done < place.packed;) {
      const ssize_t n =
          ::pread(file_, packed_.data() + done, place.packed - done, static_cast<off_t>(place.begin + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail_temporary(folder_, "read", n == 0 ? EIO : errno);
      done += static_cast<size_t>(n);
    }
    unpacked_.resize(place.bytes);
    const size_t size =
        ZSTD_decompressDCtx(unpacker_.get(), unpacked_.data(), unpacked_.size(), packed_.data(), packed_.size());
    if (size != place.bytes) fail_temporary(folder_, "read", EIO);
    held_ = i;
    return unpacked_;
  }

 private:
  static constexpr size_t kNothing = ~size_t{0};
  struct Place {
    uint64_t begin;
    uint32_t packed;
    uint32_t bytes;
  };

  std::unique_ptr<ZSTD_CCtx, FreePacker> packer_;
  std::unique_ptr<ZSTD_DCtx, FreeUnpacker> unpacker_;
  std::string folder_;
  int file_ = -1;
  uint64_t end_ = 0;
  std::vector<Place> places_;
  std::vector<std::byte> packed_;
  std::vector<std::byte> unpacked_;
  size_t held_ = kNothing;
};

// One file: blocks of equal size but for the last.
class PackedFiles::Reader final : public FileReader {
 public:
  Reader(std::shared_ptr<Blocks> blocks, std::string path, size_t first, int64_t size)
      : blocks_(std::move(blocks)), path_(std::move(path)), first_(first), size_(size) {}

  int64_t size() const override { return size_; }
  void read(int64_t offset, std::span<std::byte> out) const override {
    if (offset < 0 || offset + static_cast<int64_t>(out.size()) > size_) {
      throw FormatError(path_, offset, "the unpacked file ends here");
    }
    auto at = static_cast<size_t>(offset);
    while (!out.empty()) {
      const std::span<const std::byte> rest = blocks_->block(first_ + at / kBlock).subspan(at % kBlock);
      const size_t count = std::min(rest.size(), out.size());
      std::copy_n(rest.begin(), count, out.begin());
      out = out.subspan(count);
      at += count;
    }
  }

 private:
  std::shared_ptr<Blocks> blocks_;
  std::string path_;
  size_t first_;
  int64_t size_;
};

PackedFiles::PackedFiles() = default;
PackedFiles::~PackedFiles() = default;

int64_t PackedFiles::add(const std::string& path, std::unique_ptr<const FileReader>& reader) {
  if (blocks_ == nullptr) blocks_ = std::make_shared<Blocks>();
  const Waiting waiting((packing_of(path) == Packing::kNone ? "reading " : "unpacking ") + path);
  const FileStore& store = file_store(path);
  const int64_t packed_size = store.size(path);
  std::shared_ptr<const FileReader> file = store.open(path);
  if (is_remote(path)) file = std::make_shared<LargeReads>(std::move(file), packed_size);
  const StoredBytes stored{.path = path, .size = packed_size, .file = std::move(file)};
  const ByteStreamPtr stream = unpacked_stream(packing_of(path), stored);
  const size_t first = blocks_->count();
  std::vector<std::byte> block(kBlock);
  int64_t size = 0;
  size_t count = block.size();
  while (count == block.size()) {
    count = stream->read(block);
    if (count > 0) blocks_->add(std::span(block).first(count));
    size += static_cast<int64_t>(count);
    if (size > kAlwaysAllowed && size / kMostTimes > stored.size) {
      throw FormatError(path, fmt::format("its {} bytes unpack to more than {} times as many: that is no text; unpack "
                                          "it yourself if it is meant",
                                          stored.size, kMostTimes));
    }
  }
  reader = std::make_unique<Reader>(blocks_, path, first, size);
  return size;
}

}  // namespace fathom
