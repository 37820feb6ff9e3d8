#include "data/batch.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_text.h"

namespace fathom {

Batch Batch::allocate(int64_t rows, int64_t length) {
  Batch out;
  out.rows = rows;
  out.length = length;
  for (const auto& field : fields()) out.*field.member = HostArray::allocate(DType::kS32, {rows, length});
  return out;
}

Batch Batch::padding(int64_t rows, int64_t length) {
  Batch out = allocate(rows, length);
  for (const auto& field : fields()) std::ranges::fill((out.*field.member).mutable_view<int32_t>(), 0);
  return out;
}

int64_t Batch::weights() const {
  std::span<const int32_t> segments = targets_segmentation.view<int32_t>();
  return std::count_if(segments.begin(), segments.end(), [](int32_t s) { return s != 0; });
}

std::string DataState::to_json() const {
  return nlohmann::json{{"epoch", epoch},
                        {"position", position},
                        {"batches", batches},
                        {"documents", documents},
                        {"process_count", process_count}}
      .dump();
}

DataState DataState::parse(std::string_view json, const std::string& path) {
  require_plain_json(path, json);
  try {
    nlohmann::json value = nlohmann::json::parse(json);
    DataState state{.epoch = value.at("epoch"),
                    .position = value.at("position"),
                    .batches = value.at("batches"),
                    .documents = value.at("documents"),
                    .process_count = value.at("process_count")};
    if (state.epoch < 0 || state.position < 0 || state.batches < 0) throw FormatError(path, "a negative data position");
    if (state.documents > 0 && state.position > state.documents) {
      throw FormatError(path, "a data position behind the last document");
    }
    return state;
  } catch (const nlohmann::json::exception& e) {
    throw FormatError(path, "not a saved data position: " + json_mistake(e).text);
  }
}

}  // namespace fathom
