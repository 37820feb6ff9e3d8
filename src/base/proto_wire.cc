#include "base/proto_wire.h"

#include <bit>
#include <cstring>

#include "base/bytes.h"
#include "base/error.h"

namespace fathom {
namespace {

// Wire types of the format; 3 and 4 (groups) are obsolete and not accepted.
constexpr int kVarint = 0;
constexpr int kFixed64 = 1;
constexpr int kBytes = 2;
constexpr int kFixed32 = 5;

}  // namespace

void ProtoWriter::raw_varint(uint64_t value) {
  while (value >= 0x80) {
    out_.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out_.push_back(static_cast<char>(value));
}

void ProtoWriter::tag(int field, int wire_type) {
  raw_varint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(wire_type));
}

ProtoWriter& ProtoWriter::varint(int field, int64_t value) {
  tag(field, kVarint);
  raw_varint(static_cast<uint64_t>(value));
  return *this;
}

ProtoWriter& ProtoWriter::bytes(int field, std::string_view value) {
  tag(field, kBytes);
  raw_varint(value.size());
  out_.append(value);
  return *this;
}

ProtoWriter& ProtoWriter::varints(int field, std::span<const int64_t> values) {
  ProtoWriter packed;
  for (int64_t value : values) packed.raw_varint(static_cast<uint64_t>(value));
  return bytes(field, packed.str());
}

ProtoWriter& ProtoWriter::fixed32(int field, uint32_t value) {
  tag(field, kFixed32);
  append_little_endian(out_, value, 4);
  return *this;
}

ProtoWriter& ProtoWriter::fixed64(int field, uint64_t value) {
  tag(field, kFixed64);
  append_little_endian(out_, value, 8);
  return *this;
}

ProtoWriter& ProtoWriter::float32(int field, float value) { return fixed32(field, std::bit_cast<uint32_t>(value)); }

ProtoWriter& ProtoWriter::float64(int field, double value) { return fixed64(field, std::bit_cast<uint64_t>(value)); }

void ProtoReader::fail(const std::string& what) const {
  throw FormatError(path_, static_cast<int64_t>(position_), "protocol buffer: " + what);
}

uint64_t ProtoReader::raw_varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (position_ == message_.size()) fail("a number is cut short");
    auto byte = static_cast<uint8_t>(message_[position_++]);
    value |= uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return value;
  }
  fail("a number is longer than ten bytes");
}

std::string_view ProtoReader::take(uint64_t size) {
  if (size > message_.size() - position_) {
    fail("a field of " + std::to_string(size) + " bytes is cut short");
  }
  std::string_view out = message_.substr(position_, size);
  position_ += size;
  return out;
}

bool ProtoReader::next() {
  if (position_ == message_.size()) return false;
  uint64_t tag = raw_varint();
  uint64_t field = tag >> 3;
  constexpr uint64_t kMaxField = (uint64_t{1} << 29) - 1;
  if (field == 0 || field > kMaxField) fail("a field has the number " + std::to_string(field));
  field_ = static_cast<int>(field);
  wire_type_ = static_cast<int>(tag & 7);
  switch (wire_type_) {
    case kVarint:
      number_ = raw_varint();
      break;
    case kFixed64:
      number_ = little_endian(take(8));
      break;
    case kFixed32:
      number_ = little_endian(take(4));
      break;
    case kBytes:
      bytes_ = take(raw_varint());
      break;
    default:
      fail("field " + std::to_string(field_) + " has the unknown wire type " + std::to_string(wire_type_));
  }
  return true;
}

void ProtoReader::expect(int wire_type, const char* what) const {
  if (wire_type_ != wire_type) {
    fail("field " + std::to_string(field_) + " is not " + what + " (wire type " + std::to_string(wire_type_) + ")");
  }
}

int64_t ProtoReader::varint() const {
  expect(kVarint, "a number");
  return static_cast<int64_t>(number_);
}

std::string_view ProtoReader::bytes() const {
  expect(kBytes, "a string or message");
  return bytes_;
}

std::vector<int64_t> ProtoReader::varints() const {
  if (wire_type_ == kVarint) return {varint()};
  std::vector<int64_t> out;
  ProtoReader packed(bytes(), path_);
  while (packed.position_ < packed.message_.size()) out.push_back(static_cast<int64_t>(packed.raw_varint()));
  return out;
}

uint32_t ProtoReader::fixed32() const {
  expect(kFixed32, "of 4 bytes");
  return static_cast<uint32_t>(number_);
}

uint64_t ProtoReader::fixed64() const {
  expect(kFixed64, "of 8 bytes");
  return number_;
}

float ProtoReader::float32() const { return std::bit_cast<float>(fixed32()); }

double ProtoReader::float64() const { return std::bit_cast<double>(fixed64()); }

}  // namespace fathom
