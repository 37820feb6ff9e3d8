// The server's side of the key-value store: one thread that polls all connections.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "runtime/key_value_wire.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

using Clock = std::chrono::steady_clock;

// What a connection does not take is kept for it up to here; then it counts as lost.
constexpr size_t kLargestBacklog = 2 * kLargestFrame;

enum class Presence { kMissing, kHere, kLeft };

struct Member {
  Presence presence = Presence::kMissing;
  std::string host;
};

struct Connection {
  Socket socket;
  std::string received, to_send;
  int index = -1;        // once it has said who it is
  bool refused = false;  // closed as soon as the reason is sent
  bool broken = false;
};

struct Waiting {
  Connection* connection;
  uint64_t request;
  std::optional<std::string> key;  // of a kGet; nothing for a kJoin
  Clock::time_point deadline;
  int64_t milliseconds;
};

}  // namespace

class KeyValueServer::Loop {
 public:
  Loop(int port, std::string job, int count)
      : listener_(Socket::listen(port)), job_(std::move(job)), members_(static_cast<size_t>(count)) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) throw RuntimeFault("the key-value server cannot make a pipe");
    wake_read_ = Socket(ends[0]);
    wake_write_ = Socket(ends[1]);
    thread_ = std::thread([this] { run(); });
  }

  ~Loop() {
    stopping_ = true;
    // A full pipe wakes the thread as well.
    [[maybe_unused]] ssize_t written = ::write(wake_write_.get(), "", 1);
    thread_.join();
  }

  int port() const { return listener_.local_port(); }

  bool wait_until_left(Timeout timeout) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, timeout, [&] { return over_; });
  }

 private:
  void run() {
    while (!stopping_) {
      std::vector<pollfd> entries = {{wake_read_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
      std::vector<Connection*> polled;
      for (Connection& c : connections_) {
        short events = c.to_send.empty() ? POLLIN : POLLIN | POLLOUT;
        entries.push_back({c.socket.get(), events, 0});
        polled.push_back(&c);
      }
      if (::poll(entries.data(), entries.size(), milliseconds_to_deadline()) < 0 && errno != EINTR) {
        log_line(LogLevel::kError, "the key-value server cannot wait for its connections");
        return;
      }
      for (size_t i = 0; i < polled.size(); ++i) {
        if (entries[i + 2].revents != 0) serve(*polled[i]);
      }
      if ((entries[1].revents & POLLIN) != 0) accept_all();
      expire();
      drop_broken();
    }
  }

  int milliseconds_to_deadline() const {
    if (waiting_.empty()) return -1;
    auto first = std::min_element(waiting_.begin(), waiting_.end(),
                                  [](const Waiting& a, const Waiting& b) { return a.deadline < b.deadline; });
    auto left = std::chrono::ceil<Timeout>(first->deadline - Clock::now()).count();
    return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
  }

  void accept_all() {
    for (;;) {
      Socket socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!socket) return;
      socket.prepare();
      connections_.emplace_back().socket = std::move(socket);
    }
  }

  void serve(Connection& c) {
    try {
      receive(c);
      // What came before the connection broke still counts: a goodbye above all.
      while (std::optional<std::string> frame = next_frame(c.received)) handle(c, FrameReader(*frame));
    } catch (const PjrtError& error) {
      log_warning("key-value server: a connection is dropped: {}", error.text());
      c.broken = true;
    }
    flush(c);
  }

  static void receive(Connection& c) {
    char bytes[1 << 16];
    for (;;) {
      ssize_t count = ::recv(c.socket.get(), bytes, sizeof bytes, 0);
      if (count > 0) {
        c.received.append(bytes, static_cast<size_t>(count));
      } else if (count < 0 && errno == EINTR) {
        continue;
      } else {
        c.broken = c.broken || count == 0 || errno != EAGAIN;
        return;
      }
    }
  }

  static void flush(Connection& c) {
    while (!c.to_send.empty() && !c.broken) {
      ssize_t count = ::send(c.socket.get(), c.to_send.data(), c.to_send.size(), MSG_NOSIGNAL);
      if (count > 0) {
        c.to_send.erase(0, static_cast<size_t>(count));
      } else if (count < 0 && errno == EINTR) {
        continue;
      } else {
        if (errno != EAGAIN) c.broken = true;
        break;
      }
    }
    if (c.refused && c.to_send.empty()) c.broken = true;
    if (c.to_send.size() > kLargestBacklog) c.broken = true;
  }

  static void send(Connection& c, FrameWriter frame) {
    c.to_send += frame.finish();
    flush(c);
  }
  static void ok(Connection& c, uint64_t request, std::string_view value = {}) {
    send(c, FrameWriter(FrameKind::kOk, request).text(value));
  }
  static void fail(Connection& c, uint64_t request, PjrtCode code, const std::string& text) {
    send(c, FrameWriter(FrameKind::kFailed, request).number(static_cast<int64_t>(code)).text(text));
  }

  void handle(Connection& c, FrameReader frame) {
    if (frame.kind() == FrameKind::kHello) return hello(c, frame);
    if (c.index < 0) throw PjrtError(PjrtCode::kDataLoss, "key-value store", "a process did not say who it is");
    if (frame.kind() == FrameKind::kGoodbye) return goodbye(c, frame.request());
    if (lost_) return fail(c, frame.request(), PjrtCode::kUnavailable, *lost_);
    switch (frame.kind()) {
      case FrameKind::kJoin:
        return wait(c, frame.request(), std::nullopt, frame.number());
      case FrameKind::kPut:
        return put(c, frame);
      case FrameKind::kGet: {
        std::string key = frame.text();
        return wait(c, frame.request(), std::move(key), frame.number());
      }
      case FrameKind::kTryGet: {
        auto found = values_.find(frame.text());
        if (found != values_.end()) return ok(c, frame.request(), found->second);
        return fail(c, frame.request(), PjrtCode::kNotFound, "no such key");
      }
      default:
        throw PjrtError(PjrtCode::kDataLoss, "key-value store", "a message that is no request");
    }
  }

  // Why this process cannot be taken in; empty when it can.
  std::string objection(const std::string& job, int64_t index, int64_t count) const {
    int64_t own = static_cast<int64_t>(members_.size());
    if (job != job_) return fmt::format("it belongs to the job '{}', this is the job '{}'", job, job_);
    if (count != own) return fmt::format("it counts {} processes, process 0 counts {}", count, own);
    if (index < 0 || index >= own) return fmt::format("the processes are 0 to {}", own - 1);
    const Member& there = members_[static_cast<size_t>(index)];
    if (there.presence != Presence::kMissing) {
      return fmt::format("there is a process {} already, on {}: each process needs its own index", index, there.host);
    }
    return lost_.value_or("");
  }

  void hello(Connection& c, FrameReader& frame) {
    if (frame.text() != kStoreMagic) {
      throw PjrtError(PjrtCode::kDataLoss, "key-value store", "another version or no fathom process");
    }
    std::string job = frame.text(), host = frame.text();
    int64_t index = frame.number(), count = frame.number();
    if (std::string reason = objection(job, index, count); !reason.empty()) {
      log_warning("process {} on {} is refused: {}", index, host, reason);
      c.refused = true;
      return fail(c, frame.request(), PjrtCode::kFailedPrecondition, reason);
    }
    c.index = static_cast<int>(index);
    members_[static_cast<size_t>(index)] = {Presence::kHere, host};
    ok(c, frame.request());
    if (missing().empty()) {
      answer_waiting([](const Waiting& w) { return !w.key; }, [](const Waiting& w) { ok(*w.connection, w.request); });
    }
  }

  void put(Connection& c, FrameReader& frame) {
    std::string key = frame.text(), value = frame.text();
    auto [at, is_new] = values_.try_emplace(key, std::move(value));
    if (!is_new && at->second != value) {
      return fail(c, frame.request(), PjrtCode::kAlreadyExists, fmt::format("key '{}' has another value already", key));
    }
    ok(c, frame.request());
    if (!is_new) return;
    answer_waiting([&](const Waiting& w) { return w.key == key; },
                   [&](const Waiting& w) { ok(*w.connection, w.request, at->second); });
  }

  void wait(Connection& c, uint64_t request, std::optional<std::string> key, int64_t milliseconds) {
    if (!key && missing().empty()) return ok(c, request);
    if (key) {
      auto found = values_.find(*key);
      if (found != values_.end()) return ok(c, request, found->second);
    }
    waiting_.push_back({&c, request, std::move(key), Clock::now() + Timeout(milliseconds), milliseconds});
  }

  void goodbye(Connection& c, uint64_t request) {
    members_[static_cast<size_t>(c.index)].presence = Presence::kLeft;
    ok(c, request);
    bool all =
        std::all_of(members_.begin(), members_.end(), [](const Member& m) { return m.presence == Presence::kLeft; });
    if (all) end();
  }

  // Takes the requests that `which` picks out of the list and answers them.
  template <class Which, class Answer>
  void answer_waiting(Which which, Answer answer) {
    std::list<Waiting> picked;
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      auto next = std::next(it);
      if (which(*it)) picked.splice(picked.end(), waiting_, it);
      it = next;
    }
    for (const Waiting& w : picked) answer(w);
  }

  void expire() {
    Clock::time_point now = Clock::now();
    answer_waiting(
        [&](const Waiting& w) { return w.deadline <= now; },
        [&](const Waiting& w) {
          fail(*w.connection, w.request, PjrtCode::kDeadlineExceeded,
               w.key ? fmt::format("key '{}' did not appear in {} ms", *w.key, w.milliseconds) : missing_text());
        });
  }

  std::vector<size_t> missing() const {
    std::vector<size_t> out;
    for (size_t i = 0; i < members_.size(); ++i) {
      if (members_[i].presence == Presence::kMissing) out.push_back(i);
    }
    return out;
  }

  std::string missing_text() const {
    constexpr size_t kListed = 16;
    std::vector<size_t> who = missing();
    size_t shown = std::min(who.size(), kListed);
    return fmt::format("process{} {}{} of {}", who.size() == 1 ? "" : "es",
                       fmt::join(who.begin(), who.begin() + static_cast<ptrdiff_t>(shown), ", "),
                       shown < who.size() ? fmt::format(" and {} more", who.size() - shown) : "", members_.size());
  }

  void drop_broken() {
    // Telling of a loss may break further connections.
    for (bool again = true; again;) {
      again = false;
      for (auto it = connections_.begin(); it != connections_.end();) {
        auto next = std::next(it);
        if (it->broken) {
          std::list<Connection> dropped;
          dropped.splice(dropped.end(), connections_, it);
          waiting_.remove_if([&](const Waiting& w) { return w.connection == &dropped.front(); });
          if (dropped.front().index >= 0) again = member_gone(dropped.front().index) || again;
        }
        it = next;
      }
    }
  }

  // Whether others had to be told.
  bool member_gone(int index) {
    Member& member = members_[static_cast<size_t>(index)];
    if (member.presence != Presence::kHere) return false;
    member.presence = Presence::kLeft;
    if (lost_) return false;
    lost_ = fmt::format("process {} ({}) was lost: its connection ended before it was done", index, member.host);
    if (!missing().empty()) *lost_ += "; it had waited for " + missing_text();
    answer_waiting([](const Waiting&) { return true; },
                   [&](const Waiting& w) { fail(*w.connection, w.request, PjrtCode::kUnavailable, *lost_); });
    for (Connection& c : connections_) {
      if (c.index >= 0) send(c, FrameWriter(FrameKind::kLost, 0).text(*lost_));
    }
    end();
    return true;
  }

  void end() {
    std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }

  // Of the thread alone, but for the last group.
  Socket listener_, wake_read_, wake_write_;
  std::string job_;
  std::vector<Member> members_;
  std::list<Connection> connections_;  // a list: Waiting points into it
  std::list<Waiting> waiting_;
  std::map<std::string, std::string> values_;
  std::optional<std::string> lost_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;  // all have left, or one is lost
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

KeyValueServer::KeyValueServer(int port, const std::string& job, int count)
    : loop_(std::make_unique<Loop>(port, job, count)) {}
KeyValueServer::~KeyValueServer() = default;
int KeyValueServer::port() const { return loop_->port(); }
bool KeyValueServer::wait_until_left(Timeout timeout) { return loop_->wait_until_left(timeout); }

}  // namespace fathom
