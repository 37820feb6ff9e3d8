#include "convert/slice_reader.h"

#include <algorithm>
#include <atomic>

#include "base/parallel_for.h"
#include "checkpoint/read_sizes.h"
#include "convert/checked_copy.h"

namespace fathom {
namespace {

// The numbers of a source from the array's element `first` on, as many as `out` has room for.
void read_numbers(const SliceSource& source, int64_t first, std::span<std::byte> out) {
  const int64_t element = source.from + first - source.begin;
  if (source.quantized != nullptr) {
    source.quantized->read(element, {reinterpret_cast<uint16_t*>(out.data()), out.size() / sizeof(uint16_t)});
  } else {
    source.file->read(source.info->offset + element * byte_size(source.info->dtype), out);
  }
}

const ReadSizes& sizes_of(const SliceSource& source) { return read_sizes(source.file->path()); }

}  // namespace

SliceReader::SliceReader(DType dtype, std::vector<int64_t> sizes, std::span<const SliceMemory> slices)
    : dtype_(dtype), sizes_(std::move(sizes)) {
  for (const SliceMemory& s : slices) targets_.push_back({SliceRuns(sizes_, s.slice), s.data});
}

std::vector<SliceReader::Task> SliceReader::tasks() const {
  std::vector<Task> out;
  for (const SliceSource& source : sources_) {
    const int64_t step = sizes_of(source).task / byte_size(source.stored());
    for (int64_t at = source.begin; at < source.end; at += step) {
      out.push_back({&source, at, std::min(at + step, source.end)});
    }
  }
  return out;
}

const SliceSource* SliceReader::read() const {
  const std::vector<Task> all = tasks();
  std::atomic<size_t> first_bad{all.size()};
  parallel_for(static_cast<int64_t>(all.size()), [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    if (read_task(all[at])) return;
    for (size_t seen = first_bad; at < seen && !first_bad.compare_exchange_weak(seen, at);) {
    }
  });
  return first_bad < all.size() ? all[first_bad].source : nullptr;
}

bool SliceReader::read_task(const Task& task) const {
  const int64_t width = byte_size(task.source->stored());
  const ReadSizes& reads = sizes_of(*task.source);
  const int64_t step = reads.read / width, gap = reads.gap / width;
  bool finite = true;
  for (int64_t begin = task.begin; begin < task.end; begin += step) {
    const std::vector<Piece> pieces = pieces_of(begin, std::min(begin + step, task.end));
    for (size_t i = 0; i < pieces.size();) {
      size_t end = i + 1;
      while (end < pieces.size() && pieces[end].place - (pieces[end - 1].place + pieces[end - 1].count) <= gap) ++end;
      finite = read_pieces(*task.source, std::span(pieces).subspan(i, end - i)) && finite;
      i = end;
    }
  }
  return finite;
}

std::vector<SliceReader::Piece> SliceReader::pieces_of(int64_t begin, int64_t end) const {
  std::vector<Piece> out;
  for (const Target& target : targets_) {
    for_each_run(target.runs, begin, end, [&](int64_t from, int64_t to, int64_t count) {
      out.push_back({from, count, target.data + to * byte_size(dtype_)});
    });
  }
  if (targets_.size() > 1) std::ranges::sort(out, {}, &Piece::place);
  return out;
}

bool SliceReader::read_pieces(const SliceSource& source, std::span<const Piece> pieces) const {
  const DType stored = source.stored();
  const int64_t width = byte_size(stored), first = pieces.front().place;
  const int64_t bytes = (pieces.back().place + pieces.back().count - first) * width;
  if (pieces.size() == 1 && stored == dtype_) {
    read_numbers(source, first, {pieces[0].to, static_cast<size_t>(bytes)});
    return all_finite(dtype_, pieces[0].to, pieces[0].count);
  }
  thread_local std::vector<std::byte> buffer;
  if (buffer.size() < static_cast<size_t>(bytes)) buffer.resize(static_cast<size_t>(bytes));
  read_numbers(source, first, {buffer.data(), static_cast<size_t>(bytes)});
  bool finite = true;
  for (const Piece& p : pieces) {
    const std::byte* from = buffer.data() + (p.place - first) * width;
    finite = copy_checked(stored, from, dtype_, p.to, p.count) && finite;
  }
  return finite;
}

}  // namespace fathom
