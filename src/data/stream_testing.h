// For tests: an encoder without files, and whole streams.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/streams.h"

namespace fathom {

inline constexpr int32_t kBos = 256;
inline constexpr int32_t kEos = 257;
inline constexpr int32_t kPad = 258;
inline constexpr int64_t kVocab = 259;

// A begin of sentence, then every message and an end of sentence behind it; what an assistant says counts.
inline Document bytes_of_conversation(const nlohmann::ordered_json& messages) {
  Document out{.ids = {kBos}, .counts = {0}};
  for (const nlohmann::ordered_json& message : messages) {
    for (const char c : message.at("content").get<std::string>()) out.ids.push_back(static_cast<unsigned char>(c));
    out.ids.push_back(kEos);
    out.counts.resize(out.ids.size(), message.at("role") == "assistant" ? 1 : 0);
  }
  return out;
}

// Bytes as ids.
inline TextEncoder byte_encoder() {
  return {.encode =
              [](std::string_view text) {
                std::vector<int32_t> ids;
                for (char c : text) ids.push_back(static_cast<unsigned char>(c));
                return ids;
              },
          .encode_conversation = bytes_of_conversation,
          .bos_id = kBos,
          .eos_id = kEos,
          .pad_id = kPad};
}

// All numbers of a batch.
inline std::vector<int32_t> values(const Batch& batch) {
  std::vector<int32_t> all;
  for (const auto& field : Batch::fields()) {
    std::span<const int32_t> view = (batch.*field.member).view<int32_t>();
    all.insert(all.end(), view.begin(), view.end());
  }
  return all;
}

// Batches of a stream, and the state after each.
struct Output {
  std::vector<std::vector<int32_t>> batches;
  std::vector<DataState> states;
};

inline Output collect(BatchStream& stream, size_t limit = 1000000) {
  Output result;
  while (result.batches.size() < limit) {
    std::optional<Batch> batch = stream.next();
    if (!batch) break;
    result.batches.push_back(values(*batch));
    result.states.push_back(stream.state());
  }
  return result;
}

}  // namespace fathom
