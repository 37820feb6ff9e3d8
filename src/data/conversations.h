// Conversations as documents: what one must look like, and what a whole data set of them comes to.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/document.h"
#include "data/documents.h"
#include "data/order.h"
#include "data/packing.h"
#include "data/streams.h"

namespace fathom {

// What is wrong with the messages of a conversation, or nothing: a list of {"role", "content"} with texts, perhaps a
// system message first, then user and assistant in turn, the assistant last. `column`: where the list stands.
std::string conversation_mistake(const nlohmann::ordered_json& messages, const std::string& column);

// Document i of a source of conversations as tokens, not cut. Fields of a message that are null are left out, as
// transformers leaves them out. Throws FormatError naming file and line.
Document read_conversation(DocumentSource& source, int64_t i, const std::string& column, const TextEncoder& encoder);

// Tokens of a document that are learnt; the first is never a target.
int64_t learnt_tokens(const Document& document);

// All conversations of a data set, each cut to a row.
struct ConversationCounts {
  int64_t conversations = 0;
  int64_t unreadable = 0;        // left out, where that is asked for
  std::string first_unreadable;  // what is wrong with the first of them
  int64_t cut = 0;
  int64_t unlearnt = 0;  // without a token that is learnt: left out
  int64_t tokens = 0;    // of those that are not left out
  int64_t learnt = 0;
  std::vector<int32_t> lengths;  // tokens of each; 0 for one that is left out
};

// How conversations are counted.
struct ConversationCounting {
  std::string column;          // as read_conversation() takes it
  int64_t length = 0;          // tokens of a row
  bool skip_bad = false;       // those that cannot be read are left out
  bool mask_by_value = false;  // as PackingOptions has it: targets that are padding or begin-of-sentence do not count
};

// Reads and encodes all of them, on all cores; says when it takes long. Throws the first mistake in the order of the
// files, unless `skip_bad`.
ConversationCounts count_conversations(DocumentSource& source, const TextEncoder& encoder,
                                       const ConversationCounting& counting);

// Tokens per place of the rows that an epoch makes of documents of these lengths; of a batch that is not complete only
// the rows that hold something count.
double row_filling(const std::vector<int32_t>& lengths, const EpochOrder& order, const PackingOptions& packing);

}  // namespace fathom
