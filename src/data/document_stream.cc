#include <set>
#include <stdexcept>

#include "base/counted.h"
#include "base/error.h"
#include "base/log.h"
#include "data/conversations.h"
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
  // Counts all conversations, which finds what is wrong with any, and says what they come to.
  void survey_conversations();
  OrderOptions order_options() const;
  // Encodes the next document with tokens into `pending_`, going over to the next epoch where needed; false at the end.
  bool fetch();
  void encode(int64_t document);
  // The document's text, which is UTF-8. Throws FormatError.
  std::string_view checked_text(int64_t document);
  // Its token ids as the column gives them. Throws FormatError.
  std::vector<int32_t> checked_ids(int64_t document);
  // Its tokens as they are. Throws FormatError.
  Document read(int64_t document);
  // The same; nothing for one that is left out (skip_bad_records).
  std::optional<Document> read_or_skip(int64_t document);
  void add_special(std::vector<int32_t>& ids);
  // Most tokens of a document.
  size_t most_tokens() const;
  void advance();
  [[noreturn]] void too_little_data() const;

  DataOptions options_;
  TextEncoder encoder_;
  std::unique_ptr<DocumentSource> source_;
  std::vector<DocumentBlock> blocks_;
  bool interleave_ = false;
  std::optional<EpochOrder> order_;  // of epoch state_.epoch
  RowForm form_ = RowForm::kFirstFit;
  std::optional<RowPacker> packer_;
  DataState state_;
  Document pending_;    // the document at the state's position, or empty
  int64_t tokens_ = 0;  // encoded since the last restore
  bool warned_of_cut_ = false;
  std::set<int64_t> bad_;  // documents that were left out
  std::string first_bad_;  // what was wrong with the first of them
};

std::string documents(int64_t count) { return counted(count, "document"); }

PackingOptions packing_options(const DataOptions& options, const TextEncoder& encoder, RowForm form) {
  return {.form = form,
          .rows = options.rows,
          .length = options.length,
          .packing = options.packing,
          .max_segments = options.max_segments,
          .pad_id = encoder.pad_id,
          .bos_id = encoder.bos_id,
          .mask_by_value = options.peer_rules};
}

DocumentStream::DocumentStream(const DataOptions& options, TextEncoder encoder)
    : options_(options), encoder_(std::move(encoder)) {
  const DatasetFiles files = find_dataset(options_.path, options_.path_key,
                                          {.split = options_.split,
                                           .loader = options_.loader,
                                           .tfds_name = options_.tfds_name,
                                           .tfds_name_key = options_.tfds_name_key,
                                           .split_key = options_.split_key,
                                           .tfds_required = options_.tfds_required});
  source_ = open_documents(files, {.column = options_.column,
                                   .content = options_.content,
                                   .answer_column = options_.answer_column,
                                   .check_first = !options_.skip_bad_records});
  blocks_ = source_->blocks();
  interleave_ = options_.peer_rules && files.kind == DatasetKind::kTfds;
  if (interleave_ && options_.content == DocumentContent::kText) form_ = RowForm::kOpenRow;
  packer_.emplace(packing_options(options_, encoder_, form_));
  if (source_->size() < options_.process_count) {
    throw ConfigError(fmt::format("{}={}: {} cannot be shared by {} processes", options_.path_key, options_.path,
                                  documents(source_->size()), options_.process_count));
  }
  const bool text = options_.content == DocumentContent::kText;
  options_.add_bos = options_.add_bos && text && encoder_.bos_id.has_value();
  options_.add_eos = options_.add_eos && text && encoder_.eos_id.has_value();
  int64_t added = (options_.add_bos ? 1 : 0) + (options_.add_eos ? 1 : 0);
  if (options_.length <= added) {
    throw ConfigError(fmt::format("max_target_length={} leaves no room for a document's text", options_.length));
  }
  if (options_.content == DocumentContent::kConversations) survey_conversations();
  restore({});
}

DocumentStream::~DocumentStream() {
  if (bad_.empty() || options_.content == DocumentContent::kConversations) return;
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
  pending_ = {};
  tokens_ = 0;
}

std::optional<Batch> DocumentStream::next() {
  if (options_.max_batches >= 0 && state_.batches >= options_.max_batches) return std::nullopt;
  bool more = fetch();
  while (more && packer_->place(pending_.ids, pending_.counts)) {
    advance();
    more = fetch();
  }
  bool complete = more || packer_->every_row_used() || options_.pad_last_batch;
  if (packer_->empty() || !complete) {
    if (state_.batches == 0) too_little_data();
    packer_->take();
    return std::nullopt;
  }
  ++state_.batches;
  return packer_->take();
}

OrderOptions DocumentStream::order_options() const {
  return {.shuffle = options_.shuffle,
          .seed = options_.seed,
          .process_index = options_.process_index,
          .process_count = options_.process_count,
          .interleave = interleave_};
}

void DocumentStream::survey_conversations() {
  warned_of_cut_ = true;  // they are counted here
  const ConversationCounts counts = count_conversations(*source_, encoder_,
                                                        {.column = options_.column,
                                                         .length = options_.length,
                                                         .skip_bad = options_.skip_bad_records,
                                                         .mask_by_value = options_.peer_rules});
  const bool split = has_split(options_.path, options_.split);
  const std::string data = fmt::format("{}={}{}", options_.path_key, options_.path,
                                       split ? fmt::format(" ({})", options_.split) : std::string());
  if (counts.learnt == 0) {
    throw ConfigError(
        fmt::format("{}: none of {} conversations has a token that is trained within "
                    "max_target_length={}: raise it",
                    data, counts.conversations, options_.length));
  }
  if (options_.process_index != 0) return;
  if (counts.unreadable > 0) {
    log_warning("{}: left out (skip_bad_records); so is every conversation that cannot be read",
                counts.first_unreadable);
  }
  const double filling =
      row_filling(counts.lengths, EpochOrder(blocks_, order_options(), 0), packing_options(options_, encoder_, form_));
  log_info(
      "conversations: {} in {}; {} cut to max_target_length={}, {} without a trained token (left out){}; {} of {} "
      "tokens trained; rows {:.1f} % full",
      counts.conversations, data, counts.cut, options_.length, counts.unlearnt,
      counts.unreadable > 0 ? fmt::format(", {} that cannot be read (left out)", counts.unreadable) : "", counts.learnt,
      counts.tokens, 100 * filling);
}

bool DocumentStream::fetch() {
  int64_t skipped = 0;  // documents without tokens, in a row
  while (pending_.empty()) {
    if (state_.epoch >= options_.num_epoch) return false;
    if (!order_) {
      order_.emplace(blocks_, order_options(), state_.epoch);
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
  pending_ = {};
  ++state_.position;
}

std::string_view DocumentStream::checked_text(int64_t document) {
  const std::string_view text = source_->text(document);
  require_utf8(text, *source_, document);
  return text;
}

std::vector<int32_t> DocumentStream::checked_ids(int64_t document) {
  std::vector<int32_t> ids;
  for (int64_t id : source_->ids(document)) {
    if (id < 0 || id >= options_.vocab_size) {
      throw FormatError(source_->where(document), fmt::format("token id {} is not between 0 and {} (vocab_size={})", id,
                                                              options_.vocab_size - 1, options_.vocab_size));
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

Document DocumentStream::read(int64_t document) {
  switch (options_.content) {
    case DocumentContent::kText:
      return {.ids = encoder_.encode(checked_text(document)), .counts = {}};
    case DocumentContent::kTokenIds:
      return {.ids = checked_ids(document), .counts = {}};
    case DocumentContent::kConversations:
      return read_conversation(*source_, document, options_.column, encoder_);
  }
  throw std::logic_error("documents of a kind without a reader");
}

std::optional<Document> DocumentStream::read_or_skip(int64_t document) {
  if (!options_.skip_bad_records) return read(document);
  try {
    return read(document);
  } catch (const FormatError& e) {
    if (bad_.empty()) first_bad_ = e.what();
    // Of conversations the survey has said it.
    if (bad_.empty() && options_.content != DocumentContent::kConversations) {
      log_warning("{}: left out (skip_bad_records); so is every record that cannot be read, counted at the end",
                  first_bad_);
    }
    bad_.insert(document);
    return std::nullopt;
  }
}

size_t DocumentStream::most_tokens() const {
  const bool one_more = options_.content == DocumentContent::kTokenIds || form_ == RowForm::kOpenRow;
  return static_cast<size_t>(options_.length) + (one_more ? 1 : 0);
}

// The peer's TFDS pipeline cuts what it has added too; otherwise the end of a document stays.
void DocumentStream::add_special(std::vector<int32_t>& ids) {
  const size_t most = most_tokens();
  const size_t added = (options_.add_bos ? 1u : 0u) + (options_.add_eos ? 1u : 0u);
  const size_t kept = form_ == RowForm::kOpenRow ? most : most - added;
  if (ids.size() > kept) ids.resize(kept);
  if (options_.add_bos) ids.insert(ids.begin(), *encoder_.bos_id);
  if (options_.add_eos) ids.push_back(*encoder_.eos_id);
  if (ids.size() > most) ids.resize(most);
}

void DocumentStream::encode(int64_t document) {
  pending_ = {};
  std::optional<Document> read = read_or_skip(document);
  if (!read) return;
  const size_t whole = read->ids.size() + (options_.add_bos ? 1u : 0u) + (options_.add_eos ? 1u : 0u);
  add_special(read->ids);
  read->cut(static_cast<int64_t>(most_tokens()));
  const auto most = static_cast<size_t>(options_.length);
  if (whole > read->ids.size() && !warned_of_cut_) {
    log_warning("{}: {} tokens are cut to max_target_length={}{}; so are all longer documents (said once)",
                source_->where(document), whole, options_.length, read->ids.size() > most ? " + 1" : "");
    warned_of_cut_ = true;
  }
  pending_ = std::move(*read);
  // A token alone is neither input nor target there.
  if (form_ == RowForm::kOpenRow && pending_.ids.size() < 2) pending_ = {};
  if (options_.content == DocumentContent::kConversations && learnt_tokens(pending_) == 0) pending_ = {};
  tokens_ += static_cast<int64_t>(pending_.ids.size());
}

void DocumentStream::too_little_data() const {
  throw ConfigError(fmt::format(
      "{}={}: {} with {}{} {} not make one batch of {} of {}: raise num_epoch, use more data, set "
      "generate_padding_batch_train=True (generate_padding_batch_eval), or lower per_device_batch_size or "
      "max_target_length",
      options_.path_key, options_.path, documents(source_->size()), counted(tokens_, "token"),
      bad_.empty() ? "" : fmt::format(" ({} could not be read: {})", bad_.size(), first_bad_),
      source_->size() == 1 ? "does" : "do", counted(options_.rows, "row"), counted(options_.length, "token")));
}

std::string DocumentStream::end_message() const {
  if (options_.max_batches >= 0 && state_.batches >= options_.max_batches) {
    return fmt::format("{}={}: {} {} asked for", options_.path_key, options_.path,
                       counted(options_.max_batches, "batch", "batches"), options_.max_batches == 1 ? "was" : "were");
  }
  return fmt::format(
      "{}={}: {} been used {} after {}; raise num_epoch to go on", options_.path_key, options_.path,
      source_->size() == 1 ? "its 1 document has" : fmt::format("all {} documents have", source_->size()),
      options_.num_epoch == 1 ? "once" : fmt::format("{} times", options_.num_epoch),
      counted(state_.batches, "batch", "batches"));
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
