#include "convert/fp8_to_bf16.h"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "checkpoint/safetensors_folder.h"
#include "checkpoint/safetensors_writer.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

bool same_bytes(const HostArray& a, const HostArray& b) {
  return a.dtype() == b.dtype() && a.sizes() == b.sizes() &&
         std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())) == 0;
}

// A copy of a small model, and an output that is not there yet.
class Fp8ToBf16 : public testing::Test {
 protected:
  void SetUp() override { copy_model("tests/data/deepseek_v3/hf_fp8"); }

  void copy_model(const std::string& from) {
    fs::remove_all(input_);
    fs::copy(from, input_, fs::copy_options::recursive);
    for (const auto& entry : fs::recursive_directory_iterator(input_)) {
      fs::permissions(entry.path(), fs::perms::owner_write, fs::perm_options::add);
    }
  }
  // What the command prints: its last line and its log.
  std::pair<std::string, std::string> convert(const ConversionOptions& options = {}) const {
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    try {
      convert_fp8_to_bf16(input_, output_, options);
    } catch (...) {
      testing::internal::GetCapturedStdout();
      testing::internal::GetCapturedStderr();
      throw;
    }
    std::string out = testing::internal::GetCapturedStdout();
    return {out, testing::internal::GetCapturedStderr()};
  }
  std::string in(const std::string& name) const { return input_ + "/" + name; }
  std::string out(const std::string& name) const { return output_ + "/" + name; }
  template <class E>
  void expect_refused(const testing::Matcher<const std::string&>& message) const {
    EXPECT_THAT([&] { convert(); }, ThrowsMessage<E>(message));
  }

  TemporaryFolder folder_;
  const std::string input_ = folder_ / "fp8", output_ = folder_ / "below/bf16";
  static constexpr const char* kFirst = "model-00001-of-000002.safetensors";
  static constexpr const char* kSecond = "model-00002-of-000002.safetensors";
};

TEST_F(Fp8ToBf16, EveryTensorAndFileOfTheModelIsThere) {
  fs::create_directories(in("inference"));
  fs::create_directories(in(".git"));
  write_file_atomically(in("inference/kernel.py"), "code");
  write_file_atomically(in(".git/HEAD"), "x");
  EXPECT_THAT(convert().first, HasSubstr("bytes read and written in"));

  const TensorFolder source = TensorFolder::open(input_), result = TensorFolder::open(output_);
  const auto expected = SafetensorsFile::open("tests/data/deepseek_v3/fp8_dequantized.safetensors");
  size_t scales = 0;
  int64_t bytes = 0;
  for (const std::string& name : source.names()) {
    if (name.ends_with("_scale_inv")) {
      EXPECT_EQ(result.find(name), nullptr);
      ++scales;
      continue;
    }
    const bool quantized = expected->find(name) != nullptr;
    EXPECT_TRUE(same_bytes(result.tensor(name), quantized ? expected->tensor(name) : source.tensor(name))) << name;
    EXPECT_EQ(base_name(result.file_of(name).path()), base_name(source.file_of(name).path()));
    bytes += result.find(name)->bytes;
  }
  EXPECT_EQ(result.names().size(), source.names().size() - scales);
  EXPECT_GT(scales, 0U);
  const Json index = Json::parse(read_file(out("model.safetensors.index.json")));
  EXPECT_EQ(index["metadata"]["total_size"], bytes);
  EXPECT_EQ(index["weight_map"].size(), result.names().size());

  Json config = Json::parse(read_file(in("config.json")));
  EXPECT_EQ(config.erase("quantization_config"), 1U);
  EXPECT_EQ(Json::parse(read_file(out("config.json"))), config);
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "inference/kernel.py"}) {
    EXPECT_EQ(read_file(out(name)), read_file(in(name))) << name;
  }
  EXPECT_FALSE(fs::exists(out(".git")));
}

TEST_F(Fp8ToBf16, NanIsCountedInOneWarning) {
  copy_model("tests/data/fp8/folder");
  const std::string log = convert().second;
  EXPECT_THAT(log, HasSubstr("codes are NaN"));
  EXPECT_EQ(log.find("codes are NaN"), log.rfind("codes are NaN"));
  const TensorFolder result = TensorFolder::open(output_), source = TensorFolder::open(input_);
  const auto expected = SafetensorsFile::open("tests/data/fp8/folder_expected.safetensors");
  for (const std::string& name : result.names()) {
    const HostArray array = result.tensor(name), wanted = expected->tensor(name);
    ASSERT_EQ(array.sizes(), wanted.sizes()) << name;
    ASSERT_EQ(array.dtype(), wanted.dtype()) << name;
    if (array.dtype() != DType::kBF16) {
      EXPECT_TRUE(same_bytes(array, wanted)) << name;
      continue;
    }
    for (size_t i = 0; i < static_cast<size_t>(array.elements()); ++i) {
      const uint16_t a = array.view<uint16_t>()[i], b = wanted.view<uint16_t>()[i];
      const bool nan = (a & 0x7fff) > 0x7f80 && (b & 0x7fff) > 0x7f80;
      ASSERT_TRUE(a == b || nan) << name << " " << i;
    }
  }
}

TEST_F(Fp8ToBf16, OneFileWithoutAnIndexStaysOne) {
  const TensorFolder source = TensorFolder::open(input_);
  std::map<std::string, HostArray> tensors;
  for (const std::string& name : source.names()) tensors.emplace(name, source.tensor(name));
  for (const char* name : {kFirst, kSecond, "model.safetensors.index.json"}) fs::remove(in(name));
  write_safetensors(in("model.safetensors"), tensors);
  convert({.threads = 1});
  EXPECT_FALSE(fs::exists(out("model.safetensors.index.json")));
  EXPECT_EQ(TensorFolder::open(output_).find("model.norm.weight")->dtype, DType::kBF16);
}

// What a killed process left: a whole shard, a part of one, no index.
TEST_F(Fp8ToBf16, ARestartKeepsWhatIsWholeAndMakesTheRest) {
  convert();
  const std::string first = read_file(out(kFirst)), second = read_file(out(kSecond));
  const auto time = fs::last_write_time(out(kFirst));
  fs::remove(out("model.safetensors.index.json"));
  fs::resize_file(out(kSecond), second.size() / 2);
  write_file_atomically(out(std::string(kSecond) + ".partial"), "a part");
  EXPECT_THAT(convert().second, HasSubstr("were there already"));
  EXPECT_EQ(fs::last_write_time(out(kFirst)), time);
  EXPECT_EQ(read_file(out(kFirst)), first);
  EXPECT_EQ(read_file(out(kSecond)), second);
  EXPECT_TRUE(fs::exists(out("model.safetensors.index.json")));
  EXPECT_FALSE(fs::exists(out(std::string(kSecond) + ".partial")));
  // All of it is there.
  EXPECT_THAT(convert().first, HasSubstr("bytes read and written"));
  EXPECT_EQ(fs::last_write_time(out(kFirst)), time);
}

// The same names and shapes, but other numbers: two releases of one model.
TEST_F(Fp8ToBf16, ShardsOfAnotherReleaseAreRefusedNotMixedIn) {
  convert();
  std::string bytes = read_file(in(kFirst));
  for (size_t i = bytes.size() / 2; i < bytes.size(); ++i) bytes[i] = static_cast<char>(bytes[i] ^ 1);
  write_file_atomically(in(kFirst), bytes);
  expect_refused<ConfigError>(AllOf(HasSubstr(output_), HasSubstr(kFirst), HasSubstr("another model")));
}

TEST_F(Fp8ToBf16, AnOutputThatHoldsSomethingElseIsRefusedBeforeAnything) {
  for (const char* name :
       {"model.safetensors", "model-00001-of-000009.safetensors", "config.json", "model.safetensors.index.json"}) {
    fs::remove_all(output_);
    fs::create_directories(output_);
    write_file_atomically(out(name), "{}");
    expect_refused<ConfigError>(AllOf(HasSubstr(name), HasSubstr("name an empty folder")));
    EXPECT_EQ(std::distance(fs::directory_iterator(output_), {}), 1);
  }
}

TEST_F(Fp8ToBf16, TheInputIsNoOutput) {
  for (const std::string& output : {input_, input_ + "/", input_ + "/../fp8", input_ + "/bf16"}) {
    EXPECT_THAT([&] { convert_fp8_to_bf16(input_, output, {}); },
                ThrowsMessage<ConfigError>(HasSubstr("may be neither the input")));
  }
  EXPECT_THAT([&] { convert_fp8_to_bf16(input_, in("config.json"), {}); }, testing::Throws<ConfigError>());
}

TEST_F(Fp8ToBf16, AFolderWithoutQuantizedTensorsSaysSo) {
  copy_model("tests/data/deepseek_v3/hf");
  expect_refused<FormatError>(HasSubstr("nothing to convert"));
  EXPECT_FALSE(fs::exists(output_));
}

// Faults of the input: one error, and no output.
TEST_F(Fp8ToBf16, HostileInputsLeaveNothing) {
  const std::string index = read_file(in("model.safetensors.index.json"));
  auto with_index = [&](const std::function<void(Json&)>& change) {
    Json root = Json::parse(index);
    change(root["weight_map"]);
    write_file_atomically(in("model.safetensors.index.json"), root.dump());
  };
  const std::string weight = "model.layers.0.mlp.down_proj.weight";
  with_index([&](Json& map) { map.erase(weight + "_scale_inv"); });
  expect_refused<FormatError>(AllOf(HasSubstr("FP8 without a scale"), HasSubstr(weight)));
  with_index([&](Json& map) { map.erase(weight); });
  expect_refused<FormatError>(AllOf(HasSubstr("scales without a tensor"), HasSubstr(weight)));
  with_index([&](Json& map) { map[weight] = map[weight] == kFirst ? kSecond : kFirst; });
  expect_refused<FormatError>(AllOf(HasSubstr("not in their files"), HasSubstr(weight)));
  with_index([&](Json& map) { map[weight] = "../escape.safetensors"; });
  expect_refused<FormatError>(HasSubstr("is not a file name"));
  with_index([](Json&) {});
  write_file_atomically(in("config.json"), "{\"quantization_config\"");
  expect_refused<FormatError>(HasSubstr("config.json"));
  copy_model("tests/data/deepseek_v3/hf_fp8");
  fs::resize_file(in(kSecond), fs::file_size(in(kSecond)) - 1);
  expect_refused<FormatError>(AllOf(HasSubstr(kSecond), HasSubstr("cut short")));
  EXPECT_FALSE(fs::exists(output_));
}

}  // namespace
}  // namespace fathom
