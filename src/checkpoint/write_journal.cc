#include "checkpoint/write_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"
#include "base/write_all.h"

namespace fathom {
namespace {

constexpr std::string_view kFirst = "fathom", kBoot = "boot", kChunk = "chunk", kInline = "inline", kDisk = "disk";

// Names this start of this machine.
std::string boot_id() {
  try {
    std::string id = read_file("/proc/sys/kernel/random/boot_id");
    return id.substr(0, id.find('\n'));
  } catch (const FormatError&) {
    return fresh_file_name();  // no two attempts are of one start
  }
}

std::string with_checksum(std::string_view line) { return fmt::format("{} {:08x}\n", line, crc32c(line)); }

std::string hex_of(std::string_view bytes) {
  std::string out;
  for (char byte : bytes) out += fmt::format("{:02x}", static_cast<uint8_t>(byte));
  return out;
}

template <class T>
T number(std::string_view text, int base = 10) {
  T value{};
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

std::string bytes_of(std::string_view hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(static_cast<char>(number<uint8_t>(hex.substr(i, 2), 16)));
  return out;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const size_t space = line.find(' ');
    words.push_back(line.substr(0, space));
    if (space == std::string_view::npos) return words;
    line.remove_prefix(space + 1);
  }
}

// The line at the beginning of `text`, without its checksum; nothing when it is not whole.
std::optional<std::string_view> whole_line(std::string_view text) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const size_t space = text.rfind(' ', end);
  if (space == std::string_view::npos) return std::nullopt;
  std::string_view line = text.substr(0, space);
  if (with_checksum(line) != text.substr(0, end + 1)) return std::nullopt;
  return line;
}

std::string line_of(const ChunkId& chunk, const ChunkPlace& place) {
  return place.file.empty() ? fmt::format("{} {} {} {}", kInline, chunk.first, chunk.second, hex_of(place.bytes))
                            : fmt::format("{} {} {} {} {} {}", kChunk, chunk.first, chunk.second, place.file,
                                          place.offset, place.length);
}

// Hands each line of `text` on, without its checksum; returns where the first that is not whole begins.
size_t each_line(std::string_view text, const std::function<void(std::string_view)>& take) {
  size_t good = 0;
  while (const std::optional<std::string_view> line = whole_line(text.substr(good))) {
    take(*line);
    good += line->size() + with_checksum("").size();
  }
  return good;
}

// What the lines say, one after the other.
struct JournalReader {
  struct Entry {
    ChunkId chunk;
    ChunkPlace place;
    bool counts = true;
  };
  std::vector<Entry> entries;
  std::string boot;
  size_t on_disk = 0;

  void take(std::string_view line) {
    const std::vector<std::string_view> words = words_of(line);
    const std::string_view kind = words[0];
    if (kind == kBoot && words.size() == 2) return begin(words[1]);
    if (kind == kDisk && words.size() == 2) {
      on_disk = std::max(on_disk, std::min(entries.size(), number<size_t>(words[1])));
    } else if (kind == kChunk && words.size() == 6) {
      entries.push_back({.chunk = {number<size_t>(words[1]), number<int64_t>(words[2])},
                         .place = {.file = std::string(words[3]),
                                   .offset = number<int64_t>(words[4]),
                                   .length = number<int64_t>(words[5])}});
    } else if (kind == kInline && words.size() == 4) {
      std::string bytes = bytes_of(words[3]);
      const auto length = static_cast<int64_t>(bytes.size());
      entries.push_back({.chunk = {number<size_t>(words[1]), number<int64_t>(words[2])},
                         .place = {.length = length, .bytes = std::move(bytes)}});
    }
  }

  // After another start of the machine, what was not on the disk may be lost.
  void begin(std::string_view id) {
    if (boot == id) return;
    for (size_t i = on_disk; i < entries.size(); ++i) entries[i].counts = false;
    boot = id;
  }
};

}  // namespace

WriteJournal::WriteJournal(std::string path, std::string_view plan) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0666);
  if (descriptor_ < 0) fail();
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    ::close(descriptor_);
    throw ConfigError(path_ + ": another process writes there; wait for it, or name another folder");
  }
  try {
    read(plan);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

WriteJournal::~WriteJournal() { ::close(descriptor_); }

void WriteJournal::fail() const { throw RuntimeFault(path_ + ": cannot write: " + std::strerror(errno)); }

void WriteJournal::read(std::string_view plan) {
  const std::string text = read_file(path_);
  const std::string first = fmt::format("{} {}", kFirst, plan);
  const std::string boot = boot_id();
  JournalReader reader;
  size_t good = 0;
  if (whole_line(text) == first) {
    good = each_line(text, [&](std::string_view line) { reader.take(line); });
  } else {
    emptied_ = !text.empty();
  }
  if (::ftruncate(descriptor_, static_cast<off_t>(good)) != 0) fail();
  length_ = static_cast<int64_t>(good);
  if (good == 0) append(first);
  append(fmt::format("{} {}", kBoot, boot));
  reader.begin(boot);
  count_ = static_cast<int64_t>(reader.entries.size());
  for (JournalReader::Entry& entry : reader.entries) {
    if (entry.counts) chunks_.insert_or_assign(entry.chunk, std::move(entry.place));
  }
}

// A line that could not be written whole, on a full disk, would hide those after it.
void WriteJournal::append(std::string_view line) {
  const std::string whole = with_checksum(line);
  if (!write_all(descriptor_, whole)) {
    const int fault = errno;
    [[maybe_unused]] const int cut = ::ftruncate(descriptor_, length_);
    errno = fault;
    fail();
  }
  length_ += static_cast<int64_t>(whole.size());
}

int64_t WriteJournal::add(const ChunkId& chunk, const ChunkPlace& place) {
  const std::string line = line_of(chunk, place);
  std::lock_guard lock(mutex_);
  append(line);
  return ++count_;
}

void WriteJournal::on_disk(int64_t chunks) {
  std::lock_guard lock(mutex_);
  append(fmt::format("{} {}", kDisk, chunks));
  if (::fdatasync(descriptor_) != 0) fail();
}

void WriteJournal::disk_failed() {
  std::lock_guard lock(mutex_);
  append(fmt::format("{} {}", kBoot, fresh_file_name()));
}

std::string journal_line(const ChunkId& chunk, const ChunkPlace& place) { return with_checksum(line_of(chunk, place)); }

void read_journal_lines(std::string_view text, std::map<ChunkId, ChunkPlace>& out) {
  JournalReader reader;
  each_line(text, [&](std::string_view line) { reader.take(line); });
  for (JournalReader::Entry& entry : reader.entries) out.insert_or_assign(entry.chunk, std::move(entry.place));
}

}  // namespace fathom
