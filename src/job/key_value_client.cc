// A process's side of the key-value store: requests from any thread, answers read by a thread of its own.
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "job/key_value_store.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

// How much longer than its own timeout a request waits for the server's word.
constexpr Timeout kGrace = std::chrono::seconds(30);
// Far from where sums of times overflow.
constexpr Timeout kLongestTimeout = std::chrono::hours(24 * 7);
constexpr Timeout kLongestAttempt = std::chrono::seconds(5);
constexpr Timeout kBetweenAttempts = std::chrono::milliseconds(200);

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "an unknown host";
}

Timeout until(Clock::time_point time) { return std::max(Timeout(0), std::chrono::ceil<Timeout>(time - Clock::now())); }

double seconds(Timeout t) { return static_cast<double>(t.count()) / 1000; }

struct Answer {
  std::optional<PjrtCode> failed;
  std::string text;  // the value, or what went wrong
};

}  // namespace

class KeyValueClient::Connection {
 public:
  explicit Connection(const KeyValueClientOptions& options)
      : options_(options), address_(options.server.to_string()), start_(Clock::now()) {
    options_.timeout = std::min(options_.timeout, kLongestTimeout);
    connect();
    reader_ = std::thread([this] { read_answers(); });
    try {
      introduce();
      join();
    } catch (...) {
      stop();
      throw;
    }
  }

  ~Connection() { stop(); }

  // Sends a request made by `fill` and waits for its answer; `what` is for messages.
  std::string request(FrameKind kind, const std::string& what, Timeout timeout,
                      const std::function<void(FrameWriter&)>& fill) {
    Answer answer = ask(kind, std::min(timeout, kLongestTimeout), fill);
    if (answer.failed) throw PjrtError(*answer.failed, what, fmt::format("coordinator {}: {}", address_, answer.text));
    return answer.text;
  }

  void leave() {
    {
      std::lock_guard lock(mutex_);
      if (left_) return;
      left_ = true;  // before the answer: the server may end right after it
    }
    request(FrameKind::kGoodbye, "KeyValueClient::leave", Timeout(0), [](FrameWriter&) {});
  }

 private:
  void connect() {
    Clock::time_point deadline = start_ + options_.timeout, next_word = start_ + options_.progress;
    std::string reason = "no answer";
    for (;;) {
      socket_ = Socket::connect(options_.server, std::min(until(deadline), kLongestAttempt), reason);
      if (socket_) return;
      Clock::time_point now = Clock::now();
      if (now >= deadline) {
        throw ConfigError(fmt::format(
            "process {} of {}: the coordinator {} (process 0) was not reached in {:.0f} s: {}; start process 0 too, "
            "and check that coordinator_address is its address and that the port is open",
            options_.member.index, options_.member.count, address_, seconds(options_.timeout), reason));
      }
      if (now >= next_word) {
        log_info("process {} of {}: waiting for the coordinator {} ({:.0f} of {:.0f} s; {})", options_.member.index,
                 options_.member.count, address_, waited(), seconds(options_.timeout), reason);
        next_word = now + options_.progress;
      }
      std::this_thread::sleep_for(std::min(until(deadline), kBetweenAttempts));
    }
  }

  double waited() const { return seconds_between(start_, Clock::now()); }

  void introduce() {
    Answer answer = ask(FrameKind::kHello, Timeout(0), [&](FrameWriter& frame) {
      frame.text(kStoreMagic).text(options_.member.job).text(host_name()).text(options_.member.secret);
      frame.number(options_.member.index).number(options_.member.count);
    });
    if (!answer.failed) return;
    throw ConfigError(fmt::format("the coordinator {} refuses process {} of {}: {}", address_, options_.member.index,
                                  options_.member.count, answer.text));
  }

  void join() {
    Clock::time_point deadline = start_ + options_.timeout;
    for (;;) {
      Timeout part = std::min(until(deadline), options_.progress);
      Answer answer = ask(FrameKind::kJoin, part, [&](FrameWriter& frame) { frame.number(part.count()); });
      if (!answer.failed) return;
      if (*answer.failed != PjrtCode::kDeadlineExceeded) {
        throw PjrtError(*answer.failed, "KeyValueClient", fmt::format("coordinator {}: {}", address_, answer.text));
      }
      if (Clock::now() >= deadline) {
        throw ConfigError(fmt::format("{} did not connect to the coordinator {} in {:.0f} s", answer.text, address_,
                                      seconds(options_.timeout)));
      }
      log_info("process {}: waiting for {} at the coordinator {} ({:.0f} of {:.0f} s)", options_.member.index,
               answer.text, address_, waited(), seconds(options_.timeout));
    }
  }

  Answer ask(FrameKind kind, Timeout timeout, const std::function<void(FrameWriter&)>& fill) {
    uint64_t id = next_request_++;
    FrameWriter frame(kind, id);
    fill(frame);
    std::string bytes = frame.finish();
    {
      std::lock_guard lock(mutex_);
      if (broken_) return {PjrtCode::kUnavailable, *broken_};
      answers_.emplace(id, std::nullopt);
    }
    send(bytes);
    std::unique_lock lock(mutex_);
    bool there = changed_.wait_for(lock, timeout + kGrace, [&] { return broken_ || answers_.at(id); });
    std::optional<Answer> answer = std::move(answers_.at(id));
    answers_.erase(id);
    if (answer) return *std::move(answer);
    if (there) return {PjrtCode::kUnavailable, *broken_};
    return {PjrtCode::kDeadlineExceeded, fmt::format("no answer in {:.0f} s", seconds(timeout + kGrace))};
  }

  // A connection that does not take the bytes is noticed by the reader.
  void send(const std::string& bytes) {
    std::lock_guard lock(write_mutex_);
    for (size_t done = 0; done < bytes.size();) {
      ssize_t count = ::send(socket_.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return;
      done += static_cast<size_t>(count);
    }
  }

  void read_answers() {
    FrameBuffer received;
    std::string reason = "it ended before this process was done";
    char bytes[1 << 16];
    for (;;) {
      ssize_t count = ::recv(socket_.get(), bytes, sizeof bytes, 0);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) break;
      try {
        received.append(bytes, static_cast<size_t>(count));
        while (std::optional<std::string_view> frame = received.next(kLargestFrame)) take(FrameReader(*frame));
        received.forget_read();
      } catch (const std::exception& error) {
        const auto* fault = dynamic_cast<const PjrtError*>(&error);
        reason = fault != nullptr ? fault->text() : error.what();
        break;
      }
    }
    lose(fmt::format("the connection to the coordinator {} (process 0) was lost: {}", address_, reason));
  }

  void take(FrameReader frame) {
    if (frame.kind() == FrameKind::kLost) return lose(frame.text());
    Answer answer;
    if (frame.kind() == FrameKind::kFailed) answer.failed = static_cast<PjrtCode>(frame.number());
    answer.text = frame.text();
    std::lock_guard lock(mutex_);
    auto asked = answers_.find(frame.request());
    if (asked == answers_.end()) return;  // its caller has given up
    asked->second = std::move(answer);
    changed_.notify_all();
  }

  void lose(const std::string& what) {
    {
      std::lock_guard lock(mutex_);
      if (broken_) return;
      broken_ = what;
      changed_.notify_all();
      if (left_) return;
    }
    if (options_.on_lost) options_.on_lost(what);
  }

  void stop() {
    {
      std::lock_guard lock(mutex_);
      left_ = true;  // whatever happens now is no loss for this process
    }
    ::shutdown(socket_.get(), SHUT_RDWR);
    if (reader_.joinable()) reader_.join();
  }

  KeyValueClientOptions options_;
  std::string address_;
  Clock::time_point start_;
  Socket socket_;
  std::thread reader_;
  std::mutex write_mutex_;

  std::atomic<uint64_t> next_request_ = 1;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, std::optional<Answer>> answers_;  // of requests under way
  std::optional<std::string> broken_;
  bool left_ = false;
};

KeyValueClient::KeyValueClient(const KeyValueClientOptions& options)
    : connection_(std::make_unique<Connection>(options)) {}
KeyValueClient::~KeyValueClient() = default;

void KeyValueClient::put(const std::string& key, const std::string& value) {
  connection_->request(FrameKind::kPut, "KeyValueClient::put", Timeout(0),
                       [&](FrameWriter& frame) { frame.text(key).text(value); });
}

std::string KeyValueClient::get(const std::string& key, Timeout timeout) {
  return connection_->request(FrameKind::kGet, "KeyValueClient::get", timeout,
                              [&](FrameWriter& frame) { frame.text(key).number(timeout.count()); });
}

std::optional<std::string> KeyValueClient::try_get(const std::string& key) {
  try {
    return connection_->request(FrameKind::kTryGet, "KeyValueClient::try_get", Timeout(0),
                                [&](FrameWriter& frame) { frame.text(key); });
  } catch (const PjrtError& error) {
    if (error.code() == PjrtCode::kNotFound) return std::nullopt;
    throw;
  }
}

void KeyValueClient::erase(const std::string& key) {
  connection_->request(FrameKind::kErase, "KeyValueClient::erase", Timeout(0),
                       [&](FrameWriter& frame) { frame.text(key); });
}

void KeyValueClient::leave() { connection_->leave(); }

}  // namespace fathom
