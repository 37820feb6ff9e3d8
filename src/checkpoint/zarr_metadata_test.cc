#include "checkpoint/zarr_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kV2 =
    R"({"chunks":[2,3],"compressor":null,"dtype":"<f4","fill_value":null,"filters":null,"order":"C","shape":[4,5],"zarr_format":2})";
const std::string kV3 =
    R"({"chunk_grid":{"configuration":{"chunk_shape":[4,6]},"name":"regular"},"chunk_key_encoding":{"name":"default"},)"
    R"("codecs":[{"configuration":{"chunk_shape":[2,3],"codecs":[{"configuration":{"endian":"little"},"name":"bytes"}],)"
    R"("index_codecs":[{"configuration":{"endian":"little"},"name":"bytes"},{"name":"crc32c"}]},)"
    R"("name":"sharding_indexed"}],"data_type":"float32","fill_value":0.0,"node_type":"array","shape":[4,5],)"
    R"("zarr_format":3})";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string fault(ZarrArray (*parse)(const JsonPlace&, std::string_view), const std::string& text) {
  try {
    parse({"folder/array"}, text);
    return "no error";
  } catch (const FormatError& e) {
    EXPECT_EQ(e.path(), "folder/array");
    return e.what();
  }
}

TEST(ZarrMetadata, KeysOfChunksAreAsTheWriterSaid) {
  const std::vector<int64_t> place = {1, 0};
  EXPECT_EQ(parse_zarr2({}, kV2).chunk_key(place), "1.0");
  EXPECT_EQ(parse_zarr2({}, replaced(kV2, "\"order\"", "\"dimension_separator\":\"/\",\"order\"")).chunk_key(place),
            "1/0");
  EXPECT_EQ(parse_zarr3({}, kV3).chunk_key(place), "c/1/0");
  const std::string v2_keys = replaced(kV3, R"({"name":"default"})", R"({"name":"v2"})");
  EXPECT_EQ(parse_zarr3({}, v2_keys).chunk_key(place), "1.0");
  EXPECT_EQ(parse_zarr3({}, v2_keys).chunk_key({}), "0");
  EXPECT_EQ(parse_zarr3({}, kV3).chunk_key({}), "c");
}

TEST(ZarrMetadata, EveryTypeOfVersion2IsRead) {
  for (const auto& [text, dtype] : std::map<std::string, DType>{{"|b1", DType::kBool},
                                                                {">i8", DType::kS64},
                                                                {"<u2", DType::kU16},
                                                                {"<f2", DType::kF16},
                                                                {"bfloat16", DType::kBF16},
                                                                {"float8_e5m2", DType::kF8E5M2}}) {
    const ZarrArray array = parse_zarr2({}, replaced(kV2, "<f4", text));
    EXPECT_EQ(array.dtype, dtype);
    EXPECT_EQ(array.codecs.is_big_endian, text[0] == '>');
  }
}

TEST(ZarrMetadata, FillValuesAreElements) {
  auto fill = [](const std::string& type, const std::string& value) {
    const std::string text = replaced(replaced(kV3, "\"float32\"", "\"" + type + "\""), "0.0", value);
    uint64_t bits = 0;
    const ZarrArray array = parse_zarr3({}, text);
    if (!array.fill.empty()) std::memcpy(&bits, array.fill.data(), array.fill.size());
    return fmt::format("{}:{:x}", array.fill.size(), bits);
  };
  EXPECT_EQ(fill("float32", "1.5"), "4:3fc00000");
  EXPECT_EQ(fill("float32", "-0.0"), "4:80000000");
  EXPECT_EQ(fill("bfloat16", "\"NaN\""), "2:7fc0");
  EXPECT_EQ(fill("float64", "\"-Infinity\""), "8:fff0000000000000");
  EXPECT_EQ(fill("float32", "\"0x7fc00001\""), "4:7fc00001");
  EXPECT_EQ(fill("int16", "-2"), "2:fffe");
  EXPECT_EQ(fill("uint64", "18446744073709551615"), "8:ffffffffffffffff");
  EXPECT_EQ(fill("bool", "true"), "1:1");
  EXPECT_EQ(fill("float8_e4m3fn", "0.0"), "1:0");
  EXPECT_EQ(fill("float8_e4m3fn", "1.0"), "0:0");  // needed by no one yet: an error where a chunk needs it
}

TEST(ZarrMetadata, TransposesFollowOneAnother) {
  const std::string text =
      replaced(kV3, R"([{"configuration":{"endian":"little"},"name":"bytes"}])",
               R"([{"name":"transpose","configuration":{"order":[1,0]}},{"name":"transpose","configuration":)"
               R"({"order":[1,0]}},{"configuration":{"endian":"big"},"name":"bytes"}])");
  EXPECT_THAT(parse_zarr3({}, text).codecs.order, ElementsAre(0, 1));
  EXPECT_TRUE(parse_zarr3({}, text).codecs.is_big_endian);
}

TEST(ZarrMetadata, WhatIsNotReadIsNamed) {
  auto v2 = [](const std::string& from, const std::string& to) { return fault(parse_zarr2, replaced(kV2, from, to)); };
  EXPECT_THAT(v2("<f4", "<c8"), HasSubstr("dtype \"<c8\" is not read"));
  EXPECT_THAT(v2("\"compressor\":null", R"("compressor":{"id":"bz2"})"),
              HasSubstr("compressor {\"id\":\"bz2\"} is not"));
  EXPECT_THAT(v2("\"filters\":null", R"("filters":[{"id":"delta"}])"),
              HasSubstr("filters [{\"id\":\"delta\"}] is not"));
  EXPECT_THAT(v2("\"order\":\"C\"", "\"order\":\"K\""), HasSubstr("order \"K\" is not read"));
  EXPECT_THAT(v2("\"zarr_format\":2", "\"zarr_format\":3"), HasSubstr("zarr_format 3 is not read"));
  EXPECT_THAT(v2("\"shape\":[4,5],", ""), HasSubstr("shape is not a list of sizes"));
  auto v3 = [](const std::string& from, const std::string& to) { return fault(parse_zarr3, replaced(kV3, from, to)); };
  EXPECT_THAT(v3("\"float32\"", "\"complex64\""), HasSubstr("data_type \"complex64\" is not read"));
  EXPECT_THAT(v3("\"regular\"", "\"rectangular\""), HasSubstr("chunk_grid"));
  EXPECT_THAT(v3("\"array\"", "\"group\""), HasSubstr("node_type \"group\" is not read"));
  EXPECT_THAT(v3("\"crc32c\"", "\"gzip\""), HasSubstr("index_codecs"));
  EXPECT_THAT(v3("\"sharding_indexed\"", "\"vlen-utf8\""), HasSubstr("vlen-utf8"));
  EXPECT_THAT(v3("\"little\"", "\"middle\""), HasSubstr("endian \"middle\" is not read"));
  EXPECT_THAT(v3("\"node_type\"", "\"shape\":[4,5],\"node_type\""), HasSubstr("'shape' stands twice"));
}

TEST(ZarrMetadata, AbsurdSizesAreRefusedBeforeMemoryIs) {
  auto v3 = [](const std::string& from, const std::string& to) { return fault(parse_zarr3, replaced(kV3, from, to)); };
  EXPECT_THAT(v3("\"shape\":[4,5]", "\"shape\":[4611686018427387904,5]"), HasSubstr("of more bytes than can be"));
  EXPECT_THAT(v3("\"shape\":[4,5]", "\"shape\":[9223372036854775807,9223372036854775807]"), HasSubstr("more bytes"));
  EXPECT_THAT(v3("\"shape\":[4,5]", "\"shape\":[4,18446744073709551616]"), HasSubstr("which is not a size"));
  EXPECT_THAT(v3("\"shape\":[4,5]", "\"shape\":[-4,5]"), HasSubstr("-4, which is not a size"));
  EXPECT_THAT(v3("\"shape\":[4,5]", "\"shape\":[4e3,5]"), HasSubstr("which is not a size"));
  EXPECT_THAT(v3("\"shape\":[4,5]", "\"shape\":[1000000,1000000]"), HasSubstr("more chunks"));
  EXPECT_THAT(v3("[4,6]", "[4,1000000002]"), HasSubstr("too large for an array of 80 bytes"));
  EXPECT_THAT(v3("[4,6]", "[4,600000]"), HasSubstr("no error"));
  EXPECT_THAT(v3("[2,3]", "[2,4]"), HasSubstr("do not divide the chunk"));
  EXPECT_THAT(v3("[2,3]", "[0,3]"), HasSubstr("do not divide the chunk"));
  EXPECT_THAT(v3("[4,6]", "[0,6]"), HasSubstr("chunks [0, 6] are empty"));
  EXPECT_THAT(v3("[4,6]", "[4,6,1]"), HasSubstr("chunks of 3 axes for an array of 2"));
  EXPECT_THAT(v3("\"fill_value\":0.0", "\"fill_value\":" + std::string(200, '[')),
              HasSubstr("more than 100 JSON lists"));
}

}  // namespace
}  // namespace fathom
