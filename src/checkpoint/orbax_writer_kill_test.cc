// A process that writes is ended at any moment, again and again, and others go on from what it left.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <random>
#include <thread>

#include "base/stop_signals.h"
#include "base/temporary_folder.h"
#include "checkpoint/orbax_folder.h"
#include "checkpoint/orbax_writer.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int64_t kArrays = 3, kChunks = 40, kElements = 3000;
constexpr int kThreads = 2;

std::vector<StoredArraySpec> arrays() {
  std::vector<StoredArraySpec> out;
  for (int64_t i = 0; i < kArrays; ++i) {
    out.push_back({.path = {"a" + std::to_string(i)},
                   .dtype = DType::kU16,
                   .sizes = {kChunks * kElements},
                   .chunk = {kElements},
                   .inner = {kElements / 3}});
  }
  return out;
}

std::vector<uint16_t> chunk(int64_t array, int64_t number) {
  std::vector<uint16_t> out(static_cast<size_t>(kElements));
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<uint16_t>((array * kChunks + number) * 7 + i % 97 * 31);
  return out;
}

// Writes what is not there yet, on two threads; counts the chunks that it begins.
void write_rest(const std::string& folder, const OrbaxOptions& options, std::atomic<int>& begun) {
  OrbaxWriter writer(folder, arrays(), options);
  auto work = [&](int64_t first) {
    for (int64_t i = first; i < kArrays * kChunks; i += kThreads) {
      const std::vector<int64_t> place = {i / kArrays};
      const auto array = static_cast<size_t>(i % kArrays);
      if (writer.has(array, place)) continue;
      ++begun;
      const std::vector<uint16_t> elements = chunk(i % kArrays, i / kArrays);
      writer.write(array, place, std::as_bytes(std::span(elements)));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // else most of the time goes into the disk's syncs
    }
  };
  std::thread second(work, 1);
  work(0);
  second.join();
  writer.finish();
}

// Whether the process came to its end before the signal that it gets after `delay`.
bool attempt(const std::string& folder, const OrbaxOptions& options, std::atomic<int>& begun, int signal,
             Clock::duration delay) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      watch_stop_signals();
      if (!fs::exists(folder)) write_rest(folder, options, begun);
      ::_exit(0);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
      ::_exit(1);
    }
  }
  std::this_thread::sleep_for(delay);
  ::kill(child, signal);
  int status = 0;
  ::waitpid(child, &status, 0);
  // Before the handlers are there, any signal ends it as SIGKILL does.
  const bool stopped = WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 128 + signal);
  EXPECT_TRUE(stopped || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) << status;
  return !stopped;
}

void expect_whole(const std::string& step) {
  ASSERT_TRUE(fs::exists(step + "/commit_success.txt"));
  const OrbaxFolder folder = OrbaxFolder::open(step);
  ASSERT_EQ(std::ssize(folder.arrays()), kArrays);
  for (int64_t i = 0; i < kArrays; ++i) {
    const HostArray whole = folder.whole(folder.arrays()[static_cast<size_t>(i)]);
    for (int64_t n = 0; n < kChunks; ++n) {
      const std::vector<uint16_t> want = chunk(i, n);
      ASSERT_EQ(std::memcmp(whole.data() + n * kElements * 2, want.data(), want.size() * 2), 0) << i << " " << n;
    }
  }
}

// Bytes of the files that hold chunks, and how many other files there are.
std::pair<int64_t, int64_t> content(const std::string& step, bool ocdbt) {
  int64_t bytes = 0, others = 0;
  for (const auto& entry : fs::recursive_directory_iterator(step)) {
    if (entry.is_directory()) continue;
    const std::string path = entry.path().string();
    const bool data =
        ocdbt ? path.find("ocdbt.process_0/d/") != std::string::npos : path.find("/c/") != std::string::npos;
    (data ? bytes : others) += data ? static_cast<int64_t>(entry.file_size()) : 1;
  }
  return {bytes, others};
}

struct KillCase {
  bool ocdbt;
  int signal;
};

class OrbaxWriterKilled : public testing::TestWithParam<KillCase> {};

TEST_P(OrbaxWriterKilled, OthersGoOnToTheSameFolder) {
  const auto [ocdbt, signal] = GetParam();
  const OrbaxOptions options = {.ocdbt = ocdbt, .compress = ocdbt, .data_file_bytes = 60'000, .sync_bytes = 200'000};
  TemporaryFolder folder;
  void* shared = ::mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto& begun = *new (shared) std::atomic<int>(0);

  write_rest(folder / "straight/0", options, begun);
  begun = 0;

  std::mt19937 random(20);
  const std::string step = folder / "killed/0";
  int attempts = 0;
  double longest = 0.02;  // seconds; the chunks take 60 ms at least
  for (bool done = false; !done;) {
    ASSERT_LT(++attempts, 100);
    const auto delay = std::chrono::duration<double>(longest * std::uniform_real_distribution<>()(random));
    longest *= 1.1;  // so that it comes to an end on a machine that is busy with other things too
    done = attempt(step, options, begun, signal, std::chrono::duration_cast<Clock::duration>(delay));
    if (fs::exists(step)) expect_whole(step);
  }
  expect_whole(step);
  EXPECT_GT(attempts, 2);
  EXPECT_LE(begun, kArrays * kChunks + kThreads * attempts) << "only what was under way is lost";
  EXPECT_EQ(content(step, ocdbt), content(folder / "straight/0", ocdbt));
  EXPECT_FALSE(fs::exists(step + ".partial/whole"));
  ::munmap(shared, sizeof(std::atomic<int>));
}

INSTANTIATE_TEST_SUITE_P(Any, OrbaxWriterKilled,
                         testing::Values(KillCase{true, SIGKILL}, KillCase{false, SIGKILL}, KillCase{true, SIGTERM}),
                         [](const auto& info) {
                           return std::string(info.param.ocdbt ? "DataFiles" : "PlainFiles") +
                                  (info.param.signal == SIGKILL ? "Killed" : "Stopped");
                         });

}  // namespace
}  // namespace fathom
