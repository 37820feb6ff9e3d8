#include "storage/arrow_module.h"

#include <dlfcn.h>

#include <atomic>
#include <filesystem>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/waiting.h"
#include "storage/arrow_abi.h"

namespace fathom {

namespace {

std::atomic<bool> loaded{false};

const ArrowAbi* load_module() {
  namespace fs = std::filesystem;
  const char* name = "libfathom_arrow.so";
  fs::path program = fs::read_symlink("/proc/self/exe").parent_path();
  // The program stands in <build>, its tests in <build>/bin, an installed one in <prefix>/bin.
  fs::path candidates[] = {program / "lib" / name, program.parent_path() / "lib" / name};
  for (const fs::path& path : candidates) {
    if (!fs::exists(path)) continue;
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw RuntimeFault(path.string() + ": cannot be loaded: " + dlerror());
    auto get = reinterpret_cast<decltype(&fathom_arrow_abi)>(dlsym(library, "fathom_arrow_abi"));
    const ArrowAbi* abi = get == nullptr ? nullptr : get();
    if (abi == nullptr || abi->version != kArrowAbiVersion) {
      throw RuntimeFault(path.string() + ": is of another version than the program; run `./run build`");
    }
    loaded = true;
    return abi;
  }
  throw RuntimeFault(std::string("parquet, gs:// and s3:// need ") + name + ", which is neither at " +
                     candidates[0].string() + " nor at " + candidates[1].string() + "; run `./run build`");
}

struct ParquetColumn {
  std::string name;
  int64_t kind = kArrowOther;
};

// Appends what a sink takes to a string.
ArrowSink into(std::string& text) {
  return {&text, [](void* context, const char* data, int64_t size) {
            static_cast<std::string*>(context)->append(data, static_cast<size_t>(size));
          }};
}

// One object that is being read.
class ObjectReader final : public FileReader {
 public:
  ObjectReader(const ArrowAbi& abi, std::string uri) : abi_(abi), uri_(std::move(uri)) {
    Waiting waiting("waiting for " + uri_);
    std::string error;
    if (abi_.open(uri_.c_str(), &handle_, &size_, into(error)) != 0) throw FormatError(uri_, error);
  }
  ~ObjectReader() override { abi_.close(handle_); }
  ObjectReader(const ObjectReader&) = delete;
  ObjectReader& operator=(const ObjectReader&) = delete;

  int64_t size() const override { return size_; }
  void read(int64_t offset, std::span<std::byte> out) const override {
    std::string error;
    char* data = reinterpret_cast<char*>(out.data());
    if (abi_.read(handle_, offset, static_cast<int64_t>(out.size()), data, into(error)) != 0) {
      throw FormatError(uri_, offset, error);
    }
  }

 private:
  const ArrowAbi& abi_;
  std::string uri_;
  void* handle_ = nullptr;
  int64_t size_ = 0;
};

// One object that is being written.
class ObjectUpload final : public FileUpload {
 public:
  ObjectUpload(const ArrowAbi& abi, std::string uri) : abi_(abi), uri_(std::move(uri)) {
    Waiting waiting("waiting for " + uri_);
    std::string error;
    if (abi_.upload_begin(uri_.c_str(), &handle_, into(error)) != 0) fail(error);
  }
  ~ObjectUpload() override { abi_.upload_close(handle_); }
  ObjectUpload(const ObjectUpload&) = delete;
  ObjectUpload& operator=(const ObjectUpload&) = delete;

  void append(std::string_view bytes) override {
    std::string error;
    if (abi_.upload_append(handle_, bytes.data(), static_cast<int64_t>(bytes.size()), into(error)) != 0) fail(error);
  }
  void finish() override {
    std::string error;
    if (abi_.upload_finish(handle_, into(error)) != 0) fail(error);
  }

 private:
  [[noreturn]] void fail(const std::string& why) const { throw RuntimeFault(uri_ + ": cannot write: " + why); }

  const ArrowAbi& abi_;
  std::string uri_;
  void* handle_ = nullptr;
};

}  // namespace

bool arrow_module_loaded() { return loaded; }

const ArrowModule& arrow_module() {
  static const ArrowModule module(load_module());
  return module;
}

PathKind ArrowModule::kind(const std::string& uri, int64_t* size) const {
  Waiting waiting("waiting for " + uri);
  std::string error;
  int32_t kind = kArrowAbsent;
  int64_t bytes = 0;
  if (abi_->stat(uri.c_str(), &kind, &bytes, into(error)) != 0) throw FormatError(uri, error);
  if (size != nullptr) *size = bytes;
  if (kind == kArrowAbsent) return PathKind::kAbsent;
  return kind == kArrowFolder ? PathKind::kFolder : PathKind::kFile;
}

std::unique_ptr<const FileReader> ArrowModule::open(const std::string& uri) const {
  return std::make_unique<ObjectReader>(*abi_, uri);
}

std::vector<FolderEntry> ArrowModule::list(const std::string& uri) const {
  Waiting waiting("waiting for " + uri);
  std::string error;
  std::vector<FolderEntry> entries;
  ArrowEntrySink sink{&entries, [](void* context, const char* name, int64_t size, int64_t written) {
                        static_cast<std::vector<FolderEntry>*>(context)->push_back(
                            {name, size, written < 0, std::max<int64_t>(written, 0)});
                      }};
  if (abi_->list(uri.c_str(), sink, into(error)) != 0) throw FormatError(uri, error);
  return entries;
}

std::unique_ptr<FileUpload> ArrowModule::upload(const std::string& uri) const {
  return std::make_unique<ObjectUpload>(*abi_, uri);
}

void ArrowModule::remove(const std::string& uri) const {
  Waiting waiting("removing " + uri);
  std::string error;
  if (abi_->remove(uri.c_str(), into(error)) != 0) throw RuntimeFault(uri + ": cannot remove: " + error);
}

ParquetFile::ParquetFile(std::string path, std::string column, ColumnKind kind)
    : path_(std::move(path)), column_name_(std::move(column)), kind_(kind) {
  try {
    open();
  } catch (...) {
    if (handle_ != nullptr) arrow_module().abi().parquet_close(handle_);
    throw;
  }
}

ParquetFile::~ParquetFile() { arrow_module().abi().parquet_close(handle_); }

namespace {

// What is wrong with a column of kind `held`; empty for nothing. Behind "column 'x' ".
std::string kind_mistake(ColumnKind wanted, int64_t held) {
  switch (wanted) {
    case ColumnKind::kText:
      if (held == kArrowText) return "";
      return std::string("does not hold text") + (held == kArrowNumbers
                                                      ? " but lists of numbers: tokenize_train_data=False "
                                                        "(tokenize_eval_data) takes them as token ids"
                                                      : "");
    case ColumnKind::kNumbers:
      if (held == kArrowNumbers) return "";
      return std::string("does not hold lists of token ids") +
             (held == kArrowText ? " but text: leave tokenize_train_data=False away" : "");
    case ColumnKind::kRecords:
      if (held == kArrowRecords) return "";
      return std::string("does not hold lists of {role, content}") + (held == kArrowText ? " but text" : "");
    case ColumnKind::kJson:
      return "";
  }
  throw RuntimeFault("a column of a kind without a reader");
}

}  // namespace

void ParquetFile::open() {
  const ArrowAbi& abi = arrow_module().abi();
  std::string error;
  std::vector<ParquetColumn> columns;
  ArrowEntrySink column_sink{&columns, [](void* context, const char* name, int64_t kind, int64_t) {
                               static_cast<std::vector<ParquetColumn>*>(context)->push_back({name, kind});
                             }};
  if (abi.parquet_open(path_.c_str(), &handle_, column_sink, into(error)) != 0) throw FormatError(path_, error);
  std::string names;
  for (size_t i = 0; i < columns.size(); ++i) {
    names += (names.empty() ? "" : ", ") + columns[i].name;
    if (columns[i].name == column_name_) column_ = static_cast<int32_t>(i);
  }
  if (column_ < 0) {
    const bool named_by_key = kind_ != ColumnKind::kJson;
    throw FormatError(
        path_, "no column '" + column_name_ + "'; the columns are: " + names +
                   (named_by_key ? " (train_data_columns or eval_data_columns names the one that is read)" : ""));
  }
  const std::string mistake = kind_mistake(kind_, columns[static_cast<size_t>(column_)].kind);
  if (!mistake.empty()) throw FormatError(path_, "column '" + column_name_ + "' " + mistake);
  ArrowEntrySink group_sink{&groups_, [](void* context, const char*, int64_t rows, int64_t bytes) {
                              static_cast<std::vector<RowGroup>*>(context)->push_back({rows, bytes});
                            }};
  if (abi.parquet_layout(handle_, column_, group_sink, into(error)) != 0) throw FormatError(path_, error);
  check_layout();
}

// A footer may say anything, and sizes are added up and reserved.
void ParquetFile::check_layout() const {
  constexpr int64_t kMost = int64_t{1} << 47;
  int64_t rows = 0;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const RowGroup& group = groups_[i];
    if (group.rows < 0 || group.bytes < 0 || group.rows > kMost - rows || group.bytes > kMost) {
      throw FormatError(path_, "the footer gives row group " + std::to_string(i) + " " + std::to_string(group.rows) +
                                   " rows and " + std::to_string(group.bytes) + " bytes");
    }
    rows += group.rows;
  }
}

TextColumn ParquetFile::read(int64_t group) const {
  // What is reserved at once: the footer is believed no further.
  constexpr int64_t kReservedBytes = int64_t{256} << 20;
  constexpr int64_t kReservedRows = int64_t{4} << 20;
  TextColumn column;
  size_t index = static_cast<size_t>(group);
  column.text.reserve(static_cast<size_t>(std::min(groups_[index].bytes, kReservedBytes)));
  column.ends.reserve(static_cast<size_t>(std::min(groups_[index].rows, kReservedRows)));
  ArrowSink sink{&column, [](void* context, const char* data, int64_t size) {
                   TextColumn& into = *static_cast<TextColumn*>(context);
                   if (data == nullptr) into.nulls.push_back(into.rows());
                   if (data != nullptr) into.text.append(data, static_cast<size_t>(size));
                   into.ends.push_back(static_cast<int64_t>(into.text.size()));
                 }};
  std::string error;
  const ArrowAbi& abi = arrow_module().abi();
  const auto read = kind_ == ColumnKind::kJson ? abi.parquet_read_json : abi.parquet_read;
  if (read(handle_, column_, static_cast<int32_t>(group), sink, into(error)) != 0) {
    throw FormatError(path_, error);
  }
  if (column.rows() != groups_[index].rows) {
    throw FormatError(path_, "row group " + std::to_string(group) + " holds " + std::to_string(column.rows()) +
                                 " rows where the footer says " + std::to_string(groups_[index].rows));
  }
  return column;
}

}  // namespace fathom
