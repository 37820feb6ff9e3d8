#include "base/counter_random.h"
#include "base/error.h"
#include "data/streams.h"

namespace fathom {

namespace {

class SyntheticStream final : public BatchStream {
 public:
  explicit SyntheticStream(const DataOptions& options) : max_batches_(options.max_batches) {
    batch_ = Batch::allocate(options.rows, options.length);
    uint32_t vocab = static_cast<uint32_t>(options.vocab_size);
    for (int64_t row = 0; row < options.rows; ++row) {
      int64_t begin = row * options.length;
      int64_t table_row = options.process_index * options.rows + row;
      auto id = [&](int64_t i) {
        return static_cast<int32_t>(
            below(random_bits(options.seed, static_cast<uint64_t>(table_row * (options.length + 1) + i)), vocab));
      };
      for (int64_t i = 0; i < options.length; ++i) {
        size_t at = static_cast<size_t>(begin + i);
        batch_.inputs.mutable_view<int32_t>()[at] = id(i);
        batch_.targets.mutable_view<int32_t>()[at] = id(i + 1);
        batch_.inputs_position.mutable_view<int32_t>()[at] = static_cast<int32_t>(i);
        batch_.inputs_segmentation.mutable_view<int32_t>()[at] = 1;
        batch_.targets_segmentation.mutable_view<int32_t>()[at] = 1;
      }
    }
    state_.process_count = options.process_count;
  }

  std::optional<Batch> next() override {
    if (max_batches_ >= 0 && state_.batches >= max_batches_) return std::nullopt;
    ++state_.batches;
    return batch_;
  }

  DataState state() const override { return state_; }
  void restore(const DataState& state) override { state_.batches = state.batches; }
  std::string end_message() const override {
    return fmt::format("synthetic data: {} batches were asked for", max_batches_);
  }

 private:
  Batch batch_;
  int64_t max_batches_;
  DataState state_;
};

}  // namespace

std::unique_ptr<BatchStream> open_synthetic(const DataOptions& options) {
  return std::make_unique<SyntheticStream>(options);
}

}  // namespace fathom
