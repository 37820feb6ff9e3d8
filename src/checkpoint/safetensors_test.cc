#include "checkpoint/safetensors.h"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>

#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The bytes of a file with this header and `data_bytes` bytes 0, 1, 2, ... of data.
std::string file_bytes(std::string_view header, size_t data_bytes = 0) {
  std::string out;
  append_little_endian(out, header.size(), 8);
  out += header;
  for (size_t i = 0; i < data_bytes; ++i) out.push_back(static_cast<char>(i));
  return out;
}

class Safetensors : public testing::Test {
 protected:
  std::shared_ptr<const SafetensorsFile> open(std::string_view content) {
    return SafetensorsFile::open(folder_.write("x.safetensors", content));
  }

  // Opens a file that must be refused with a message that holds `what`; gives the byte offset of the fault.
  int64_t refused(std::string_view content, const std::string& what) {
    try {
      open(content);
    } catch (const FormatError& e) {
      EXPECT_EQ(e.path(), folder_ / "x.safetensors");
      EXPECT_THAT(e.what(), HasSubstr(what));
      return e.offset();
    }
    ADD_FAILURE() << "accepted, though " << what;
    return -2;
  }

  TemporaryFolder folder_;
};

TEST_F(Safetensors, RealFileGivesNamesTypesAndValues) {
  auto file = SafetensorsFile::open("tests/data/deepseek_v2/train_batch.safetensors");
  EXPECT_THAT(file->names(), ElementsAre("tokens"));
  EXPECT_EQ(file->metadata().at("format"), "pt");
  HostArray tokens = file->tensor("tokens");
  EXPECT_EQ(tokens.dtype(), DType::kS64);
  EXPECT_THAT(tokens.sizes(), ElementsAre(2, 33));
  for (int64_t t : tokens.view<int64_t>()) EXPECT_TRUE(t >= 0 && t < 1785) << t;

  auto model = SafetensorsFile::open("tests/data/deepseek_v2/hf_bf16/model.safetensors");
  EXPECT_EQ(model->names().size(), 83u);
  const TensorInfo* head = model->find("lm_head.weight");
  ASSERT_NE(head, nullptr);
  EXPECT_EQ(head->dtype, DType::kBF16);
  EXPECT_THAT(head->sizes, ElementsAre(1792, 64));
  EXPECT_EQ(model->find("lm_head"), nullptr);
}

TEST_F(Safetensors, TensorOutlivesTheFileObject) {
  HostArray weight;
  {
    auto file = SafetensorsFile::open("tests/data/deepseek_v3/hf/model.safetensors");
    weight = file->tensor("model.embed_tokens.weight");
  }
  float sum = 0;
  for (float x : weight.view<float>()) sum += std::abs(x);
  EXPECT_GT(sum, 1.0F);
}

// Mapped, it would end the process.
TEST_F(Safetensors, AFileCutShortMeanwhileIsOneError) {
  constexpr size_t kBytes = size_t{1} << 20;
  auto file = open(file_bytes(
      fmt::format(R"({{"a":{{"dtype":"U8","shape":[{}],"data_offsets":[0,{}]}}}})", kBytes, kBytes), kBytes));
  std::filesystem::resize_file(file->path(), 5000);
  EXPECT_THAT([&] { file->tensor("a"); }, testing::ThrowsMessage<FormatError>(testing::AllOf(
                                              HasSubstr(file->path()), HasSubstr("the file ends here"))));
}

TEST_F(Safetensors, EveryElementTypeIsRead) {
  constexpr std::string_view kNames[] = {"F64", "I64", "U64", "F32", "I32",  "U32",     "F16",    "BF16",
                                         "I16", "U16", "I8",  "U8",  "BOOL", "F8_E4M3", "F8_E5M2"};
  std::string header = "{";
  int64_t offset = 0;
  for (std::string_view name : kNames) {
    DType dtype = parse_safetensors_name(name).value();
    EXPECT_EQ(safetensors_name(dtype), name);
    int64_t end = offset + 2 * byte_size(dtype);
    header += fmt::format(R"("{}":{{"dtype":"{}","shape":[2],"data_offsets":[{},{}]}},)", name, name, offset, end);
    offset = end;
  }
  header.back() = '}';
  auto file = open(file_bytes(header, static_cast<size_t>(offset)));
  EXPECT_EQ(file->names().size(), std::size(kNames));
  for (std::string_view name : kNames) EXPECT_EQ(file->tensor(name).dtype(), *parse_safetensors_name(name));
  EXPECT_FALSE(parse_safetensors_name("F6_E2M3"));
}

TEST_F(Safetensors, TensorAtAnOddPlaceIsAligned) {
  auto file = open(file_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                              R"("b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})",
                              5));
  HostArray b = file->tensor("b");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b.data()) % 4, 0u);
  EXPECT_EQ(std::memcmp(b.data(), "\1\2\3\4", 4), 0);
}

TEST_F(Safetensors, EmptyTensorsScalarsAndPaddingAreFine) {
  auto file = open(file_bytes(R"({"e":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]},)"
                              R"("s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}    )",
                              4));
  EXPECT_THAT(file->names(), ElementsAre("e", "s"));
  EXPECT_EQ(file->tensor("e").elements(), 0);
  EXPECT_EQ(file->tensor("s").elements(), 1);
  EXPECT_TRUE(open(file_bytes("{}"))->names().empty());
}

TEST_F(Safetensors, AbsentTensorIsNamed) {
  auto file = open(file_bytes("{}"));
  EXPECT_THAT([&] { file->tensor("model.norm.weight"); },
              testing::ThrowsMessage<FormatError>(HasSubstr("x.safetensors: no tensor 'model.norm.weight'")));
}

TEST_F(Safetensors, AbsentFileIsNamed) {
  EXPECT_THROW(SafetensorsFile::open(folder_ / "none.safetensors"), FormatError);
}

TEST_F(Safetensors, BadLengthIsRefused) {
  refused("", "too few");
  refused("1234567", "too few");
  EXPECT_EQ(refused(std::string(8, '\xff'), "not a safetensors file"), 0);
  EXPECT_EQ(refused(std::string("\x09\0\0\0\0\0\0\0{}      ", 16), "only 8 after its length"), 0);
}

TEST_F(Safetensors, BadJsonIsRefusedAtItsPlace) {
  EXPECT_EQ(refused(file_bytes(" {}"), "does not begin with '{'"), 8);
  EXPECT_EQ(refused(file_bytes("{} x"), "not JSON"), 8 + 3);
  refused(file_bytes(R"({"a)"), "not JSON");
  refused(file_bytes("{\"\xff\":1}"), "not JSON");
  refused(file_bytes(R"({"a":1e999})"), "not JSON");
}

TEST_F(Safetensors, ADeepHeaderIsAnErrorAndNoOverflow) {
  const std::string deep = "{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": ";
  refused(file_bytes(deep + std::string(1000000, '[') + std::string(1000000, ']') + "}}"), "more than 100 JSON lists");
}

TEST_F(Safetensors, NameThatStandsTwiceIsRefused) {
  std::string a = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  EXPECT_EQ(refused(file_bytes("{" + a + "," + a + "}", 1), "tensor 'a': the name stands twice"), 8 + 1);
  refused(file_bytes(R"({"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})", 1), "stands twice");
}

TEST_F(Safetensors, BadEntryIsRefusedByName) {
  auto entry = [&](std::string_view body, const std::string& what) {
    EXPECT_EQ(refused(file_bytes(fmt::format(R"({{"w":{}}})", body), 4), what), 8 + 1);
  };
  entry(R"(3)", "'w': the entry has no \"dtype\"");
  entry(R"({"dtype":"F32","data_offsets":[0,4]})", "no \"shape\"");
  entry(R"({"dtype":"F32","shape":[1]})", "no \"data_offsets\"");
  entry(R"({"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,4]})", "element type \"F6_E2M3\" is not supported");
  entry(R"({"dtype":7,"shape":[4],"data_offsets":[0,4]})", "dtype is not a string");
  entry(R"({"dtype":"F32","shape":4,"data_offsets":[0,4]})", "shape is not a list");
  entry(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})", "-1, which is not a size");
  entry(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})", "which is not a size");
  entry(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]})", "which is not a size");
  entry(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})", "data_offsets is not [begin, end]");
  entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})", "data_offsets is not [begin, end]");
  entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", "needs 8 bytes, but data_offsets gives it 4");
  entry(R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]})", "needs more than 2^63 bytes");
}

TEST_F(Safetensors, HolesOverlapsAndWrongEndsAreRefused) {
  auto two = [](int64_t begin, int64_t end) {
    return fmt::format(R"({{"a":{{"dtype":"U8","shape":[4],"data_offsets":[0,4]}},)"
                       R"("b":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}}}})",
                       end - begin, begin, end);
  };
  EXPECT_EQ(open(file_bytes(two(4, 8), 8))->names().size(), 2u);
  refused(file_bytes(two(3, 7), 7), "tensor 'b': its data begins at 3, before the end 4");
  refused(file_bytes(two(5, 9), 9), "tensor 'b': its data begins at 5, past the end 4");
  refused(file_bytes(two(4, 8), 7), "tensor 'b': its 4 bytes end past the end of the file");
  std::string longer = file_bytes(two(4, 8), 10);
  EXPECT_EQ(refused(longer, "2 bytes follow the last tensor"), static_cast<int64_t>(longer.size()) - 2);
}

TEST_F(Safetensors, BadMetadataIsRefused) {
  refused(file_bytes(R"({"__metadata__":3})"), "__metadata__ is not an object");
  refused(file_bytes(R"({"__metadata__":{"a":1}})"), "the value of 'a' is not a string");
}

// A real model cut anywhere, or with a byte of its header changed, is refused or read: it never crashes.
TEST_F(Safetensors, DamagedRealFilesNeverCrash) {
  std::string whole = read_file("tests/data/deepseek_v2/train_batch.safetensors");
  for (size_t cut = 0; cut < whole.size(); cut += 17) EXPECT_THROW(open(whole.substr(0, cut)), FormatError);
  for (size_t i = 0; i < 104; i += 3) {
    for (char c : {'\0', '9', '"', '}', '\x80'}) {
      std::string damaged = whole;
      damaged[i] = c;
      try {
        auto file = open(damaged);
        for (const std::string& name : file->names()) EXPECT_GE(file->tensor(name).bytes(), 0);
      } catch (const FormatError&) {
        continue;
      }
    }
  }
}

// Headers are read fast where they are plain, and by a full parser where not: both read the same.
TEST_F(Safetensors, PlainAndUnusualSpellingsOfAHeaderAreOne) {
  const std::string plain =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,1],"data_offsets":[4,12]},)"
      R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"c":{"dtype":"F32","shape":[0],"data_offsets":[12,12]}})";
  auto unusual = plain;
  unusual.replace(unusual.find("\"b\""), 3, R"("\u0062")");
  for (const std::string& header : {plain, unusual, plain + "   "}) {
    auto file = open(file_bytes(header, 12));
    EXPECT_THAT(file->names(), ElementsAre("a", "b", "c"));
    EXPECT_THAT(file->find("b")->sizes, ElementsAre(2, 1));
    EXPECT_EQ(file->find("b")->bytes, 8);
    EXPECT_EQ(file->find("b")->offset, static_cast<int64_t>(8 + header.size() + 4));
    EXPECT_EQ(file->metadata().at("format"), "pt");
  }
}

TEST_F(Safetensors, WhatIsNoPlainJsonIsRefused) {
  const std::string entry = R"({"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  refused(file_bytes("{\"a\":" + entry + ",\"a\":" + entry + "}", 4), "the name stands twice");
  refused(file_bytes("{\"a\":" + entry + ",}", 4), "not JSON");
  refused(file_bytes("{\"a\":" + entry + "}x", 4), "not JSON");
  refused(file_bytes(R"({"a":{"dtype":"U8","shape":[04],"data_offsets":[0,4]}})", 4), "not JSON");
  refused(file_bytes(R"({"a":{"dtype":"U8","shape":[4],"shape":[4],"data_offsets":[0,4]}})", 4), "stands twice");
  refused(file_bytes(R"({"__metadata__":{},"__metadata__":{},"a":)" + entry + "}", 4), "stands twice");
  refused(file_bytes(R"({"a":{"dtype":"U8","shape":[9223372036854775807,3],"data_offsets":[0,4]}})", 4), "more than");
  refused(file_bytes(R"({"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}})", 4), "which is not a size");
  refused(file_bytes("{\"a\x01\":" + entry + "}", 4), "not JSON");
}

}  // namespace
}  // namespace fathom
