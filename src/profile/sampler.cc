#include "profile/sampler.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <map>
#include <string>

#include "base/error.h"
#include "profile/memory_map.h"
#include "profile/unwind.h"

namespace fathom {
namespace {

constexpr size_t kHandlerStack = 65536;
constexpr int kMillisecondsToAnswer = 1000;

std::vector<int> thread_ids() {
  std::vector<int> out;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    out.push_back(std::stoi(entry.path().filename().string()));
  }
  return out;
}

// The clock of another thread's CPU time, as the kernel encodes it (CPUCLOCK_SCHED | CPUCLOCK_PERTHREAD).
clockid_t cpu_clock(int thread) { return static_cast<clockid_t>((~static_cast<unsigned>(thread) << 3U) | 6U); }

void* map_memory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw RuntimeFault("profiler: no memory for the samples");
  return memory;
}

// Where a thread's signal handler runs. Kept for good: the thread may use it after the sampler is gone.
void* handler_stack(int thread) {
  static std::map<int, void*> stacks;
  void*& stack = stacks[thread];
  if (stack == nullptr) stack = map_memory(kHandlerStack);
  return stack;
}

uint64_t register_of(const ucontext_t& context, int index) {
  return static_cast<uint64_t>(context.uc_mcontext.gregs[index]);
}

struct SampledThread {
  int id = 0;
  void* handler_stack = nullptr;
  std::atomic<uint64_t> stack_pointer{0};  // when it was introduced; 0 before
  StackRegion stack;
};

}  // namespace

// What the signal handler sees: everything is allocated before the first signal.
struct Sampler::Recorder {
  Recorder(size_t capacity, std::span<const uint64_t> marks)
      : search(marks), capacity(capacity), samples(static_cast<Sample*>(map_memory(capacity * sizeof(Sample)))) {}
  ~Recorder() { munmap(samples, capacity * sizeof(Sample)); }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  void introduce_threads();
  static void on_signal(int signal, siginfo_t* info, void* context);
  void handle(ucontext_t& context);
  SampledThread* thread(int id);

  StackSearch search;
  const size_t capacity;
  Sample* const samples;
  std::atomic<size_t> taken{0};
  std::vector<SampledThread> threads;  // by id

  static std::atomic<Recorder*> active;
};

std::atomic<Sampler::Recorder*> Sampler::Recorder::active{nullptr};

uint64_t Sampler::call_under_way() {
  const Recorder* recorder = Recorder::active.load(std::memory_order_acquire);
  std::array<uint64_t, 1> mark = {};
  if (recorder != nullptr) marks_of_callers(0, recorder->search.marks(), mark);
  return mark[0];
}

SampledThread* Sampler::Recorder::thread(int id) {
  auto found = std::lower_bound(threads.begin(), threads.end(), id,
                                [](const SampledThread& thread, int wanted) { return thread.id < wanted; });
  return found != threads.end() && found->id == id ? &*found : nullptr;
}

void Sampler::Recorder::on_signal(int, siginfo_t*, void* context) {
  int error = errno;
  if (Recorder* recorder = active.load(std::memory_order_acquire)) {
    recorder->handle(*static_cast<ucontext_t*>(context));
  }
  errno = error;
}

// Runs in a signal handler: no allocation, no lock.
void Sampler::Recorder::handle(ucontext_t& context) {
  SampledThread* self = thread(static_cast<int>(syscall(SYS_gettid)));
  if (self == nullptr) return;
  uint64_t stack_pointer = register_of(context, REG_RSP);
  if (self->stack_pointer == 0) {
    // What is set here becomes the thread's alternate stack when the handler returns.
    if ((context.uc_stack.ss_flags & SS_DISABLE) != 0) {
      context.uc_stack = {.ss_sp = self->handler_stack, .ss_flags = 0, .ss_size = kHandlerStack};
    }
    self->stack_pointer = stack_pointer;
    return;
  }
  size_t slot = taken.fetch_add(1);
  if (slot >= capacity) return;
  // Not by unwinding: libgcc takes a lock for it, which the interrupted code may hold.
  samples[slot] = {
      .pc = register_of(context, REG_RIP), .thread = self->id, .marks = search.find(stack_pointer, self->stack)};
}

// Every thread gets one signal while it waits: its handler notes where the stack is and gives the thread another stack
// for later handlers. They must not run on the thread's own: oneDNN's sgemm lets the stack pointer point into a buffer
// from malloc, and what the kernel puts below it for a handler would overwrite malloc's own words.
void Sampler::Recorder::introduce_threads() {
  std::vector<int> ids = thread_ids();
  std::sort(ids.begin(), ids.end());
  threads = std::vector<SampledThread>(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    threads[i].id = ids[i];
    threads[i].handler_stack = handler_stack(ids[i]);
  }
  active.store(this, std::memory_order_release);
  for (int id : ids) syscall(SYS_tgkill, getpid(), id, SIGPROF);
  auto waiting = [](const SampledThread& t) { return t.stack_pointer == 0; };
  for (int i = 0; i < kMillisecondsToAnswer && std::any_of(threads.begin(), threads.end(), waiting); ++i) usleep(1000);
  std::vector<MemoryRegion> map = memory_map();
  std::vector<StackRegion> stacks;
  for (SampledThread& t : threads) {
    const MemoryRegion* region = region_of(map, t.stack_pointer);
    if (region == nullptr) continue;
    t.stack = {region->begin, region->end};
    stacks.push_back(t.stack);
  }
  search.set_stacks(std::move(stacks));
}

Sampler::Sampler(const SamplerOptions& options)
    : recorder_(std::make_unique<Recorder>(options.max_samples, options.marks)), interval_us_(options.interval_us) {}

Sampler::~Sampler() { stop(); }

void Sampler::start() {
  if (Recorder::active.load() != nullptr) throw RuntimeFault("profiler: another one is running");
  // Stays installed: a signal may still be under way when the timers are gone.
  struct sigaction action {};
  action.sa_sigaction = Recorder::on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigaction(SIGPROF, &action, nullptr);
  recorder_->introduce_threads();
  for (const SampledThread& thread : recorder_->threads) {
    if (thread.stack.end != 0) add_timer(thread.id);
  }
}

void Sampler::add_timer(int thread) {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGPROF;
  event._sigev_un._tid = thread;
  timer_t timer{};
  if (timer_create(cpu_clock(thread), &event, &timer) != 0) {
    if (errno == EINVAL || errno == ESRCH) return;  // the thread has ended
    throw RuntimeFault(fmt::format("profiler: timer_create: {}", std::strerror(errno)));
  }
  timers_.push_back(timer);
  timespec interval{.tv_sec = interval_us_ / 1'000'000, .tv_nsec = interval_us_ % 1'000'000 * 1000};
  itimerspec spec{.it_interval = interval, .it_value = interval};
  if (timer_settime(timer, 0, &spec, nullptr) != 0) {
    throw RuntimeFault(fmt::format("profiler: timer_settime: {}", std::strerror(errno)));
  }
}

void Sampler::stop() {
  for (void* timer : timers_) timer_delete(timer);
  timers_.clear();
  Recorder* mine = recorder_.get();
  Recorder::active.compare_exchange_strong(mine, nullptr);
}

std::span<const Sample> Sampler::samples() const {
  return {recorder_->samples, std::min(recorder_->taken.load(), recorder_->capacity)};
}

int64_t Sampler::lost() const {
  return static_cast<int64_t>(recorder_->taken.load()) - static_cast<int64_t>(samples().size());
}

}  // namespace fathom
