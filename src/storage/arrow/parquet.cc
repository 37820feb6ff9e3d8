#include <arrow/array.h>
#include <arrow/extension_type.h>
#include <arrow/io/file.h>
#include <arrow/table.h>
#include <arrow/type.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>

#include <algorithm>

#include "storage/arrow/calls.h"
#include "storage/arrow/json_rows.h"

namespace fathom {

namespace {

// Plain binary columns count as text: old writers leave the annotation away, and the reader of the text checks its
// bytes.
bool is_text(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW:
      return true;
    case arrow::Type::EXTENSION:
      return is_text(*static_cast<const arrow::ExtensionType&>(type).storage_type());
    case arrow::Type::DICTIONARY:
      return is_text(*static_cast<const arrow::DictionaryType&>(type).value_type());
    default:
      return false;
  }
}

template <class List>
const arrow::DataType* items_of(const arrow::DataType& type) {
  return static_cast<const List&>(type).value_type().get();
}

// The type of a list's items; null for what is no list.
const arrow::DataType* items_of(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::LIST:
      return items_of<arrow::ListType>(type);
    case arrow::Type::LARGE_LIST:
      return items_of<arrow::LargeListType>(type);
    case arrow::Type::FIXED_SIZE_LIST:
      return items_of<arrow::FixedSizeListType>(type);
    default:
      return nullptr;
  }
}

ArrowColumnKind kind_of(const parquet::arrow::SchemaField& field) {
  const arrow::DataType& type = *field.field->type();
  if (field.is_leaf()) return is_text(type) ? kArrowText : kArrowOther;
  const arrow::DataType* items = items_of(type);
  if (items == nullptr) return kArrowOther;
  if (arrow::is_integer(items->id())) return kArrowNumbers;
  return items->id() == arrow::Type::STRUCT ? kArrowRecords : kArrowOther;
}

template <class Type>
void append_numbers(const arrow::Array& array, std::vector<int64_t>& to) {
  const auto& typed = static_cast<const arrow::NumericArray<Type>&>(array);
  for (int64_t i = 0; i < typed.length(); ++i) to.push_back(static_cast<int64_t>(typed.Value(i)));
}

// The items [begin, begin + count) of lists. A uint64 above int64's range becomes a negative number.
arrow::Status numbers_of(const arrow::Array& items, int64_t begin, int64_t count, std::vector<int64_t>& to) {
  const std::shared_ptr<arrow::Array> part = items.Slice(begin, count);
  to.clear();
  if (part->null_count() > 0) return arrow::Status::Invalid("a list of the column holds a null");
  switch (part->type_id()) {
    case arrow::Type::INT8:
      append_numbers<arrow::Int8Type>(*part, to);
      break;
    case arrow::Type::UINT8:
      append_numbers<arrow::UInt8Type>(*part, to);
      break;
    case arrow::Type::INT16:
      append_numbers<arrow::Int16Type>(*part, to);
      break;
    case arrow::Type::UINT16:
      append_numbers<arrow::UInt16Type>(*part, to);
      break;
    case arrow::Type::INT32:
      append_numbers<arrow::Int32Type>(*part, to);
      break;
    case arrow::Type::UINT32:
      append_numbers<arrow::UInt32Type>(*part, to);
      break;
    case arrow::Type::INT64:
      append_numbers<arrow::Int64Type>(*part, to);
      break;
    case arrow::Type::UINT64:
      append_numbers<arrow::UInt64Type>(*part, to);
      break;
    default:
      return arrow::Status::TypeError("the column holds lists of ", part->type()->ToString(), ", not of whole numbers");
  }
  return arrow::Status::OK();
}

template <class ArrayType>
arrow::Status give_lists(const arrow::Array& array, ArrowSink rows) {
  const auto& lists = static_cast<const ArrayType&>(array);
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < lists.length(); ++i) {
    if (lists.IsNull(i)) {
      rows.take(rows.context, nullptr, 0);
      continue;
    }
    ARROW_RETURN_NOT_OK(numbers_of(*lists.values(), lists.value_offset(i), lists.value_length(i), numbers));
    const char* bytes = numbers.empty() ? "" : reinterpret_cast<const char*>(numbers.data());
    rows.take(rows.context, bytes, static_cast<int64_t>(numbers.size() * sizeof(int64_t)));
  }
  return arrow::Status::OK();
}

template <class ArrayType>
void give_values(const arrow::Array& array, ArrowSink rows) {
  const auto& typed = static_cast<const ArrayType&>(array);
  for (int64_t i = 0; i < typed.length(); ++i) {
    if (typed.IsNull(i)) {
      rows.take(rows.context, nullptr, 0);
    } else {
      std::string_view value = typed.GetView(i);
      const char* data = value.data() == nullptr ? "" : value.data();  // null means a null value
      rows.take(rows.context, data, static_cast<int64_t>(value.size()));
    }
  }
}

arrow::Status give_rows(const arrow::Array& array, ArrowSink rows) {
  switch (array.type_id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      give_values<arrow::BinaryArray>(array, rows);
      return arrow::Status::OK();
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      give_values<arrow::LargeBinaryArray>(array, rows);
      return arrow::Status::OK();
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW:
      give_values<arrow::BinaryViewArray>(array, rows);
      return arrow::Status::OK();
    case arrow::Type::LIST:
      return give_lists<arrow::ListArray>(array, rows);
    case arrow::Type::LARGE_LIST:
      return give_lists<arrow::LargeListArray>(array, rows);
    case arrow::Type::FIXED_SIZE_LIST:
      return give_lists<arrow::FixedSizeListArray>(array, rows);
    case arrow::Type::EXTENSION:
      return give_rows(*static_cast<const arrow::ExtensionArray&>(array).storage(), rows);
    case arrow::Type::DICTIONARY: {
      const auto& typed = static_cast<const arrow::DictionaryArray&>(array);
      for (int64_t i = 0; i < typed.length(); ++i) {
        if (typed.IsNull(i)) {
          rows.take(rows.context, nullptr, 0);
        } else {
          ARROW_RETURN_NOT_OK(give_rows(*typed.dictionary()->Slice(typed.GetValueIndex(i), 1), rows));
        }
      }
      return arrow::Status::OK();
    }
    default:
      return arrow::Status::TypeError("the column holds ", array.type()->ToString(), ", not text");
  }
}

struct OpenParquet {
  std::string path;
  std::unique_ptr<parquet::arrow::FileReader> reader;
};

OpenParquet& opened(void* handle) { return *static_cast<OpenParquet*>(handle); }

void add_leaves(const parquet::arrow::SchemaField& field, std::vector<int>& to) {
  if (field.is_leaf()) to.push_back(field.column_index);
  for (const parquet::arrow::SchemaField& child : field.children) add_leaves(child, to);
}

// Indices among the file's leaves of those that make a top-level column.
std::vector<int> leaves_of(parquet::arrow::FileReader& reader, int32_t column) {
  std::vector<int> out;
  add_leaves(reader.manifest().schema_fields[static_cast<size_t>(column)], out);
  return out;
}

}  // namespace

int parquet_open(const char* path, void** handle, ArrowEntrySink columns, ArrowSink error) {
  return guarded(path, error, [&]() -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::io::RandomAccessFile> file, open_file(path));
    parquet::arrow::FileReaderBuilder builder;
    parquet::ReaderProperties pages;
    pages.set_page_checksum_verification(true);
    ARROW_RETURN_NOT_OK(builder.Open(file, pages));
    parquet::ArrowReaderProperties properties;
    properties.set_use_threads(false);  // one column of one row group at a time
    builder.properties(properties);
    ARROW_ASSIGN_OR_RAISE(std::unique_ptr<parquet::arrow::FileReader> reader, builder.Build());
    for (const parquet::arrow::SchemaField& field : reader->manifest().schema_fields) {
      columns.take(columns.context, field.field->name().c_str(), kind_of(field), 0);
    }
    *handle = new OpenParquet{path, std::move(reader)};
    return arrow::Status::OK();
  });
}

void parquet_close(void* handle) { delete static_cast<OpenParquet*>(handle); }

int parquet_layout(void* handle, int32_t column, ArrowEntrySink groups, ArrowSink error) {
  return guarded(opened(handle).path, error, [&]() -> arrow::Status {
    parquet::arrow::FileReader& reader = *opened(handle).reader;
    std::shared_ptr<parquet::FileMetaData> metadata = reader.parquet_reader()->metadata();
    for (int group = 0; group < metadata->num_row_groups(); ++group) {
      std::unique_ptr<parquet::RowGroupMetaData> row_group = metadata->RowGroup(group);
      // A footer may say anything: what is too much, or less than nothing, stays so in the sum.
      constexpr int64_t kMost = int64_t{1} << 50;
      int64_t bytes = 0;
      for (const int leaf : leaves_of(reader, column)) {
        const int64_t more = row_group->ColumnChunk(leaf)->total_uncompressed_size();
        bytes = more < 0 || bytes < 0 ? -1 : std::min(kMost, bytes + std::min(kMost, more));
      }
      groups.take(groups.context, "", row_group->num_rows(), bytes);
    }
    return arrow::Status::OK();
  });
}

int parquet_read(void* handle, int32_t column, int32_t group, ArrowSink rows, ArrowSink error) {
  return guarded(opened(handle).path, error, [&]() -> arrow::Status {
    parquet::arrow::FileReader& reader = *opened(handle).reader;
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Table> table, reader.ReadRowGroup(group, leaves_of(reader, column)));
    const arrow::DataType* items = items_of(*table->column(0)->type());
    const bool records = items != nullptr && items->id() == arrow::Type::STRUCT;
    for (const std::shared_ptr<arrow::Array>& chunk : table->column(0)->chunks()) {
      ARROW_RETURN_NOT_OK(records ? give_json(*chunk, rows) : give_rows(*chunk, rows));
    }
    return arrow::Status::OK();
  });
}

int parquet_read_json(void* handle, int32_t column, int32_t group, ArrowSink rows, ArrowSink error) {
  return guarded(opened(handle).path, error, [&]() -> arrow::Status {
    parquet::arrow::FileReader& reader = *opened(handle).reader;
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Table> table, reader.ReadRowGroup(group, leaves_of(reader, column)));
    for (const std::shared_ptr<arrow::Array>& chunk : table->column(0)->chunks()) {
      ARROW_RETURN_NOT_OK(give_json(*chunk, rows));
    }
    return arrow::Status::OK();
  });
}

}  // namespace fathom
