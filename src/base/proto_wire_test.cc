#include "base/proto_wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace fathom {
namespace {

using namespace std::string_literals;

// The examples of the format's own description (protobuf.dev, "Encoding").
TEST(ProtoWire, WritesTheDocumentedBytes) {
  EXPECT_EQ(ProtoWriter().varint(1, 150).str(), "\x08\x96\x01"s);
  EXPECT_EQ(ProtoWriter().bytes(2, "testing").str(), "\x12\x07testing"s);
  EXPECT_EQ(ProtoWriter().bytes(3, ProtoWriter().varint(1, 150).str()).str(), "\x1a\x03\x08\x96\x01"s);
  EXPECT_EQ(ProtoWriter().varint(1, -2).str(), "\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"s);
  EXPECT_EQ(ProtoWriter().float32(2, 1.5F).str(), "\x15\x00\x00\xc0\x3f"s);
  EXPECT_EQ(ProtoWriter().float64(1, 1.0).str(), "\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"s);
}

TEST(ProtoWire, PackedNumbersAreOneField) {
  constexpr int64_t kValues[] = {3, 270, 86942};
  EXPECT_EQ(ProtoWriter().varints(4, kValues).str(), "\x22\x06\x03\x8e\x02\x9e\xa7\x05"s);
}

TEST(ProtoWire, PackedNumbersReadBackAndSingleOnesAreAListOfOne) {
  constexpr int64_t kValues[] = {3, -1, 86942};
  std::string message = ProtoWriter().varints(4, kValues).varint(4, 7).varints(4, {}).str();
  ProtoReader r(message, "x");
  ASSERT_TRUE(r.next());
  EXPECT_THAT(r.varints(), testing::ElementsAreArray(kValues));
  ASSERT_TRUE(r.next());
  EXPECT_THAT(r.varints(), testing::ElementsAre(7));
  ASSERT_TRUE(r.next());
  EXPECT_TRUE(r.varints().empty());
  std::string cut = ProtoWriter().bytes(4, "\x03\x8e").str();
  ProtoReader broken(cut, "x");
  ASSERT_TRUE(broken.next());
  EXPECT_THROW(broken.varints(), FormatError);
}

TEST(ProtoWire, FieldNumbersAboveFifteenTakeTwoBytes) { EXPECT_EQ(ProtoWriter().varint(19, 1).str(), "\x98\x01\x01"s); }

TEST(ProtoWire, ReadsBackWhatItWrote) {
  ProtoWriter w;
  w.varint(1, -5).bytes(2, "ab").float32(3, -0.25F).float64(400, 1e300).fixed32(5, 7).fixed64(6, UINT64_MAX);
  ProtoReader r(w.str(), "x");
  ASSERT_TRUE(r.next());
  EXPECT_EQ(r.field(), 1);
  EXPECT_EQ(r.varint(), -5);
  ASSERT_TRUE(r.next());
  EXPECT_EQ(r.bytes(), "ab");
  ASSERT_TRUE(r.next());
  EXPECT_EQ(r.float32(), -0.25F);
  ASSERT_TRUE(r.next());
  EXPECT_EQ(r.field(), 400);
  EXPECT_EQ(r.float64(), 1e300);
  ASSERT_TRUE(r.next());
  EXPECT_EQ(r.fixed32(), 7U);
  ASSERT_TRUE(r.next());
  EXPECT_EQ(r.fixed64(), UINT64_MAX);
  EXPECT_FALSE(r.next());
}

TEST(ProtoWire, EveryCutMessageIsAnErrorOrShorter) {
  std::string whole = ProtoWriter().varint(1, 300).bytes(2, "testing").float64(3, 2.0).str();
  for (size_t size = 0; size < whole.size(); ++size) {
    ProtoReader r(std::string_view{whole}.substr(0, size), "x");
    // Cuts between fields (after 3 and after 12 bytes) give a shorter message, all others an error.
    bool clean = size == 0 || size == 3 || size == 12;
    auto walk = [&] {
      while (r.next()) {
      }
    };
    if (clean) {
      EXPECT_NO_THROW(walk()) << size;
    } else {
      EXPECT_THROW(walk(), FormatError) << size;
    }
  }
}

TEST(ProtoWire, WrongTypeNamesTheField) {
  std::string message = ProtoWriter().varint(7, 1).str();
  ProtoReader r(message, "options");
  ASSERT_TRUE(r.next());
  EXPECT_THAT([&] { r.bytes(); }, testing::ThrowsMessage<FormatError>(
                                      testing::AllOf(testing::HasSubstr("options"), testing::HasSubstr("field 7"))));
}

TEST(ProtoWire, HugeLengthIsAnErrorNotARead) {
  std::string message = "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s;
  ProtoReader r(message, "x");
  EXPECT_THROW(r.next(), FormatError);
}

}  // namespace
}  // namespace fathom
