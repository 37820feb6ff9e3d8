#include "drive/profile_train.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <memory>
#include <thread>

#include "base/error.h"

namespace fathom {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kSize = 2048;
constexpr int kTries = 10;
constexpr std::string_view kDot = R"(module @dot {
func.func public @main(%arg0: tensor<2048x2048xf32>, %arg1: tensor<2048x2048xf32>) -> tensor<2048x2048xf32> {
%0 = "stablehlo.dot_general"(%arg0, %arg1) {dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>} : (tensor<2048x2048xf32>, tensor<2048x2048xf32>) -> tensor<2048x2048xf32>
"func.return"(%0) : (tensor<2048x2048xf32>) -> ()
}
}
)";

// FLOP/s of one large product, the best of a few.
double product_rate(const std::shared_ptr<const Client>& client) {
  Executable dot = Executable::compile(client, kDot, {});
  HostArray matrix = HostArray::allocate(DType::kF32, {kSize, kSize});
  std::ranges::fill(matrix.mutable_view<float>(), 0.5F);
  const Device& device = *client->addressable_devices()[0];
  Buffer a = Buffer::from_host(client, matrix, device);
  Buffer b = Buffer::from_host(client, matrix, device);
  double best = 0;
  for (int i = 0; i < kTries; ++i) {
    Clock::time_point start = Clock::now();
    dot.execute({&a, &b}).done.await();
    double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, 2.0 * kSize * kSize * kSize / seconds);
  }
  return best;
}

struct Usage {
  Clock::time_point wall = Clock::now();
  double user = 0, system = 0;  // CPU seconds of all threads
  int64_t page_faults = 0;
};

Usage usage() {
  rusage now{};
  getrusage(RUSAGE_SELF, &now);
  auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  return {.user = seconds(now.ru_utime), .system = seconds(now.ru_stime), .page_faults = now.ru_minflt};
}

Measured between(const Usage& before, const Usage& after, int64_t steps) {
  double system = after.system - before.system;
  return {.steps = steps,
          .wall_seconds = std::chrono::duration<double>(after.wall - before.wall).count(),
          .cpu_seconds = after.user - before.user + system,
          .kernel_seconds = system,
          .page_faults = after.page_faults - before.page_faults,
          .cores = static_cast<int>(std::thread::hardware_concurrency())};
}

std::vector<std::string> names(const std::vector<ProgramOp>& ops) {
  std::vector<std::string> out;
  for (const ProgramOp& op : ops) out.push_back(op.name);
  return out;
}

}  // namespace

Profile profile_train(Trainer& trainer, int64_t warm_up) {
  const std::shared_ptr<const Client>& client = trainer.session().client();
  if (trainer.session().target().platform != "cpu") {
    throw ConfigError("hardware: only training on the CPU can be profiled here; use hardware=cpu");
  }
  double limit = product_rate(client);
  HloModule module = parse_hlo_module(trainer.step_program().executable.program().optimized_program());
  std::vector<ProgramOp> ops = program_ops(module);
  std::unique_ptr<ThunkMap> thunks;
  std::unique_ptr<Sampler> sampler;
  Usage before;
  auto begin = [&] {
    thunks = std::make_unique<ThunkMap>(client->plugin().path(), module.name, names(ops));
    sampler = std::make_unique<Sampler>(SamplerOptions{.marks = thunks->addresses()});
    sampler->start();
    before = usage();
  };
  TrainOutcome outcome = trainer.run({{warm_up, begin}});
  if (sampler == nullptr || outcome.steps <= warm_up) {
    throw ConfigError(fmt::format("profile: training ended after {} steps, before any was sampled", outcome.steps));
  }
  sampler->stop();
  Measured measured = between(before, usage(), outcome.steps - warm_up);
  measured.limit_flops = limit;
  measured.lost = sampler->lost();
  return make_profile(measured, sampler->samples(), *thunks, std::move(ops));
}

}  // namespace fathom
