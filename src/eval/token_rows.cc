#include "eval/token_rows.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <map>

#include "session/batch_io.h"

namespace fathom {
namespace {

int64_t rounded_up(int64_t size, int64_t unit) { return (size + unit - 1) / unit * unit; }

// Rows of one length, rounded up.
struct LengthClass {
  int64_t length = 0;
  std::vector<size_t> rows;
};

// Lengths are multiples of 16, or of more where that would make more than 256 classes.
std::vector<LengthClass> length_classes(std::span<const int64_t> lengths, int64_t shortest) {
  constexpr int64_t kUnit = 16, kMostClasses = 256;
  const int64_t longest = lengths.empty() ? 1 : std::ranges::max(lengths);
  const auto most = static_cast<uint64_t>((longest + kMostClasses - 1) / kMostClasses);
  const int64_t unit = std::max(kUnit, static_cast<int64_t>(std::bit_ceil(most)));
  std::map<int64_t, std::vector<size_t>> by_length;
  for (size_t i = 0; i < lengths.size(); ++i) {
    by_length[rounded_up(std::max(lengths[i], shortest), unit)].push_back(i);
  }
  std::vector<LengthClass> out;
  for (auto& [length, rows] : by_length) out.push_back({length, std::move(rows)});
  return out;
}

// Where the ascending classes are cut into groups, whose rows get the length of the group's last class: the first
// classes of the groups. As few groups as leave no more than a tenth of all places empty, or the most there may be.
class Grouping {
 public:
  explicit Grouping(const std::vector<LengthClass>& classes) : classes_(classes) {
    for (const LengthClass& c : classes) rows_before_.push_back(rows_before_.back() + std::ssize(c.rows));
  }

  std::vector<size_t> best(int64_t tokens, size_t most) {
    const size_t count = classes_.size();
    std::vector<int64_t> places(count + 1, std::numeric_limits<int64_t>::max());  // of the first j classes
    places[0] = 0;
    for (size_t groups = 1; groups <= std::min(most, count); ++groups) {
      places = with_one_more(places);
      if (static_cast<double>(places[count] - tokens) <= 0.1 * static_cast<double>(places[count])) break;
    }
    std::vector<size_t> firsts;
    for (size_t end = count, groups = begins_.size(); groups > 0; --groups) {
      end = begins_[groups - 1][end];
      firsts.insert(firsts.begin(), end);
    }
    return firsts;
  }

 private:
  // The least places for the first j classes in one group more, of which the last begins with class begins_.back()[j].
  std::vector<int64_t> with_one_more(const std::vector<int64_t>& before) {
    std::vector<int64_t> out(before.size(), std::numeric_limits<int64_t>::max());
    std::vector<size_t> begins(before.size());
    for (size_t end = 1; end < before.size(); ++end) {
      for (size_t begin = 0; begin < end; ++begin) {
        if (before[begin] == std::numeric_limits<int64_t>::max()) continue;
        const int64_t rows = rows_before_[end] - rows_before_[begin];
        const int64_t places = before[begin] + rows * classes_[end - 1].length;
        if (places >= out[end]) continue;
        out[end] = places;
        begins[end] = begin;
      }
    }
    begins_.push_back(std::move(begins));
    return out;
  }

  const std::vector<LengthClass>& classes_;
  std::vector<int64_t> rows_before_ = {0};
  std::vector<std::vector<size_t>> begins_;  // of each number of groups
};

// Rows of one shape in batches of about equally many.
void add_batches(const std::vector<size_t>& rows, int64_t length, const StateSpec& spec, int64_t tokens,
                 std::vector<RowBatch>& to) {
  const int64_t unit = filled_for_mesh(spec, {1, length}).rows;
  const int64_t most = std::max(tokens / length / unit * unit, unit);
  const int64_t count = std::ssize(rows), batches = (count + most - 1) / most;
  const BatchShape shape = filled_for_mesh(spec, {(count + batches - 1) / batches, length});
  for (int64_t first = 0; first < count; first += shape.rows) {
    const auto begin = rows.begin() + first;
    to.push_back({shape, {begin, begin + std::min(shape.rows, count - first)}});
  }
}

}  // namespace

NamedArrays upload_rows(const Session& session, const StateSpec& spec, const BatchShape& shape,
                        std::span<const std::vector<int32_t>> rows) {
  BatchFields<HostArray> batch;
  for (const auto& field : batch.fields()) {
    HostArray& a = batch.*field.member;
    a = HostArray::allocate(DType::kS32, {shape.rows, shape.length});
    std::ranges::fill(a.mutable_view<int32_t>(), 0);
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    const size_t first = r * static_cast<size_t>(shape.length);
    for (size_t i = 0; i < rows[r].size(); ++i) {
      batch.inputs.mutable_view<int32_t>()[first + i] = rows[r][i];
      batch.inputs_position.mutable_view<int32_t>()[first + i] = static_cast<int32_t>(i);
      batch.inputs_segmentation.mutable_view<int32_t>()[first + i] = 1;
    }
  }
  const Sharding split = batch_argument(spec, shape).sharding;
  NamedArrays out;
  for (const auto& field : batch.fields()) {
    if (field.read_by_model) out.emplace(field.name, session.upload(batch.*field.member, split));
  }
  return out;
}

std::vector<RowBatch> batches_by_length(std::span<const int64_t> lengths, const StateSpec& spec,
                                        const RowBatchLimits& limits) {
  const std::vector<LengthClass> classes = length_classes(lengths, limits.shortest);
  int64_t tokens = 0;
  for (const int64_t length : lengths) tokens += length;
  const std::vector<size_t> firsts = Grouping(classes).best(tokens, limits.lengths);
  std::vector<RowBatch> out;
  size_t end = classes.size();
  for (size_t group = firsts.size(); group-- > 0;) {
    std::vector<size_t> rows;
    for (size_t c = end; c-- > firsts[group];) rows.insert(rows.end(), classes[c].rows.begin(), classes[c].rows.end());
    const int64_t length = filled_for_mesh(spec, {1, classes[end - 1].length}).length;
    add_batches(rows, length, spec, limits.tokens, out);
    end = firsts[group];
  }
  return out;
}

HostArray LastLogits::of(const BatchShape& shape, std::span<const std::vector<int32_t>> rows) {
  const bool there = program_ && program_->shape.rows == shape.rows && program_->shape.length == shape.length;
  if (!there) {
    program_.reset();
    program_.emplace(shape, session_.compile([&] { return last_logits(config_, spec_, shape); }));
    compile_seconds_ += program_->compiled.text_seconds + program_->compiled.compile_seconds;
  }
  HostArray last = HostArray::allocate(DType::kS32, {shape.rows});
  std::ranges::fill(last.mutable_view<int32_t>(), 0);
  for (size_t r = 0; r < rows.size(); ++r) last.mutable_view<int32_t>()[r] = static_cast<int32_t>(rows[r].size()) - 1;
  NamedArrays inputs = upload_rows(session_, spec_, shape, rows);
  inputs.emplace("last", session_.upload(last, argument(program_->compiled.signature, "last").sharding));
  return run_on(session_, program_->compiled, state_, inputs).at("logits").to_host();
}

}  // namespace fathom
