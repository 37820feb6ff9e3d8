// What is packed into rows.
#pragma once

#include <cstdint>
#include <vector>

namespace fathom {

// The tokens of a document, and which of them are learnt: 1 for one that counts as a target, 0 for one that is only
// read. Empty where all of them count.
struct Document {
  std::vector<int32_t> ids;
  std::vector<uint8_t> counts;

  bool empty() const { return ids.empty(); }
  // Keeps the first `length` tokens; whether there were more.
  bool cut(int64_t length) {
    const auto most = static_cast<size_t>(length);
    const bool longer = ids.size() > most;
    if (longer) ids.resize(most);
    if (counts.size() > most) counts.resize(most);
    return longer;
  }
};

}  // namespace fathom
