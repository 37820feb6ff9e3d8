#include "storage/arrow/json_rows.h"

#include <arrow/array/array_dict.h>
#include <arrow/array/array_nested.h>
#include <arrow/array/array_primitive.h>
#include <arrow/extension_type.h>
#include <arrow/type.h>

#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

namespace fathom {

namespace {

constexpr int kMostNested = 32;

void append_text(std::string_view text, std::string& to) {
  constexpr std::string_view kHex = "0123456789abcdef";
  to += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      to += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      to += {'\\', 'u', '0', '0', kHex[static_cast<unsigned char>(c) >> 4], kHex[c & 0xf]};
    } else {
      to += c;
    }
  }
  to += '"';
}

template <class Number>
void append_number(Number value, std::string& to) {
  char text[40];
  to.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

template <class Type>
void append_number_of(const arrow::Array& array, int64_t i, std::string& to) {
  const auto value = static_cast<const arrow::NumericArray<Type>&>(array).Value(i);
  if constexpr (std::is_floating_point_v<decltype(value)>) {
    if (!std::isfinite(value)) {
      to += "null";
      return;
    }
  }
  append_number(value, to);
}

// Numbers and truth values; false for another type.
bool append_scalar(const arrow::Array& array, int64_t i, std::string& to) {
  switch (array.type_id()) {
    case arrow::Type::BOOL:
      to += static_cast<const arrow::BooleanArray&>(array).Value(i) ? "true" : "false";
      return true;
    case arrow::Type::INT8:
      append_number_of<arrow::Int8Type>(array, i, to);
      return true;
    case arrow::Type::UINT8:
      append_number_of<arrow::UInt8Type>(array, i, to);
      return true;
    case arrow::Type::INT16:
      append_number_of<arrow::Int16Type>(array, i, to);
      return true;
    case arrow::Type::UINT16:
      append_number_of<arrow::UInt16Type>(array, i, to);
      return true;
    case arrow::Type::INT32:
      append_number_of<arrow::Int32Type>(array, i, to);
      return true;
    case arrow::Type::UINT32:
      append_number_of<arrow::UInt32Type>(array, i, to);
      return true;
    case arrow::Type::INT64:
      append_number_of<arrow::Int64Type>(array, i, to);
      return true;
    case arrow::Type::UINT64:
      append_number_of<arrow::UInt64Type>(array, i, to);
      return true;
    case arrow::Type::FLOAT:
      append_number_of<arrow::FloatType>(array, i, to);
      return true;
    case arrow::Type::DOUBLE:
      append_number_of<arrow::DoubleType>(array, i, to);
      return true;
    default:
      return false;
  }
}

arrow::Status append_value(const arrow::Array& array, int64_t i, int depth, std::string& to);

template <class ArrayType>
arrow::Status append_list(const arrow::Array& array, int64_t i, int depth, std::string& to) {
  const auto& lists = static_cast<const ArrayType&>(array);
  to += '[';
  for (int64_t k = 0; k < lists.value_length(i); ++k) {
    if (k > 0) to += ',';
    ARROW_RETURN_NOT_OK(append_value(*lists.values(), lists.value_offset(i) + k, depth + 1, to));
  }
  to += ']';
  return arrow::Status::OK();
}

arrow::Status append_struct(const arrow::Array& array, int64_t i, int depth, std::string& to) {
  const auto& structs = static_cast<const arrow::StructArray&>(array);
  to += '{';
  for (int k = 0; k < structs.num_fields(); ++k) {
    if (k > 0) to += ',';
    append_text(structs.struct_type()->field(k)->name(), to);
    to += ':';
    ARROW_RETURN_NOT_OK(append_value(*structs.field(k), i, depth + 1, to));
  }
  to += '}';
  return arrow::Status::OK();
}

arrow::Status append_value(const arrow::Array& array, int64_t i, int depth, std::string& to) {
  if (depth > kMostNested) return arrow::Status::Invalid("the column is nested too deeply");
  if (array.IsNull(i)) {
    to += "null";
    return arrow::Status::OK();
  }
  if (append_scalar(array, i, to)) return arrow::Status::OK();
  switch (array.type_id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      append_text(static_cast<const arrow::BinaryArray&>(array).GetView(i), to);
      return arrow::Status::OK();
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      append_text(static_cast<const arrow::LargeBinaryArray&>(array).GetView(i), to);
      return arrow::Status::OK();
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW:
      append_text(static_cast<const arrow::BinaryViewArray&>(array).GetView(i), to);
      return arrow::Status::OK();
    case arrow::Type::LIST:
      return append_list<arrow::ListArray>(array, i, depth, to);
    case arrow::Type::LARGE_LIST:
      return append_list<arrow::LargeListArray>(array, i, depth, to);
    case arrow::Type::STRUCT:
      return append_struct(array, i, depth, to);
    case arrow::Type::EXTENSION:
      return append_value(*static_cast<const arrow::ExtensionArray&>(array).storage(), i, depth + 1, to);
    case arrow::Type::DICTIONARY: {
      const auto& typed = static_cast<const arrow::DictionaryArray&>(array);
      return append_value(*typed.dictionary(), typed.GetValueIndex(i), depth + 1, to);
    }
    default:
      return arrow::Status::TypeError("the column holds ", array.type()->ToString(), ", which is not read");
  }
}

}  // namespace

arrow::Status give_json(const arrow::Array& array, ArrowSink rows) {
  std::string text;
  for (int64_t i = 0; i < array.length(); ++i) {
    if (array.IsNull(i)) {
      rows.take(rows.context, nullptr, 0);
      continue;
    }
    text.clear();
    ARROW_RETURN_NOT_OK(append_value(array, i, 0, text));
    rows.take(rows.context, text.data(), static_cast<int64_t>(text.size()));
  }
  return arrow::Status::OK();
}

}  // namespace fathom
