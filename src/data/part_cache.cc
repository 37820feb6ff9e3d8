#include "data/part_cache.h"

namespace fathom {

const PartCache::Part& PartCache::part(size_t index, const FileReader& reader, int64_t size, int64_t number) {
  const std::pair key(index, number);
  if (auto hit = places_.find(key); hit != places_.end()) {
    parts_.splice(parts_.begin(), parts_, hit->second);
    return parts_.front();
  }
  Part fresh{.key = key, .bytes = {}};
  const int64_t begin = number * part_bytes_;
  fresh.bytes.resize(static_cast<size_t>(std::min(part_bytes_, size - begin)));
  reader.read(begin, fresh.bytes);
  if (parts_.size() >= most_parts_) {
    places_.erase(parts_.back().key);
    parts_.pop_back();
  }
  parts_.push_front(std::move(fresh));
  places_[key] = parts_.begin();
  return parts_.front();
}

void PartCache::read(size_t index, const FileReader& reader, int64_t size, int64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    const Part& from = part(index, reader, size, offset / part_bytes_);
    const std::span<const std::byte> rest = std::span(from.bytes).subspan(static_cast<size_t>(offset % part_bytes_));
    const size_t count = std::min(rest.size(), out.size());
    std::copy_n(rest.begin(), count, out.begin());
    out = out.subspan(count);
    offset += static_cast<int64_t>(count);
  }
}

}  // namespace fathom
