#include "base/tf_record.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(TfRecord, WhatIsWrittenIsReadBack) {
  std::string bytes;
  append_tf_record(bytes, "abc");
  EXPECT_EQ(bytes.size(), kTfRecordHead + 3 + kTfRecordTail);
  EXPECT_EQ(tf_record_length(bytes.substr(0, kTfRecordHead)), 3u);
  EXPECT_TRUE(tf_record_intact("abc", bytes.substr(kTfRecordHead + 3)));
}

TEST(TfRecord, EveryFlippedBitIsSeen) {
  std::string bytes;
  append_tf_record(bytes, "abc");
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    const bool head = tf_record_length(flipped.substr(0, kTfRecordHead)).has_value();
    const bool body =
        tf_record_intact(flipped.substr(kTfRecordHead, 3), std::string_view(flipped).substr(kTfRecordHead + 3));
    EXPECT_NE(head, body) << bit;
  }
}

}  // namespace
}  // namespace fathom
