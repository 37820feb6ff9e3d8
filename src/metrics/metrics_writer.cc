#include "metrics/metrics_writer.h"

#include <algorithm>

namespace fathom {

namespace {

constexpr const char* kRecords = "/metrics.jsonl";

RecordFile::Options record_file(std::string key, std::string path, std::string shown,
                                const MetricsWriterOptions& options) {
  return {std::move(key), std::move(path), options.first_step, options.overwrite, options.own, std::move(shown)};
}

}  // namespace

MetricsWriter::MetricsWriter(const MetricsWriterOptions& options)
    : options_(options),
      records_(record_file("run_name", options.folder + kRecords,
                           options.shown_folder.empty() ? "" : options.shown_folder + kRecords, options)) {
  if (!options.copy.empty()) copy_.emplace(record_file("metrics_file", options.copy, options.shown_copy, options));
}

void MetricsWriter::go_on(int64_t first_step) {
  options_.first_step = first_step;
  records_.go_on(first_step);
  if (copy_) copy_->go_on(first_step);
}

TensorBoardWriter& MetricsWriter::tensorboard() {
  if (!tensorboard_) {
    tensorboard_ = std::make_unique<TensorBoardWriter>(options_.folder + "/tensorboard", options_.first_step);
  }
  return *tensorboard_;
}

void MetricsWriter::write(const StepMetrics& metrics, const EvalMetrics* eval) {
  std::vector<Scalar> values = scalars(metrics);
  if (eval != nullptr) {
    for (const Scalar& scalar : scalars(*eval)) values.push_back(scalar);
  }
  std::string line = fmt::format(R"({{"step": {})", metrics.step);
  for (const Scalar& scalar : values) line += fmt::format(R"(, "{}": {})", scalar.name, json_number(scalar.value));
  line += "}\n";
  records_.append(line);
  if (copy_) copy_->append(line);

  if (options_.tensorboard) tensorboard().scalars(metrics.step, values);
  if (++unflushed_steps_ >= std::max<int64_t>(options_.tensorboard_flush_steps, 1) || eval != nullptr) flush();
}

void MetricsWriter::write_text(std::string_view tag, std::string_view text) {
  if (options_.tensorboard) tensorboard().text(options_.first_step, tag, text);
}

void MetricsWriter::flush() {
  if (tensorboard_) tensorboard_->flush();
  unflushed_steps_ = 0;
  if (options_.flushed) options_.flushed();
}

}  // namespace fathom
