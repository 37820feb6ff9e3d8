#include "metrics/metrics_writer.h"

#include <algorithm>

namespace fathom {

namespace {

constexpr const char* kRecords = "/metrics.jsonl";
constexpr const char* kLoads = "/expert_load.jsonl";

RecordFile::Options record_file(std::string key, std::string path, std::string shown,
                                const MetricsWriterOptions& options) {
  return {.key = std::move(key),
          .path = std::move(path),
          .first_step = options.first_step,
          .overwrite = options.overwrite,
          .own = options.own,
          .shown = std::move(shown)};
}

// A file of the run's folder.
RecordFile::Options own_file(const char* name, const MetricsWriterOptions& options) {
  return record_file("run_name", options.folder + name, options.shown_folder.empty() ? "" : options.shown_folder + name,
                     options);
}

RecordFile::Options load_file(const MetricsWriterOptions& options) {
  RecordFile::Options out = own_file(kLoads, options);
  out.every_step = false;
  return out;
}

}  // namespace

MetricsWriter::MetricsWriter(const MetricsWriterOptions& options)
    : options_(options), records_(own_file(kRecords, options)), loads_(load_file(options)) {
  if (!options.copy.empty()) copy_.emplace(record_file("metrics_file", options.copy, options.shown_copy, options));
}

void MetricsWriter::go_on(int64_t first_step) {
  options_.first_step = first_step;
  records_.go_on(first_step);
  loads_.go_on(first_step);
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
  if (metrics.load.layers() > 0 && metrics.step % options_.load_steps == 0) write_load(metrics.step, metrics.load);
  if (++unflushed_steps_ >= std::max<int64_t>(options_.tensorboard_flush_steps, 1) || eval != nullptr) flush();
}

void MetricsWriter::write_load(int64_t step, const ExpertLoad& load) {
  loads_.append(load_lines(step, load));
  if (!options_.tensorboard) return;
  for (int64_t i = 0; i < load.layers(); ++i) {
    tensorboard().counts(step, fmt::format("expert_load/layer_{}", load.first_layer + i), load.of_layer(i));
  }
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
