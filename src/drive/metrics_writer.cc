#include "drive/metrics_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"

namespace fathom {
namespace {

int64_t step_of(const std::string& path, size_t offset, std::string_view line) {
  nlohmann::json record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (record.is_object() && record.contains("step") && record["step"].is_number_integer()) {
    return record["step"].get<int64_t>();
  }
  throw FormatError(path, static_cast<int64_t>(offset),
                    "not a line of metrics with an integer \"step\"; move the file away, or give the run another name");
}

// How many bytes of the file are records of steps before `first_step`. Records stand in the order of their steps, so
// the others are a tail; a line that was cut off in writing is one of them.
int64_t bytes_to_keep(const std::string& path, int64_t first_step) {
  auto file = MappedFile::open(path);
  std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  size_t end = text.rfind('\n') + 1;  // npos + 1 is 0
  while (first_step > 0 && end > 0) {
    size_t begin = end == 1 ? 0 : text.rfind('\n', end - 2) + 1;
    if (step_of(path, begin, text.substr(begin, end - begin)) < first_step) return static_cast<int64_t>(end);
    end = begin;
  }
  return 0;
}

}  // namespace

MetricsWriter::MetricsWriter(const MetricsWriterOptions& options)
    : path_(options.folder + "/metrics.jsonl"),
      first_step_(options.first_step),
      flush_steps_(std::max<int64_t>(options.tensorboard_flush_steps, 1)) {
  std::error_code fault;
  std::filesystem::create_directories(options.folder, fault);
  if (fault) throw RuntimeFault(options.folder + ": cannot make the folder: " + fault.message());
  int64_t keep = std::filesystem::exists(path_) ? bytes_to_keep(path_, options.first_step) : 0;
  if (options.tensorboard) {
    tensorboard_ = std::make_unique<TensorBoardWriter>(options.folder + "/tensorboard", options.first_step);
  }
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0 || ::ftruncate(descriptor_, keep) != 0) {
    int reason = errno;
    if (descriptor_ >= 0) ::close(descriptor_);
    throw RuntimeFault(path_ + ": cannot write: " + std::strerror(reason));
  }
}

MetricsWriter::~MetricsWriter() { ::close(descriptor_); }

void MetricsWriter::write(const StepMetrics& metrics, const EvalMetrics* eval) {
  std::vector<Scalar> values = scalars(metrics);
  if (eval != nullptr) {
    for (const Scalar& scalar : scalars(*eval)) values.push_back(scalar);
  }
  std::string line = fmt::format(R"({{"step": {})", metrics.step);
  for (const Scalar& scalar : values) line += fmt::format(R"(, "{}": {})", scalar.name, json_number(scalar.value));
  line += "}\n";
  // One write, so that a reader (or a kill) sees whole lines; a short one happens only when the disk is full.
  ssize_t written = ::write(descriptor_, line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size())) {
    throw RuntimeFault(path_ + ": cannot write: " + (written < 0 ? std::strerror(errno) : "the disk is full"));
  }

  if (!tensorboard_) return;
  tensorboard_->scalars(metrics.step, values);
  if (++unflushed_steps_ >= flush_steps_ || eval != nullptr) flush();
}

void MetricsWriter::write_text(std::string_view tag, std::string_view text) {
  if (tensorboard_) tensorboard_->text(first_step_, tag, text);
}

void MetricsWriter::flush() {
  if (tensorboard_) tensorboard_->flush();
  unflushed_steps_ = 0;
}

}  // namespace fathom
