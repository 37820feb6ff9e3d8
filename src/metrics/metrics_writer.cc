#include "metrics/metrics_writer.h"

#include <algorithm>

namespace fathom {

MetricsWriter::MetricsWriter(const MetricsWriterOptions& options)
    : records_(options.folder + "/metrics.jsonl", options.first_step),
      first_step_(options.first_step),
      flush_steps_(std::max<int64_t>(options.tensorboard_flush_steps, 1)) {
  if (!options.copy.empty()) copy_.emplace(options.copy, options.first_step);
  if (options.tensorboard) {
    tensorboard_ = std::make_unique<TensorBoardWriter>(options.folder + "/tensorboard", options.first_step);
  }
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
