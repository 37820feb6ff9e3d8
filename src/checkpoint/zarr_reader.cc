#include "checkpoint/zarr_reader.h"

#include <cstring>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/listed.h"
#include "base/parallel_for.h"
#include "base/scratch.h"
#include "checkpoint/byte_stream.h"
#include "checkpoint/read_sizes.h"

namespace fathom {
namespace {

// Bytes of what is converted at once.
constexpr int64_t kPieceBytes = kLocalReads.read;
// Inner chunks of shards that are looked up before any is read: their places are held.
constexpr size_t kPlannedChunks = size_t{1} << 16;
constexpr uint64_t kAbsent = UINT64_MAX;  // in an index
constexpr size_t kListed = 4;

// A chunk (an inner one, where there are shards) that holds wanted elements.
struct Chunk {
  ArraySlice box;  // of the array
  std::optional<StoredBytes> bytes;
  std::string name;  // for messages
};

// A part of a chunk for one thread.
struct Task {
  const Chunk* chunk = nullptr;
  int64_t begin = 0, end = 0;  // elements of the stored chunk
};

// The place of number `index` in a grid, row-major.
std::vector<int64_t> place_in(std::span<const int64_t> grid, int64_t index) {
  std::vector<int64_t> out(grid.size());
  for (size_t i = grid.size(); i-- > 0;) {
    out[i] = index % grid[i];
    index /= grid[i];
  }
  return out;
}

// Box number `place` of a grid of boxes of `size` that begins at `origin`, cut at the end of the array.
ArraySlice box_at(const std::vector<int64_t>& origin, std::span<const int64_t> place, const std::vector<int64_t>& size,
                  const std::vector<int64_t>& array) {
  ArraySlice out;
  for (size_t i = 0; i < size.size(); ++i) {
    const int64_t start = origin[i] + place[i] * size[i];
    out.start.push_back(start);
    out.sizes.push_back(std::clamp<int64_t>(array[i] - start, 0, size[i]));
  }
  return out;
}

// Numbers of the boxes (of `size`, in a grid that begins at `origin`) that meet one of the wanted ones; sorted.
std::vector<int64_t> boxes_met(const std::vector<int64_t>& origin, std::span<const int64_t> grid,
                               const std::vector<int64_t>& size, std::span<const ArraySlice> wanted) {
  std::vector<int64_t> out;
  ArraySlice all{origin, {}};
  for (size_t i = 0; i < grid.size(); ++i) all.sizes.push_back(grid[i] * size[i]);
  for (const ArraySlice& box : wanted) {
    const std::optional<ArraySlice> part = intersection(box, all);
    if (!part) continue;
    std::vector<int64_t> from, counts;
    for (size_t i = 0; i < grid.size(); ++i) {
      from.push_back((part->start[i] - origin[i]) / size[i]);
      counts.push_back((part->start[i] + part->sizes[i] - 1 - origin[i]) / size[i] - from[i] + 1);
    }
    const int64_t count = element_count(counts);
    for (int64_t k = 0; k < count; ++k) {
      const std::vector<int64_t> place = place_in(counts, k);
      int64_t number = 0;
      for (size_t i = 0; i < grid.size(); ++i) number = number * grid[i] + from[i] + place[i];
      out.push_back(number);
    }
  }
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

// Memory for pieces of one thread.
std::byte* thread_buffer(int64_t bytes) {
  thread_local Scratch buffer;
  return buffer.of(static_cast<size_t>(bytes));
}

void swap_bytes(std::byte* data, int64_t count, int64_t width) {
  for (int64_t i = 0; i < count; ++i) std::reverse(data + i * width, data + (i + 1) * width);
}

// Reads the chunks of one array.
class Reading {
 public:
  Reading(const ZarrSource& source, std::span<const ArraySlice> wanted, const VisitPiece& visit)
      : source_(source),
        array_(*source.array),
        wanted_(wanted),
        visit_(visit),
        width_(byte_size(array_.dtype)),
        elements_(element_count(array_.stored_chunk())) {}

  void run() {
    const std::vector<int64_t> origin(array_.sizes.size(), 0), grid = array_.grid();
    const std::vector<int64_t> numbers = boxes_met(origin, grid, array_.chunk, wanted_);
    for (size_t i = 0; i < numbers.size();) {
      std::vector<Chunk> outer = look_up(std::span(numbers).subspan(i, std::min(batch(), numbers.size() - i)));
      i += outer.size();
      read_chunks(array_.shards ? inner_chunks(outer) : outer);
    }
  }

 private:
  [[noreturn]] void fail(const StoredBytes& at, const std::string& chunk, std::string_view what) const {
    throw FormatError(at.path, at.offset, fmt::format("array '{}', chunk {}: {}", source_.name, chunk, what));
  }

  // Outer chunks that are looked up at once.
  size_t batch() const {
    if (!array_.shards) return kPlannedChunks;
    const auto inner = static_cast<size_t>(element_count(inner_grid()));
    return std::max<size_t>(kPlannedChunks / std::max<size_t>(inner, 1), 1);
  }
  std::vector<int64_t> inner_grid() const {
    std::vector<int64_t> out;
    for (size_t i = 0; i < array_.chunk.size(); ++i) out.push_back(array_.chunk[i] / array_.shards->inner[i]);
    return out;
  }

  std::vector<Chunk> look_up(std::span<const int64_t> numbers) const {
    const std::vector<int64_t> origin(array_.sizes.size(), 0), grid = array_.grid();
    std::vector<Chunk> out(numbers.size());
    auto one = [&](int64_t i) {
      Chunk& chunk = out[static_cast<size_t>(i)];
      const std::vector<int64_t> place = place_in(grid, numbers[static_cast<size_t>(i)]);
      chunk.box = box_at(origin, place, array_.chunk, array_.sizes);
      chunk.name = array_.chunk_key(place);
      chunk.bytes = source_.keys->find(source_.name + "/" + chunk.name);
      if (!chunk.bytes) check_absent(chunk.name);
    };
    if (is_remote(source_.folder)) {  // each is a request
      parallel_for(static_cast<int64_t>(out.size()), one);
    } else {
      for (size_t i = 0; i < out.size(); ++i) one(static_cast<int64_t>(i));
    }
    return out;
  }

  void check_absent(const std::string& chunk) const {
    const StoredBytes at{.path = source_.folder};
    if (!source_.may_be_absent) {
      throw FormatError(at.path,
                        fmt::format("array '{}', chunk {} is missing: its writer stored every chunk, so part of "
                                    "the checkpoint is lost",
                                    source_.name, chunk));
    }
    if (array_.fill.empty()) {
      throw FormatError(at.path, fmt::format("array '{}', chunk {} is not stored, and its fill value is of a spelling "
                                             "that is not read",
                                             source_.name, chunk));
    }
  }

  // The wanted inner chunks of all these.
  std::vector<Chunk> inner_chunks(const std::vector<Chunk>& outer) const {
    std::vector<std::vector<Chunk>> each(outer.size());
    parallel_for(static_cast<int64_t>(outer.size()),
                 [&](int64_t i) { each[static_cast<size_t>(i)] = inner_of(outer[static_cast<size_t>(i)]); });
    std::vector<Chunk> out;
    for (std::vector<Chunk>& chunks : each) std::ranges::move(chunks, std::back_inserter(out));
    return out;
  }

  std::vector<Chunk> inner_of(const Chunk& shard) const {
    const std::vector<int64_t> grid = inner_grid();
    const std::vector<int64_t> numbers = boxes_met(shard.box.start, grid, array_.shards->inner, wanted_);
    if (!shard.bytes) return {shard};
    const std::string index = read_index(shard, static_cast<size_t>(element_count(grid)));
    std::vector<Chunk> out;
    for (int64_t number : numbers) {
      const std::vector<int64_t> place = place_in(grid, number);
      Chunk chunk{.box = box_at(shard.box.start, place, array_.shards->inner, array_.sizes)};
      if (std::ranges::count(chunk.box.sizes, 0) > 0) continue;  // behind the array's end
      chunk.name = fmt::format("{} (inner {})", shard.name, fmt::join(place, "/"));
      const auto at = static_cast<size_t>(number) * 16;
      const uint64_t offset = index_number(index, at), size = index_number(index, at + 8);
      if (offset == kAbsent && size == kAbsent) {
        check_absent(chunk.name);
      } else {
        const auto all = static_cast<uint64_t>(shard.bytes->size);
        if (offset > all || size > all - offset) {
          fail(*shard.bytes, chunk.name,
               fmt::format("the index gives it {} bytes from byte {} on of a shard of {}", size, offset, all));
        }
        chunk.bytes = shard.bytes->part(static_cast<int64_t>(offset), static_cast<int64_t>(size));
      }
      out.push_back(std::move(chunk));
    }
    return out;
  }

  uint64_t index_number(std::string_view index, size_t at) const {
    std::string bytes(index.substr(at, 8));
    if (array_.shards->is_index_big_endian) std::ranges::reverse(bytes);
    return little_endian(bytes);
  }

  // Offset and size of each inner chunk.
  std::string read_index(const Chunk& shard, size_t count) const {
    const ZarrShards& shards = *array_.shards;
    const int64_t checksum = shards.has_index_checksum ? 4 : 0;
    const int64_t size = static_cast<int64_t>(count) * 16 + checksum;
    if (size > shard.bytes->size) {
      fail(*shard.bytes, shard.name, fmt::format("{} bytes are too few for its index of {}", shard.bytes->size, size));
    }
    const StoredBytes place = shard.bytes->part(shards.is_index_at_end ? shard.bytes->size - size : 0, size);
    std::string index = place.text(size);
    const std::string_view numbers = std::string_view(index).substr(0, count * 16);
    if (checksum != 0 && little_endian(std::string_view(index).substr(numbers.size())) != crc32c(numbers)) {
      fail(place, shard.name, "its index does not have its checksum (crc32c)");
    }
    return index;
  }

  // ---- Elements ----

  void read_chunks(const std::vector<Chunk>& chunks) const {
    std::vector<Task> tasks;
    const int64_t step = task_bytes() / width_;
    for (const Chunk& chunk : chunks) {
      if (!is_coded() && chunk.bytes) {
        if (chunk.bytes->size != elements_ * width_) {
          fail(*chunk.bytes, chunk.name,
               fmt::format("it is {} bytes long, not the {} of its elements", chunk.bytes->size, elements_ * width_));
        }
        for (int64_t at = 0; at < elements_; at += step) tasks.push_back({&chunk, at, std::min(at + step, elements_)});
      } else {
        tasks.push_back({&chunk, 0, elements_});
      }
    }
    parallel_for(static_cast<int64_t>(tasks.size()), [&](int64_t i) {
      const Task& task = tasks[static_cast<size_t>(i)];
      if (!task.chunk->bytes) {
        fill_chunk(*task.chunk);
      } else if (!is_coded()) {
        read_plain(task);
      } else if (array_.codecs.order.empty()) {
        read_coded(*task.chunk);
      } else {
        read_transposed(*task.chunk);
      }
    });
  }

  int64_t task_bytes() const { return read_sizes(source_.folder).task; }
  bool is_coded() const { return !array_.codecs.bytes.empty() || !array_.codecs.order.empty(); }
  // Where the wanted elements lie in the stored chunk, as runs.
  std::vector<SliceRuns> wanted_runs(const Chunk& chunk) const {
    std::vector<SliceRuns> out;
    for (const ArraySlice& box : wanted_) {
      std::optional<ArraySlice> part = intersection(box, chunk.box);
      if (!part) continue;
      for (size_t i = 0; i < part->start.size(); ++i) part->start[i] -= chunk.box.start[i];
      out.emplace_back(array_.stored_chunk(), *part);
    }
    return out;
  }

  void fill_chunk(const Chunk& chunk) const {
    const int64_t count = chunk.box.elements(), step = kPieceBytes / width_;
    std::byte* data = thread_buffer(kPieceBytes);
    for (int64_t i = 0; i < std::min(count, step); ++i) {
      std::memcpy(data + i * width_, array_.fill.data(), static_cast<size_t>(width_));
    }
    for (int64_t at = 0; at < count; at += step) {
      visit_({.box = &chunk.box, .first = at, .count = std::min(step, count - at), .data = data});
    }
  }

  // Elements [begin, end) of the stored chunk: visits those inside the array. `data` is written over.
  void deliver(const Chunk& chunk, int64_t begin, int64_t end, std::byte* data) const {
    const std::vector<int64_t>& whole = array_.stored_chunk();
    if (array_.codecs.is_big_endian && width_ > 1) swap_bytes(data, end - begin, width_);
    if (chunk.box.sizes == whole) {
      visit_({.box = &chunk.box, .first = begin, .count = end - begin, .data = data});
      return;
    }
    // The chunk stands over the array's end: its rows move together.
    const ArraySlice inside{std::vector<int64_t>(whole.size(), 0), chunk.box.sizes};
    int64_t first = -1, count = 0;
    for_each_run(SliceRuns(whole, inside), begin, end, [&](int64_t from, int64_t to, int64_t length) {
      if (first < 0) first = to;
      std::memmove(data + count * width_, data + (from - begin) * width_, static_cast<size_t>(length * width_));
      count += length;
    });
    if (count > 0) visit_({.box = &chunk.box, .first = first, .count = count, .data = data});
  }

  void read_plain(const Task& task) const {
    const ReadSizes& reads = read_sizes(source_.folder);
    const int64_t gap = reads.gap / width_;
    const int64_t step = reads.read / width_;
    const std::vector<SliceRuns> runs = wanted_runs(*task.chunk);
    std::vector<std::pair<int64_t, int64_t>> parts;
    for (int64_t begin = task.begin; begin < task.end; begin += step) {
      const int64_t end = std::min(begin + step, task.end);
      parts.clear();
      for (const SliceRuns& r : runs) {
        for_each_run(r, begin, end, [&](int64_t at, int64_t, int64_t count) { parts.emplace_back(at, at + count); });
      }
      if (runs.size() > 1) std::ranges::sort(parts);
      for (size_t i = 0; i < parts.size();) {
        const int64_t from = parts[i].first;
        int64_t to = parts[i].second;
        for (++i; i < parts.size() && parts[i].first - to <= gap; ++i) to = std::max(to, parts[i].second);
        std::byte* data = thread_buffer((to - from) * width_);
        task.chunk->bytes->read(from * width_, {data, static_cast<size_t>((to - from) * width_)});
        deliver(*task.chunk, from, to, data);
      }
    }
  }

  ByteStreamPtr decoded(const Chunk& chunk) const {
    const StoredBytes& where = *chunk.bytes;
    ByteStreamPtr stream = stored_stream(where);
    for (size_t i = array_.codecs.bytes.size(); i-- > 0;) {
      switch (array_.codecs.bytes[i]) {
        case ZarrCodec::kZstd:
          stream = zstd_stream(std::move(stream), where);
          break;
        case ZarrCodec::kGzip:
          stream = gzip_stream(std::move(stream), where);
          break;
        case ZarrCodec::kZlib:
          stream = zlib_stream(std::move(stream), where);
          break;
        case ZarrCodec::kBlosc:
          // Coded again before, the bytes may have become a little more.
          stream =
              blosc_stream(std::move(stream), where, elements_ * width_ + (i > 0 ? elements_ * width_ / 8 + 4096 : 0));
          break;
        case ZarrCodec::kCrc32c:
          stream = crc32c_stream(std::move(stream), where);
          break;
      }
    }
    return stream;
  }

  // Decoders name file and place; array and chunk are known here.
  size_t next(ByteStream& stream, const Chunk& chunk, std::span<std::byte> out) const {
    try {
      return stream.read(out);
    } catch (const FormatError& e) {
      const std::string before =
          e.offset() >= 0 ? fmt::format("{}: at byte {}: ", e.path(), e.offset()) : e.path() + ": ";
      StoredBytes at = *chunk.bytes;
      at.offset = std::max(e.offset(), at.offset);
      fail(at, chunk.name, std::string_view(e.what()).substr(before.size()));
    }
  }
  void need_end(ByteStream& stream, const Chunk& chunk) const {
    std::byte more{};
    if (next(stream, chunk, {&more, 1}) == 0) return;
    fail(*chunk.bytes, chunk.name,
         fmt::format("it decodes to more than the {} bytes of its elements", elements_ * width_));
  }
  [[noreturn]] void fail_short(const Chunk& chunk, int64_t bytes) const {
    fail(*chunk.bytes, chunk.name,
         fmt::format("it decodes to {} bytes, not the {} of its elements", bytes, elements_ * width_));
  }

  void read_coded(const Chunk& chunk) const {
    int64_t end = 0;  // of the last wanted element
    for (const SliceRuns& r : wanted_runs(chunk)) end = std::max(end, r.place(r.count() - 1) + r.length());
    for (const ArraySlice& box : wanted_) {
      if (intersection(box, chunk.box) == chunk.box) end = elements_;
    }
    const ByteStreamPtr stream = decoded(chunk);
    const int64_t step = kPieceBytes / width_;
    std::byte* data = thread_buffer(kPieceBytes);
    for (int64_t at = 0; at < end; at += step) {
      const int64_t count = std::min(step, end - at);
      const auto bytes = static_cast<size_t>(count * width_);
      if (const size_t got = next(*stream, chunk, {data, bytes}); got < bytes) {
        fail_short(chunk, at * width_ + static_cast<int64_t>(got));
      }
      deliver(chunk, at, at + count, data);
    }
    // Where all of it was wanted, its end and its checksum are looked at too.
    if (end == elements_) need_end(*stream, chunk);
  }

  // Axes stand in another order: the chunk is put in order in memory.
  void read_transposed(const Chunk& chunk) const {
    const ByteStreamPtr stream = decoded(chunk);
    std::vector<std::byte> stored;  // grows with what comes, since a file may promise more
    while (std::ssize(stored) < elements_ * width_) {
      const size_t before = stored.size();
      stored.resize(before + static_cast<size_t>(std::min(std::max<int64_t>(std::ssize(stored), kPieceBytes),
                                                          elements_ * width_ - std::ssize(stored))));
      const size_t got = next(*stream, chunk, std::span(stored).subspan(before));
      if (before + got < stored.size()) fail_short(chunk, static_cast<int64_t>(before + got));
    }
    need_end(*stream, chunk);
    const std::vector<int64_t>& whole = array_.stored_chunk();
    const std::vector<size_t>& order = array_.codecs.order;
    std::vector<int64_t> strides(whole.size()), place(whole.size());  // of the array's axes, in the stored order
    int64_t stride = 1;
    for (size_t i = whole.size(); i-- > 0;) {
      strides[order[i]] = stride;
      stride *= whole[order[i]];
    }
    const int64_t step = kPieceBytes / width_;
    std::byte* data = thread_buffer(kPieceBytes);
    int64_t from = 0;
    for (int64_t begin = 0; begin < elements_; begin += step) {
      const int64_t end = std::min(begin + step, elements_);
      for (int64_t k = begin; k < end; ++k) {
        std::memcpy(data + (k - begin) * width_, stored.data() + from * width_, static_cast<size_t>(width_));
        for (size_t i = whole.size(); i-- > 0;) {  // the next place, the last axis first
          from += strides[i];
          if (++place[i] < whole[i]) break;
          from -= place[i] * strides[i];
          place[i] = 0;
        }
      }
      deliver(chunk, begin, end, data);
    }
  }

  const ZarrSource& source_;
  const ZarrArray& array_;
  std::span<const ArraySlice> wanted_;
  const VisitPiece& visit_;
  int64_t width_;
  int64_t elements_;  // of a stored chunk
};

}  // namespace

void read_zarr(const ZarrSource& source, std::span<const ArraySlice> wanted, const VisitPiece& visit) {
  Reading(source, wanted, visit).run();
}

void visit_chunks(const ZarrSource& source, const std::function<void(const StoredBytes&)>& visit) {
  const std::vector<int64_t> grid = source.array->grid();
  for (int64_t k = 0; k < element_count(grid); ++k) {
    const auto bytes = source.keys->find(source.name + "/" + source.array->chunk_key(place_in(grid, k)));
    if (bytes) visit(*bytes);
  }
}

void require_chunks(const ZarrSource& source) {
  if (source.may_be_absent) return;
  const std::vector<int64_t> grid = source.array->grid();
  const int64_t count = element_count(grid);
  std::vector<std::string> missing;
  int64_t more = 0;
  for (int64_t k = 0; k < count; ++k) {
    const std::string key = source.array->chunk_key(place_in(grid, k));
    if (source.keys->find(source.name + "/" + key)) continue;
    if (missing.size() < kListed) {
      missing.push_back(key);
    } else {
      ++more;
    }
    if (more > 1000) break;  // it is lost as a whole
  }
  if (missing.empty()) return;
  throw FormatError(source.folder, fmt::format("array '{}': chunks {}{} are missing: the writer stored every chunk, so "
                                               "part of the checkpoint is lost",
                                               source.name, fmt::join(missing, ", "),
                                               more > 0 ? fmt::format(" and {} more", more) : ""));
}

}  // namespace fathom
