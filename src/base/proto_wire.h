// The protocol buffers wire format, written and read field by field: enough for the few messages that fathom exchanges
// (compile options, TensorBoard events, tf.Example) without generated code.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// Appends fields to a message. A sub-message is the bytes() of its own writer: w.bytes(3, inner.str()).
class ProtoWriter {
 public:
  // int32, int64, uint64, bool and enum fields. Negative numbers take ten bytes, as the format demands.
  ProtoWriter& varint(int field, int64_t value);
  // string, bytes and message fields, and packed repeated ones.
  ProtoWriter& bytes(int field, std::string_view value);
  // A packed repeated field of numbers.
  ProtoWriter& varints(int field, std::span<const int64_t> values);
  ProtoWriter& fixed32(int field, uint32_t value);
  ProtoWriter& fixed64(int field, uint64_t value);
  ProtoWriter& float32(int field, float value);
  ProtoWriter& float64(int field, double value);

  const std::string& str() const { return out_; }

 private:
  void tag(int field, int wire_type);
  void raw_varint(uint64_t value);

  std::string out_;
};

// Walks the fields of a message:
//   ProtoReader r(message, path);
//   while (r.next()) if (r.field() == 3) use(r.bytes());
// Throws FormatError naming `path` and the byte offset in the message where it is cut short or asked for another type.
class ProtoReader {
 public:
  explicit ProtoReader(std::string_view message, std::string path) : message_(message), path_(std::move(path)) {}

  // Moves to the next field; false at the end. A field whose value was not asked for is skipped.
  bool next();
  int field() const { return field_; }
  int64_t varint() const;
  // A view into the message.
  std::string_view bytes() const;
  // A packed repeated field of numbers, or one of its numbers where they come one by one.
  std::vector<int64_t> varints() const;
  uint32_t fixed32() const;
  uint64_t fixed64() const;
  float float32() const;
  double float64() const;

 private:
  uint64_t raw_varint();
  std::string_view take(uint64_t size);
  void expect(int wire_type, const char* what) const;
  [[noreturn]] void fail(const std::string& what) const;

  std::string_view message_;
  std::string path_;
  size_t position_ = 0;
  int field_ = 0;
  int wire_type_ = 0;
  uint64_t number_ = 0;
  std::string_view bytes_;
};

}  // namespace fathom
