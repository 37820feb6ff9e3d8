#include "profile/sampler.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/error.h"
#include "profile/memory_map.h"

namespace fathom {
namespace {

// How much of a stack is looked at.
constexpr uint64_t kScannedBytes = 65536;
constexpr uint64_t kHeapScannedBytes = 4096;
// Of an object on the heap.
constexpr size_t kTaskWords = 16;
// Nothing is mapped below (the kernel's vm.mmap_min_addr).
constexpr uint64_t kLowestAddress = 65536;

// A stack that may be read: the stack pointer of its thread lies in it.
struct StackRegion {
  uint64_t begin = 0, end = 0;
};

std::vector<int> thread_ids() {
  std::vector<int> out;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    out.push_back(std::stoi(entry.path().filename().string()));
  }
  return out;
}

// The stack pointer of a thread that waits in the kernel; 0 where it runs, or has ended.
uint64_t waiting_stack_pointer(int thread) {
  // "202 0x7f... (six arguments) SP PC", or "running".
  std::ifstream file(fmt::format("/proc/self/task/{}/syscall", thread));
  std::vector<std::string> words{std::istream_iterator<std::string>(file), {}};
  return words.size() == 9 ? std::stoull(words[7], nullptr, 16) : 0;
}

// Tries for a while to find all threads but the caller's waiting; those that never wait are left out.
std::vector<StackRegion> stack_regions() {
  constexpr int kTries = 20;
  std::vector<uint64_t> pointers{reinterpret_cast<uint64_t>(__builtin_frame_address(0))};
  for (int thread : thread_ids()) {
    if (thread == gettid()) continue;
    uint64_t pointer = waiting_stack_pointer(thread);
    for (int i = 0; pointer == 0 && i < kTries; ++i) {
      usleep(1000);
      pointer = waiting_stack_pointer(thread);
    }
    if (pointer != 0) pointers.push_back(pointer);
  }
  std::sort(pointers.begin(), pointers.end());
  std::vector<MemoryRegion> map = memory_map();
  std::vector<StackRegion> out;
  for (uint64_t pointer : pointers) {
    const MemoryRegion* region = region_of(map, pointer);
    if (region != nullptr && (out.empty() || out.back().begin != region->begin)) {
      out.push_back({region->begin, region->end});
    }
  }
  return out;
}

// The clock of another thread's CPU time, as the kernel encodes it (CPUCLOCK_SCHED | CPUCLOCK_PERTHREAD).
clockid_t cpu_clock(int thread) { return static_cast<clockid_t>((~static_cast<unsigned>(thread) << 3U) | 6U); }

uint64_t word_at(uint64_t address) { return *reinterpret_cast<const uint64_t*>(address); }

void add(uint64_t mark, std::span<uint64_t> found, size_t& count) {
  if (std::find(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count), mark) ==
      found.begin() + static_cast<std::ptrdiff_t>(count)) {
    found[count++] = mark;
  }
}

// A set of addresses, open addressing.
class MarkTable {
 public:
  explicit MarkTable(const std::vector<uint64_t>& marks) {
    size_t slots = 1;
    while (slots <= 4 * marks.size()) slots *= 2;
    table_.assign(slots, 0);
    for (uint64_t mark : marks) {
      size_t slot = slot_of(mark);
      while (table_[slot] != 0) slot = (slot + 1) & (slots - 1);
      table_[slot] = mark;
    }
  }

  bool contains(uint64_t address) const {
    if (address == 0) return false;
    for (size_t slot = slot_of(address); table_[slot] != 0; slot = (slot + 1) & (table_.size() - 1)) {
      if (table_[slot] == address) return true;
    }
    return false;
  }

 private:
  size_t slot_of(uint64_t address) const {
    constexpr uint64_t kFibonacci = 0x9E3779B97F4A7C15U;
    return static_cast<size_t>((address >> 4U) * kFibonacci >> 40U) & (table_.size() - 1);
  }

  std::vector<uint64_t> table_;  // a power of two, mostly empty
};

}  // namespace

// What the signal handler sees: everything is allocated before the first signal.
struct Sampler::Recorder {
  Recorder(size_t capacity, const std::vector<uint64_t>& marks) : capacity(capacity), marks(marks) {
    void* memory = mmap(nullptr, capacity * sizeof(Sample), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw RuntimeFault("profiler: no memory for the samples");
    samples = static_cast<Sample*>(memory);
  }
  ~Recorder() { munmap(samples, capacity * sizeof(Sample)); }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  static void on_signal(int signal, siginfo_t* info, void* context);
  void record(const ucontext_t& context);

  // Each puts what it finds into `found`, at most that many and none twice.
  void on_stack(uint64_t begin, uint64_t end, std::span<uint64_t> found) const;
  void through_pointers(const StackRegion& own, uint64_t begin, uint64_t end, std::span<uint64_t> found) const;
  void through_heap(const StackRegion& own, uint64_t begin, uint64_t end, std::span<uint64_t> found) const;
  // The innermost mark of another thread's stack above the place that `word` points at, or 0.
  uint64_t above(uint64_t word, const StackRegion& own) const;
  const StackRegion* stack_of(uint64_t address) const;

  const int process = getpid();
  const size_t capacity;
  const MarkTable marks;
  Sample* samples = nullptr;
  std::atomic<size_t> taken{0};
  std::vector<StackRegion> stacks;  // sorted

  static std::atomic<Recorder*> active;
};

std::atomic<Sampler::Recorder*> Sampler::Recorder::active{nullptr};

const StackRegion* Sampler::Recorder::stack_of(uint64_t address) const {
  auto after = std::upper_bound(stacks.begin(), stacks.end(), address,
                                [](uint64_t a, const StackRegion& region) { return a < region.begin; });
  if (after == stacks.begin()) return nullptr;
  const StackRegion& region = *std::prev(after);
  return address < region.end ? &region : nullptr;
}

void Sampler::Recorder::on_signal(int, siginfo_t*, void* context) {
  int error = errno;
  if (Recorder* recorder = active.load(std::memory_order_acquire)) {
    recorder->record(*static_cast<const ucontext_t*>(context));
  }
  errno = error;
}

// Runs in a signal handler: no allocation, no lock.
void Sampler::Recorder::record(const ucontext_t& context) {
  size_t slot = taken.fetch_add(1);
  if (slot >= capacity) return;
  Sample& sample = samples[slot];
  sample.pc = static_cast<uint64_t>(context.uc_mcontext.gregs[REG_RIP]);
  sample.thread = static_cast<int32_t>(syscall(SYS_gettid));
  uint64_t top = static_cast<uint64_t>(context.uc_mcontext.gregs[REG_RSP]) & ~uint64_t{7};
  const StackRegion* stack = stack_of(top);
  if (stack == nullptr) return;
  uint64_t end = std::min(stack->end, top + kScannedBytes);
  on_stack(top, end, sample.own);
  through_pointers(*stack, top, end, sample.other);
  if (sample.own[0] == 0 && sample.other[0] == 0) {
    through_heap(*stack, top, std::min(end, top + kHeapScannedBytes), sample.other);
  }
}

void Sampler::Recorder::on_stack(uint64_t begin, uint64_t end, std::span<uint64_t> found) const {
  size_t count = 0;
  for (uint64_t at = begin; at + 8 <= end && count < found.size(); at += 8) {
    uint64_t word = word_at(at);
    if (marks.contains(word)) add(word, found, count);
  }
}

uint64_t Sampler::Recorder::above(uint64_t word, const StackRegion& own) const {
  const StackRegion* other = stack_of(word);
  if (other == nullptr || other == &own) return 0;
  uint64_t place = word & ~uint64_t{7};
  std::array<uint64_t, 1> first = {};
  on_stack(place, std::min(other->end, place + kScannedBytes), first);
  return first[0];
}

void Sampler::Recorder::through_pointers(const StackRegion& own, uint64_t begin, uint64_t end,
                                         std::span<uint64_t> found) const {
  size_t count = 0;
  for (uint64_t at = begin; at + 8 <= end && count < found.size(); at += 8) {
    if (uint64_t mark = above(word_at(at), own)) add(mark, found, count);
  }
}

// A task that a pool runs often is an object on the heap that holds the pointer.
void Sampler::Recorder::through_heap(const StackRegion& own, uint64_t begin, uint64_t end,
                                     std::span<uint64_t> found) const {
  size_t count = 0;
  for (uint64_t at = begin; at + 8 <= end && count < found.size(); at += 8) {
    uint64_t word = word_at(at);
    if (word % 8 != 0 || word < kLowestAddress || stack_of(word) != nullptr) continue;
    // Whatever the word is, this call says so instead of faulting.
    std::array<uint64_t, kTaskWords> task;
    iovec to{task.data(), sizeof(task)};
    iovec from{reinterpret_cast<void*>(word), sizeof(task)};
    if (process_vm_readv(process, &to, 1, &from, 1, 0) != static_cast<ssize_t>(sizeof(task))) continue;
    for (uint64_t inner : task) {
      uint64_t mark = marks.contains(inner) ? inner : above(inner, own);
      if (mark != 0 && count < found.size()) add(mark, found, count);
    }
  }
}

Sampler::Sampler(const SamplerOptions& options)
    : recorder_(std::make_unique<Recorder>(options.max_samples, options.marks)), options_(options) {}

Sampler::~Sampler() { stop(); }

void Sampler::start() {
  recorder_->stacks = stack_regions();
  Recorder* none = nullptr;
  if (!Recorder::active.compare_exchange_strong(none, recorder_.get())) {
    throw RuntimeFault("profiler: another one is running");
  }
  // Stays installed: a signal may still be under way when the timers are gone.
  struct sigaction action {};
  action.sa_sigaction = Recorder::on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaction(SIGPROF, &action, nullptr);
  for (int thread : thread_ids()) arm(thread);
}

void Sampler::arm(int thread) {
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
  timespec interval{.tv_sec = 0, .tv_nsec = options_.interval_us * 1000};
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
