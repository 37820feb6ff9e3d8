#include "checkpoint/byte_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kLimit = int64_t{1} << 20;

StoredBytes held(const std::string& bytes) {
  return {.path = "chunk", .size = static_cast<int64_t>(bytes.size()), .held = bytes};
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::string deflated(const std::string& text, int kind) {
  z_stream state{};
  deflateInit2(&state, 6, Z_DEFLATED, kind, 8, Z_DEFAULT_STRATEGY);
  std::string in = text, out(deflateBound(&state, text.size()), '\0');
  state.next_in = reinterpret_cast<Bytef*>(in.data());
  state.avail_in = static_cast<uInt>(in.size());
  state.next_out = reinterpret_cast<Bytef*>(out.data());
  state.avail_out = static_cast<uInt>(out.size());
  deflate(&state, Z_FINISH);
  out.resize(state.total_out);
  deflateEnd(&state);
  return out;
}

std::string with_crc(std::string text) {
  const uint32_t crc = crc32c(text);
  for (int shift = 0; shift < 32; shift += 8) text.push_back(static_cast<char>(crc >> shift));
  return text;
}

std::string sample(size_t size) {
  std::string out;
  for (size_t i = 0; i < size; ++i) out.push_back(static_cast<char>(i * i % 251));
  return out;
}

using MakeStream = std::function<ByteStreamPtr(const StoredBytes&)>;
struct Coding {
  std::string name;
  std::function<std::string(const std::string&)> encode;
  MakeStream decode;
};

const std::vector<Coding>& codings() {
  static const std::vector<Coding> all = {
      {"zstd", zstd, [](const StoredBytes& b) { return zstd_stream(stored_stream(b), b); }},
      {"gzip", [](const std::string& t) { return deflated(t, 15 + 16); },
       [](const StoredBytes& b) { return gzip_stream(stored_stream(b), b); }},
      {"zlib", [](const std::string& t) { return deflated(t, 15); },
       [](const StoredBytes& b) { return zlib_stream(stored_stream(b), b); }},
      {"crc32c", with_crc, [](const StoredBytes& b) { return crc32c_stream(stored_stream(b), b); }},
      {"zstd_of_zstd", [](const std::string& t) { return zstd(zstd(t)); },
       [](const StoredBytes& b) { return zstd_stream(zstd_stream(stored_stream(b), b), b); }},
  };
  return all;
}

// Everything, asked for `step` bytes at a time.
std::string read_in_steps(ByteStream& stream, size_t step) {
  std::string out, part(step, '\0');
  while (true) {
    const size_t count = stream.read(std::as_writable_bytes(std::span(part)));
    out.append(part, 0, count);
    if (count < step) return out;
  }
}

TEST(ByteStream, GivesWhatWasCodedInStepsOfAnySize) {
  for (const Coding& coding : codings()) {
    for (size_t size : {size_t{0}, size_t{1}, size_t{3}, size_t{5}, size_t{300'000}}) {
      const std::string text = sample(size), bytes = coding.encode(text);
      for (size_t step : {size_t{1}, size_t{3}, size_t{4}, size_t{1000}, size_t{1} << 20}) {
        if (step < 100 && size > 1000) continue;
        const ByteStreamPtr stream = coding.decode(held(bytes));
        EXPECT_EQ(read_in_steps(*stream, step), text) << coding.name << " " << size << " " << step;
      }
    }
  }
}

TEST(ByteStream, WhatIsCutShortIsAnError) {
  for (const Coding& coding : codings()) {
    const std::string bytes = coding.encode(sample(5000));
    for (size_t size : {size_t{0}, size_t{3}, bytes.size() / 2, bytes.size() - 1}) {
      const std::string cut = bytes.substr(0, size);
      const StoredBytes place = held(cut);
      const ByteStreamPtr stream = coding.decode(place);
      EXPECT_THROW(read_all(*stream, place, kLimit), FormatError) << coding.name << " " << size;
    }
  }
}

TEST(ByteStream, FramesBehindOneAnotherAreOne) {
  for (const Coding& coding : std::span(codings()).first(2)) {
    const std::string bytes = coding.encode(sample(700)) + coding.encode(sample(500));
    const StoredBytes place = held(bytes);
    EXPECT_EQ(read_all(*coding.decode(place), place, kLimit), sample(700) + sample(500)) << coding.name;
  }
}

TEST(ByteStream, ReadAllStopsAtItsLimit) {
  const std::string bomb = zstd(std::string(size_t{64} << 20, '\0'));
  EXPECT_LT(bomb.size(), 10'000U);
  const StoredBytes place = held(bomb);
  try {
    read_all(*codings()[0].decode(place), place, 1000);
    FAIL();
  } catch (const FormatError& e) {
    EXPECT_THAT(e.what(), HasSubstr("it decodes to more than 1000 bytes"));
  }
}

TEST(ByteStream, ChecksumIsCompared) {
  std::string bytes = with_crc(sample(1000));
  bytes[500] = static_cast<char>(bytes[500] ^ 1);
  const StoredBytes place = held(bytes);
  EXPECT_THROW(read_all(*codings()[3].decode(place), place, kLimit), FormatError);
}

// What the samples of tests/data/checkpoints/blosc hold, by their names: codec, shuffle, width, count.
std::string blosc_content(const std::string& name) {
  const auto second = name.find('_', name.find('_') + 1), third = name.find('_', second + 1);
  const int width = std::stoi(name.substr(second + 1)), count = std::stoi(name.substr(third + 1));
  std::string out;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t value = i >= 100 && i < 400 ? 7 : i * i % 1009;
    out.push_back(static_cast<char>(value % 256));
    if (width == 4) out += {static_cast<char>(value / 256), '\0', '\0'};
  }
  return out;
}

TEST(Blosc, ChunksOfTheLibraryAreDecoded) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/data/checkpoints/blosc")) {
    const std::string bytes = read_file(entry.path()), text = blosc_content(entry.path().stem());
    const StoredBytes place = held(bytes);
    const auto size = static_cast<int64_t>(text.size());
    EXPECT_EQ(read_all(*blosc_stream(stored_stream(place), place, size), place, size), text) << entry.path();
    EXPECT_THROW(read_all(*blosc_stream(stored_stream(place), place, size - 1), place, size), FormatError);
    ++files;
  }
  EXPECT_EQ(files, 18);
}

TEST(Blosc, NoByteThatIsWrongLeadsOutOfIt) {
  for (const char* name : {"lz4_1_4_1000", "lz4_2_4_1000", "zstd_1_4_1003", "zlib_0_4_1003"}) {
    const std::string whole = read_file(fmt::format("tests/data/checkpoints/blosc/{}.blosc", name));
    for (size_t at = 0; at < whole.size(); ++at) {
      for (unsigned flip : {1U, 0x80U, 0xffU}) {
        std::string bytes = whole;
        bytes[at] = static_cast<char>(static_cast<uint8_t>(bytes[at]) ^ flip);
        const StoredBytes place = held(bytes);
        try {
          EXPECT_LE(read_all(*blosc_stream(stored_stream(place), place, 8000), place, 8000).size(), 8000U);
        } catch (const FormatError&) {
        }
      }
    }
  }
}

}  // namespace
}  // namespace fathom
