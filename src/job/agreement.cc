#include "job/agreement.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "base/error.h"
#include "runtime/pjrt_error.h"

namespace fathom {

Agreement::Agreement(JobStore store, std::string name, Timeout timeout)
    : store_(std::move(store)), name_(std::move(name)), timeout_(timeout) {}

int64_t Agreement::largest(int64_t round, int64_t own) {
  if (store_.client == nullptr || store_.count == 1) return own;
  if (store_.index == 0) return gather(round, own);
  store_.client->put(key(round, std::to_string(store_.index)), std::to_string(own));
  return read(key(round, "largest"), timeout_, 0, round);
}

int64_t Agreement::gather(int64_t round, int64_t own) {
  using Clock = std::chrono::steady_clock;
  Clock::time_point deadline = Clock::now() + timeout_;
  int64_t largest = own;
  for (int process = 1; process < store_.count; ++process) {
    std::string from = key(round, std::to_string(process));
    auto left = std::max(Timeout(0), std::chrono::ceil<Timeout>(deadline - Clock::now()));
    largest = std::max(largest, read(from, left, process, round));
    store_.client->erase(from);
  }
  // Whoever gave a number for this round has seen the result of the one before.
  if (!announced_.empty()) store_.client->erase(announced_);
  announced_ = key(round, "largest");
  store_.client->put(announced_, std::to_string(largest));
  return largest;
}

int64_t Agreement::read(const std::string& key, Timeout timeout, int process, int64_t round) {
  std::string text;
  try {
    text = store_.client->get(key, timeout);
  } catch (const PjrtError& error) {
    if (error.code() != PjrtCode::kDeadlineExceeded) throw;
    throw RuntimeFault(fmt::format("process {} waited {} s for process {} ({} {}): it hangs, or is far behind",
                                   store_.index, std::chrono::duration_cast<std::chrono::seconds>(timeout_).count(),
                                   process, name_, round));
  }
  int64_t value = 0;
  auto [stop, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || stop != text.data() + text.size()) {
    throw RuntimeFault(fmt::format("process {} gave '{}' for {} {}, which is no number", process, text, name_, round));
  }
  return value;
}

std::string Agreement::key(int64_t round, const std::string& what) const {
  return fmt::format("{}/{}/{}", name_, round, what);
}

}  // namespace fathom
