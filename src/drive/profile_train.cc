#include "drive/profile_train.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <memory>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "kernels/ffi/handlers.h"
#include "profile/report.h"
#include "program/product.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

constexpr int64_t kSize = 2048;
constexpr int kTries = 10;

double seconds(const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); }

double cpu_seconds() {
  rusage now{};
  getrusage(RUSAGE_SELF, &now);
  return seconds(now.ru_utime) + seconds(now.ru_stime);
}

// FLOP of one large product for a second of CPU time: what other programs do on the machine changes it little.
double product_rate(const std::shared_ptr<const Client>& client) {
  Executable dot = Executable::compile(client, emit(square_product(kSize)), {});
  HostArray matrix = HostArray::allocate(DType::kF32, {kSize, kSize});
  std::ranges::fill(matrix.mutable_view<float>(), 0.5F);
  const Device& device = *client->addressable_devices()[0];
  Buffer a = Buffer::from_host(client, matrix, device);
  Buffer b = Buffer::from_host(client, matrix, device);
  dot.execute({&a, &b}).done.await();  // the first takes its memory
  double before = cpu_seconds();
  for (int i = 0; i < kTries; ++i) dot.execute({&a, &b}).done.await();
  return kTries * 2.0 * kSize * kSize * kSize / (cpu_seconds() - before);
}

std::vector<std::string> names(const std::vector<ProgramOp>& ops) {
  std::vector<std::string> out;
  for (const ProgramOp& op : ops) out.push_back(op.name);
  return out;
}

}  // namespace

struct StepProfiler::Usage {
  Clock::time_point wall = Clock::now();
  double user = 0, system = 0;  // CPU seconds of all threads
  int64_t page_faults = 0;
};

StepProfiler::Usage StepProfiler::usage() {
  rusage now{};
  getrusage(RUSAGE_SELF, &now);
  return {.user = seconds(now.ru_utime), .system = seconds(now.ru_stime), .page_faults = now.ru_minflt};
}

StepProfiler::StepProfiler(const Trainer& trainer) : client_(trainer.session().client()) {
  if (trainer.session().target().hardware != Hardware::kCpu) {
    throw ConfigError("hardware: only training on the CPU can be profiled here; use hardware=cpu");
  }
  flops_limit_ = product_rate(client_);
  HloModule module = parse_hlo_module(trainer.step_program().executable.program().optimized_program());
  module_ = module.name;
  ops_ = program_ops(module);
}

StepProfiler::~StepProfiler() = default;

void StepProfiler::begin() {
  thunks_ = std::make_unique<ThunkMap>(client_->plugin().path(), module_, names(ops_));
  sampler_ = std::make_unique<Sampler>(SamplerOptions{.marks = thunks_->addresses()});
  sampler_->start();
  set_call_probe(&Sampler::call_under_way);
  before_ = std::make_unique<Usage>(usage());
}

Profile StepProfiler::end(int64_t steps) {
  sampler_->stop();
  set_call_probe(nullptr);
  Usage after = usage();
  double system = after.system - before_->system;
  Measured measured = {.steps = steps,
                       .wall_seconds = seconds_between(before_->wall, after.wall),
                       .cpu_seconds = after.user - before_->user + system,
                       .kernel_seconds = system,
                       .page_faults = after.page_faults - before_->page_faults,
                       .lost = sampler_->lost(),
                       .cores = static_cast<int>(std::thread::hardware_concurrency()),
                       .flops_limit = flops_limit_};
  Profile profile = make_profile(measured, sampler_->samples(), *thunks_, ops_);
  sampler_.reset();
  return profile;
}

Profile profile_train(Trainer& trainer, int64_t warm_up) {
  StepProfiler profiler(trainer);
  TrainOutcome outcome = trainer.run({{warm_up, [&] { profiler.begin(); }}});
  if (outcome.steps <= warm_up) {
    throw ConfigError(fmt::format("profile: training ended after {} steps, before any was sampled", outcome.steps));
  }
  return profiler.end(outcome.steps - warm_up);
}

TrainOutcome run_with_profiler(Trainer& trainer, const Config& config) {
  if (config.profiler.empty() || trainer.first_step() >= config.steps) return trainer.run();
  if (config.hardware != Hardware::kCpu) {
    log_warning("profiler={} has no effect: only training on the CPU is profiled", config.profiler);
    return trainer.run();
  }
  StepProfiler profiler(trainer);
  int64_t first = trainer.first_step() + config.skip_first_n_steps_for_profiler;
  auto write = [&](int64_t steps) {
    Profile profile = profiler.end(steps);
    const FileStore& store = file_store(config.run_directory);
    store.write_atomically(config.run_directory + "/profile.txt", profile_text(profile));
    store.write_atomically(config.run_directory + "/profile.json", profile_json(profile));
    log_info("profile of {} steps from step {} on: {}/profile.txt", steps, first, config.run_directory);
  };
  TrainOutcome outcome = trainer.run(
      {{first, [&] { profiler.begin(); }}, {first + config.profiler_steps, [&] { write(config.profiler_steps); }}});
  if (profiler.running() && outcome.steps > first) write(outcome.steps - first);
  return outcome;
}

}  // namespace fathom
