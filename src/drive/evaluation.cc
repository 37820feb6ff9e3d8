#include "drive/evaluation.h"

#include "base/stopwatch.h"
#include "mesh/batch_sizes.h"

namespace fathom {

Evaluation::Evaluation(const Session& session, const Config& config, const StateSpec& spec, BatchStream& data,
                       const RowShare& share)
    : session_(session), config_(config), data_(data), share_(share), program_(session.compile([&] {
        const int64_t rows = resolve_batch(config, session.mesh().devices()).eval;
        return eval_step(config, spec, {rows, config.max_target_length});
      })) {}

bool Evaluation::due(int64_t step) const {
  return step >= config_.eval_start_step && (step + 1) % config_.eval_interval == 0;
}

bool Evaluation::reached(const EvalMetrics& metrics) const {
  return config_.target_eval_loss > 0 && metrics.mean("lm_loss") <= config_.target_eval_loss;
}

EvalMetrics Evaluation::run(State& state) {
  const Stopwatch watch;
  const bool alone = share_.count == 1;
  data_.restore({});
  EvalMetrics m;
  for (;;) {
    // Where the data of one process ends before that of the others, it gives padding until no process has a target
    // left: a step needs the devices of all.
    std::optional<Batch> batch = data_.next();
    if (!batch && alone) break;
    NamedArrays inputs = upload_batch(session_.assignment(), program_.signature,
                                      batch ? *batch : Batch::padding(share_.rows, config_.max_target_length), share_);
    NamedArrays out = run_on(session_, program_, state, inputs);
    const auto counts = named_counts(program_.signature, "counts", out.at("counts").to_host());
    if (counts.at("targets") == 0 && !alone) break;
    for (const auto& [name, count] : counts) m.counts[name] += count;
    ++m.batches;
    for (const auto& [name, sum] : named_scalars(program_.signature, "sums", out.at("sums").to_host())) {
      m.sums[name] += static_cast<double>(sum);
    }
  }
  m.seconds = watch.seconds();
  return m;
}

}  // namespace fathom
