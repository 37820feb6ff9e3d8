#include <set>
#include <stdexcept>

#include "base/error.h"
#include "base/log.h"
#include "base/utf8.h"
#include "data/documents.h"
#include "data/order.h"
#include "data/packing.h"
#include "data/streams.h"

namespace fathom {

namespace {

class DocumentStream final : public BatchStream {
 public:
  DocumentStream(const DataOptions& options, TextEncoder encoder);
  ~DocumentStream() override;
  DocumentStream(const DocumentStream&) = delete;
  DocumentStream& operator=(const DocumentStream&) = delete;
  std::optional<Batch> next() override;
  DataState state() const override { return state_; }
  void restore(const DataState& state) override;
  std::string end_message() const override;

 private:
  // Encodes the next document with tokens into `pending_`, going over to the next epoch where needed; false at the end.
  bool fetch();
  void encode(int64_t document);
  // The document's text, which is UTF-8. Throws FormatError.
  std::string_view checked_text(int64_t document);
  // Its ids; nothing for one that is left out (skip_bad_records).
  std::optional<std::vector<int32_t>> ids_of(int64_t document);
  void advance();
  [[noreturn]] void too_little_data() const;

  DataOptions options_;
  TextEncoder encoder_;
  std::unique_ptr<DocumentSource> source_;
  std::vector<DocumentBlock> blocks_;
  std::optional<EpochOrder> order_;  // of epoch state_.epoch
  RowPacker packer_;
  DataState state_;
  std::vector<int32_t> pending_;  // tokens of the document at the state's position, or empty
  int64_t tokens_ = 0;            // encoded since the last restore
  bool warned_of_cut_ = false;
  std::set<int64_t> bad_;  // documents that were left out
  std::string first_bad_;  // what was wrong with the first of them
};

std::string documents(int64_t count) { return fmt::format("{} document{}", count, count == 1 ? "" : "s"); }
std::string tokens(int64_t count) { return fmt::format("{} token{}", count, count == 1 ? "" : "s"); }
std::string rows(int64_t count) { return fmt::format("{} row{}", count, count == 1 ? "" : "s"); }

PackingOptions packing_options(const DataOptions& options, const TextEncoder& encoder) {
  return {.rows = options.rows,
          .length = options.length,
          .packing = options.packing,
          .max_segments = options.max_segments,
          .pad_id = encoder.pad_id,
          .bos_id = encoder.bos_id,
          .mask_by_value = options.mask_by_value};
}

DocumentStream::DocumentStream(const DataOptions& options, TextEncoder encoder)
    : options_(options), encoder_(std::move(encoder)), packer_(packing_options(options_, encoder_)) {
  source_ = open_documents(
      find_dataset(options_.path, options_.path_key, {.split = options_.split, .loader = options_.loader}),
      {.column = options_.column, .check_first = !options_.skip_bad_records});
  blocks_ = source_->blocks();
  if (source_->size() < options_.process_count) {
    throw ConfigError(fmt::format("{}={}: {} cannot be shared by {} processes", options_.path_key, options_.path,
                                  documents(source_->size()), options_.process_count));
  }
  options_.add_bos = options_.add_bos && encoder_.bos_id.has_value();
  options_.add_eos = options_.add_eos && encoder_.eos_id.has_value();
  int64_t added = (options_.add_bos ? 1 : 0) + (options_.add_eos ? 1 : 0);
  if (options_.length <= added) {
    throw ConfigError(fmt::format("max_target_length={} leaves no room for a document's text", options_.length));
  }
  restore({});
}

DocumentStream::~DocumentStream() {
  if (bad_.empty()) return;
  log_warning("{}={}: {} of {} could not be read and {} left out (skip_bad_records); the first: {}", options_.path_key,
              options_.path, bad_.size(), documents(source_->size()), bad_.size() == 1 ? "was" : "were", first_bad_);
}

void DocumentStream::restore(const DataState& state) {
  state_ = state;
  if (state.documents != 0 && state.documents != source_->size()) {
    log_warning("{}={} holds {} documents, but the saved position is in a data set of {}: going on at the same place",
                options_.path_key, options_.path, source_->size(), state.documents);
  }
  if (state.documents != 0 && state.process_count != options_.process_count) {
    log_warning(
        "the data position was saved by {} processes and is now shared by {}: some documents around it come "
        "twice or not at all",
        state.process_count, options_.process_count);
    state_.position = state.position * state.process_count / options_.process_count;
  }
  state_.documents = source_->size();
  state_.process_count = options_.process_count;
  order_.reset();
  pending_.clear();
  tokens_ = 0;
}

std::optional<Batch> DocumentStream::next() {
  if (options_.max_batches >= 0 && state_.batches >= options_.max_batches) return std::nullopt;
  bool more = fetch();
  while (more && packer_.place(pending_)) {
    advance();
    more = fetch();
  }
  bool complete = more || packer_.every_row_used() || options_.pad_last_batch;
  if (packer_.empty() || !complete) {
    if (state_.batches == 0) too_little_data();
    packer_.take();
    return std::nullopt;
  }
  ++state_.batches;
  return packer_.take();
}

bool DocumentStream::fetch() {
  int64_t skipped = 0;  // documents without tokens, in a row
  while (pending_.empty()) {
    if (state_.epoch >= options_.num_epoch) return false;
    if (!order_) {
      order_.emplace(blocks_,
                     OrderOptions{.shuffle = options_.shuffle,
                                  .seed = options_.seed,
                                  .process_index = options_.process_index,
                                  .process_count = options_.process_count},
                     state_.epoch);
    }
    if (state_.position >= order_->size()) {
      order_.reset();
      ++state_.epoch;
      state_.position = 0;
      continue;
    }
    encode((*order_)[state_.position]);
    if (pending_.empty()) {
      ++state_.position;
      if (++skipped > source_->size()) too_little_data();
    }
  }
  return true;
}

void DocumentStream::advance() {
  pending_.clear();
  ++state_.position;
}

std::string_view DocumentStream::checked_text(int64_t document) {
  std::string_view text = source_->text(document);
  size_t bad = find_invalid_utf8(text);
  if (bad != std::string_view::npos) {
    throw FormatError(source_->where(document), fmt::format("not UTF-8: byte 0x{:02x} at offset {} of the document",
                                                            static_cast<unsigned char>(text[bad]), bad));
  }
  return text;
}

std::optional<std::vector<int32_t>> DocumentStream::ids_of(int64_t document) {
  if (!options_.skip_bad_records) return encoder_.encode(checked_text(document));
  std::string_view text;
  try {
    text = checked_text(document);
  } catch (const FormatError& e) {
    if (bad_.empty()) {
      first_bad_ = e.what();
      log_warning("{}: left out (skip_bad_records); so is every record that cannot be read, counted at the end",
                  first_bad_);
    }
    bad_.insert(document);
    return std::nullopt;
  }
  return encoder_.encode(text);
}

void DocumentStream::encode(int64_t document) {
  pending_.clear();
  std::optional<std::vector<int32_t>> read = ids_of(document);
  if (!read) return;
  std::vector<int32_t>& ids = *read;
  size_t added = (options_.add_bos ? 1u : 0u) + (options_.add_eos ? 1u : 0u);
  size_t room = static_cast<size_t>(options_.length) - added;
  if (ids.size() > room) {
    if (!warned_of_cut_) {
      log_warning("{}: {} tokens are cut to max_target_length={}; so are all longer documents (said once)",
                  source_->where(document), ids.size() + added, options_.length);
      warned_of_cut_ = true;
    }
    ids.resize(room);
  }
  if (options_.add_bos) pending_.push_back(*encoder_.bos_id);
  pending_.insert(pending_.end(), ids.begin(), ids.end());
  if (options_.add_eos) pending_.push_back(*encoder_.eos_id);
  tokens_ += static_cast<int64_t>(pending_.size());
}

void DocumentStream::too_little_data() const {
  throw ConfigError(
      fmt::format("{}={}: {} with {}{} {} not make one batch of {} of {}: raise num_epoch, use more data, set "
                  "generate_padding_batch_train=True (generate_padding_batch_eval), or lower per_device_batch_size or "
                  "max_target_length",
                  options_.path_key, options_.path, documents(source_->size()), tokens(tokens_),
                  bad_.empty() ? "" : fmt::format(" ({} could not be read: {})", bad_.size(), first_bad_),
                  source_->size() == 1 ? "does" : "do", rows(options_.rows), tokens(options_.length)));
}

std::string DocumentStream::end_message() const {
  if (options_.max_batches >= 0 && state_.batches >= options_.max_batches) {
    return fmt::format("{}={}: {} batches were asked for", options_.path_key, options_.path, options_.max_batches);
  }
  return fmt::format(
      "{}={}: {} been used {} after {} batches; raise num_epoch to go on", options_.path_key, options_.path,
      source_->size() == 1 ? "its 1 document has" : fmt::format("all {} documents have", source_->size()),
      options_.num_epoch == 1 ? "once" : fmt::format("{} times", options_.num_epoch), state_.batches);
}

}  // namespace

std::unique_ptr<BatchStream> open_document_stream(const DataOptions& options, TextEncoder encoder) {
  return std::make_unique<DocumentStream>(options, std::move(encoder));
}

std::unique_ptr<BatchStream> open_batches(const DataOptions& options, TextEncoder encoder) {
  if (options.rows <= 0 || options.length <= 0) throw std::logic_error("open_batches: batches without tokens");
  if (options.synthetic) return open_synthetic(options);
  return open_document_stream(options, std::move(encoder));
}

}  // namespace fathom
