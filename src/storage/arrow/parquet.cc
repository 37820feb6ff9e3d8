#include <arrow/array.h>
#include <arrow/extension_type.h>
#include <arrow/io/file.h>
#include <arrow/table.h>
#include <arrow/type.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>

#include "storage/arrow/calls.h"

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

parquet::arrow::FileReader& reader_of(void* handle) { return *static_cast<parquet::arrow::FileReader*>(handle); }

// Index of a top-level column among the file's leaves.
int leaf_of(parquet::arrow::FileReader& reader, int32_t column) {
  return reader.manifest().schema_fields[static_cast<size_t>(column)].column_index;
}

}  // namespace

int parquet_open(const char* path, void** handle, ArrowEntrySink columns, ArrowSink error) {
  return guarded(error, [&]() -> arrow::Status {
    ARROW_ASSIGN_OR_RAISE(Location at, locate(path));
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::io::RandomAccessFile> file, at.store->OpenInputFile(at.path));
    parquet::arrow::FileReaderBuilder builder;
    parquet::ReaderProperties pages;
    pages.set_page_checksum_verification(true);
    ARROW_RETURN_NOT_OK(builder.Open(file, pages));
    parquet::ArrowReaderProperties properties;
    properties.set_use_threads(false);  // one column of one row group at a time
    builder.properties(properties);
    ARROW_ASSIGN_OR_RAISE(std::unique_ptr<parquet::arrow::FileReader> reader, builder.Build());
    for (const parquet::arrow::SchemaField& field : reader->manifest().schema_fields) {
      bool text = field.is_leaf() && is_text(*field.field->type());
      columns.take(columns.context, field.field->name().c_str(), text ? 1 : 0, 0);
    }
    *handle = reader.release();
    return arrow::Status::OK();
  });
}

void parquet_close(void* handle) { delete static_cast<parquet::arrow::FileReader*>(handle); }

int parquet_layout(void* handle, int32_t column, ArrowEntrySink groups, ArrowSink error) {
  return guarded(error, [&]() -> arrow::Status {
    parquet::arrow::FileReader& reader = reader_of(handle);
    std::shared_ptr<parquet::FileMetaData> metadata = reader.parquet_reader()->metadata();
    for (int group = 0; group < metadata->num_row_groups(); ++group) {
      std::unique_ptr<parquet::RowGroupMetaData> row_group = metadata->RowGroup(group);
      int64_t bytes = row_group->ColumnChunk(leaf_of(reader, column))->total_uncompressed_size();
      groups.take(groups.context, "", row_group->num_rows(), bytes);
    }
    return arrow::Status::OK();
  });
}

int parquet_read(void* handle, int32_t column, int32_t group, ArrowSink rows, ArrowSink error) {
  return guarded(error, [&]() -> arrow::Status {
    parquet::arrow::FileReader& reader = reader_of(handle);
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Table> table,
                          reader.ReadRowGroup(group, std::vector<int>{leaf_of(reader, column)}));
    for (const std::shared_ptr<arrow::Array>& chunk : table->column(0)->chunks()) {
      ARROW_RETURN_NOT_OK(give_rows(*chunk, rows));
    }
    return arrow::Status::OK();
  });
}

}  // namespace fathom
