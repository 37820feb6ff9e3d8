// The server's side of the key-value store: one thread that polls all connections. In a turn each connection gets a
// bounded share of its time; what goes wrong with one ends that one.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/listed.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "job/key_value_connection.h"
#include "job/key_value_store.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

using Connection = KeyValueConnection;
using Value = std::shared_ptr<const std::string>;

constexpr int kFramesATurn = 64;
constexpr int kAcceptedATurn = 64;
// Between attempts at what the system refuses for lack of descriptors or memory.
constexpr Timeout kBackOff = std::chrono::milliseconds(50);
// What a request may wait at most: far from where sums of times overflow.
constexpr Timeout kLongestWait = std::chrono::hours(24 * 7);
constexpr size_t kLargestKey = 4096;
// Counted for each key beside its bytes and those of its value.
constexpr size_t kEntryBytes = 128;
constexpr int kWarnings = 100;

enum class Presence : uint8_t { kMissing, kHere, kLeft };

struct Member {
  Presence presence = Presence::kMissing;
  std::string host;
};

struct Waiting {
  Connection* connection;
  uint64_t request;
  std::optional<std::string> key;  // of a kGet; nothing for a kJoin
  Clock::time_point deadline;
  int64_t milliseconds;
};

// Takes as long wherever the first difference is.
bool same_secret(const std::string& own, const std::string& given) {
  unsigned difference = own.size() == given.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    difference |= static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(own[i % own.size()]);
  }
  return difference == 0;
}

// What strangers say of themselves, as it may stand in a log.
std::string printable(const std::string& text) {
  std::string out = text.substr(0, 256);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
  }
  return out;
}

Socket listen(const SocketAddress& bind) {
  std::string reason;
  Socket out = Socket::listen(bind, reason);
  if (out) return out;
  throw ConfigError(
      fmt::format("process 0 cannot serve the other processes on {} of this machine: {}; give another port in "
                  "coordinator_address, or another address in coordinator_bind_address",
                  bind.host.empty() ? fmt::format("port {}", bind.port) : bind.to_string(), reason));
}

}  // namespace

class KeyValueServer::Loop {
 public:
  explicit Loop(const KeyValueServerOptions& options)
      : listener_(listen(options.bind)), options_(options), members_(static_cast<size_t>(options.count)) {
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
    return changed_.wait_for(lock, std::min(timeout, kLongestWait), [&] { return over_; });
  }

 private:
  void run() {
    while (!stopping_) {
      try {
        turn();
      } catch (const std::exception& error) {  // no memory, for the moment
        warn("{}", error.what());
        std::this_thread::sleep_for(kBackOff);
      }
    }
  }

  void turn() {
    polled_.clear();
    entries_.clear();
    bool listens = Clock::now() >= accept_again_;
    entries_.push_back({wake_read_.get(), POLLIN, 0});
    entries_.push_back({listens ? listener_.get() : -1, POLLIN, 0});
    bool at_once = false;
    for (Connection& c : connections_) {
      short events = c.events();
      entries_.push_back({events != 0 ? c.socket.get() : -1, events, 0});
      polled_.push_back(&c);
      at_once = at_once || c.ready();
    }
    wait_for_events(at_once ? 0 : milliseconds_to_deadline());
    for (size_t i = 0; i < polled_.size(); ++i) {
      short events = entries_[i + 2].revents;
      if (events != 0 || polled_[i]->ready()) serve(*polled_[i], events);
    }
    if ((entries_[1].revents & POLLIN) != 0) accept_some();
    expire();
    drop_broken();
  }

  void wait_for_events(int milliseconds) {
    if (::poll(entries_.data(), entries_.size(), milliseconds) >= 0) {
      poll_fails_ = false;
      return;
    }
    if (errno == EINTR) return;
    // The others would wait for ever for a server that gave up.
    if (!poll_fails_) warn("cannot wait for its connections, trying again: {}", std::strerror(errno));
    poll_fails_ = true;
    std::this_thread::sleep_for(kBackOff);
  }

  int milliseconds_to_deadline() const {
    Clock::time_point now = Clock::now(), first = now + std::chrono::minutes(1);
    for (const Waiting& w : waiting_) first = std::min(first, w.deadline);
    for (const Connection& c : connections_) {
      if (c.index < 0) first = std::min(first, c.introduced_until);
    }
    if (accept_again_ > now) first = std::min(first, accept_again_);
    return static_cast<int>(std::max<int64_t>(0, std::chrono::ceil<Timeout>(first - now).count()));
  }

  void accept_some() {
    for (int i = 0; i < kAcceptedATurn; ++i) {
      Socket socket = listener_.accept();
      if (!socket) {
        if (errno == EAGAIN) return;
        if (errno == EINTR || errno == ECONNABORTED) continue;
        // No descriptor or memory: the connection stays in the queue and would wake the thread at once, for ever.
        if (!accept_fails_) warn("cannot take a connection, trying again: {}", std::strerror(errno));
        accept_fails_ = true;
        accept_again_ = Clock::now() + kBackOff;
        drop_oldest_stranger();
        return;
      }
      accept_fails_ = false;
      socket.prepare();
      auto is_stranger = [](const Connection& c) { return c.index < 0 && !c.broken; };
      auto strangers = std::count_if(connections_.begin(), connections_.end(), is_stranger);
      if (static_cast<size_t>(strangers) >= members_.size() + options_.limits.strangers) drop_oldest_stranger();
      connections_.emplace_back(std::move(socket), Clock::now() + options_.limits.hello);
    }
  }

  void drop_oldest_stranger() {
    for (Connection& c : connections_) {
      if (c.index >= 0 || c.broken) continue;
      c.broken = true;
      return;
    }
  }

  void serve(Connection& c, short events) {
    try {
      c.flush();
      if ((events & (POLLIN | POLLERR | POLLHUP)) != 0 && !c.frame_waits) c.receive(largest_frame(c));
      for (int i = 0; i < kFramesATurn && !c.refused && !c.broken && !c.answers.full(); ++i) {
        std::optional<std::string_view> frame = c.received.next(largest_frame(c));
        if (!frame) break;
        handle(c, FrameReader(*frame));
      }
      c.received.forget_read();
      c.frame_waits = c.received.has_frame(largest_frame(c));
      c.flush();
      count_received(c);
    } catch (const std::exception& error) {
      const auto* fault = dynamic_cast<const PjrtError*>(&error);
      warn("a connection is dropped: {}", fault != nullptr ? fault->text() : error.what());
      c.broken = true;
    }
  }

  size_t largest_frame(const Connection& c) const { return c.index < 0 ? kLargestHello : options_.limits.frame; }

  void count_received(Connection& c) {
    received_ += c.received.size() - c.counted;
    c.counted = c.received.size();
    // Frames of ordinary size go through always: there are no more of them than connections.
    if (received_ > options_.limits.received && c.counted > kLargestHello) {
      throw PjrtError(PjrtCode::kResourceExhausted, "key-value store",
                      fmt::format("{} bytes of messages are not handled yet", received_));
    }
  }

  // For what strangers can cause as often as they like.
  template <class... Args>
  void warn(fmt::format_string<Args...> format, Args&&... args) noexcept {
    if (warned_ > kWarnings) return;
    bool last = ++warned_ > kWarnings;
    try {
      std::string text = last ? "no further warnings are logged" : fmt::format(format, std::forward<Args>(args)...);
      log_warning("key-value server: {}", text);
    } catch (const std::exception&) {
      return;  // no memory for the line
    }
  }

  // An answer that cannot be made or sent ends the connection that it is for, whoever caused it.
  template <class Make>
  static void answer(Connection& c, Make make, const Value& value = {}) noexcept {
    if (c.unreachable) return;
    try {
      FrameWriter frame = make();
      c.answers.add(value ? frame.finish_before(*value) : frame.finish(), value);
      c.flush();
    } catch (const std::exception&) {
      c.broken = true;
    }
  }
  static void ok(Connection& c, uint64_t request, const Value& value) {
    answer(
        c, [&] { return FrameWriter(FrameKind::kOk, request); }, value);
  }
  static void ok(Connection& c, uint64_t request) {
    answer(c, [&] { return FrameWriter(FrameKind::kOk, request).text(""); });
  }
  static void fail(Connection& c, uint64_t request, PjrtCode code, const std::string& text) {
    answer(c, [&] { return FrameWriter(FrameKind::kFailed, request).number(static_cast<int64_t>(code)).text(text); });
  }

  void handle(Connection& c, FrameReader frame) {
    if (frame.kind() == FrameKind::kHello) return hello(c, frame);
    if (c.index < 0) throw PjrtError(PjrtCode::kDataLoss, "key-value store", "a process did not say who it is");
    if (frame.kind() == FrameKind::kGoodbye) return goodbye(c, frame.request());
    if (lost_) return fail(c, frame.request(), PjrtCode::kUnavailable, *lost_);
    if (frame.kind() == FrameKind::kJoin) return wait(c, frame.request(), std::nullopt, frame.number());
    std::string key = frame.text();
    if (key.size() > kLargestKey) {
      return fail(c, frame.request(), PjrtCode::kInvalidArgument,
                  fmt::format("a key of {} bytes, {} are allowed", key.size(), kLargestKey));
    }
    switch (frame.kind()) {
      case FrameKind::kPut:
        return put(c, frame.request(), std::move(key), frame.text());
      case FrameKind::kGet:
        return wait(c, frame.request(), std::move(key), frame.number());
      case FrameKind::kTryGet: {
        auto found = values_.find(key);
        if (found != values_.end()) return ok(c, frame.request(), found->second);
        return fail(c, frame.request(), PjrtCode::kNotFound, "no such key");
      }
      case FrameKind::kErase:
        values_.erase(key);
        return ok(c, frame.request());
      default:
        throw PjrtError(PjrtCode::kDataLoss, "key-value store", "a message that is no request");
    }
  }

  // Why this process cannot be taken in; empty when it can. Who does not know the secret learns nothing else.
  std::string objection(const JobMember& who, int64_t index, int64_t count) const {
    int64_t own = static_cast<int64_t>(members_.size());
    if (!options_.secret.empty() && !same_secret(options_.secret, who.secret)) {
      return "its secret is not that of process 0: FATHOM_JOB_SECRET must be the same in all processes";
    }
    if (who.job != options_.job) {
      return fmt::format("it belongs to the job '{}', this is the job '{}'", printable(who.job), options_.job);
    }
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
    if (c.index >= 0) {
      return fail(c, frame.request(), PjrtCode::kFailedPrecondition,
                  fmt::format("this connection is that of process {} already", c.index));
    }
    JobMember who{.job = frame.text()};
    std::string host = printable(frame.text());
    who.secret = frame.text();
    int64_t index = frame.number(), count = frame.number();
    if (std::string reason = objection(who, index, count); !reason.empty()) {
      warn("process {} on {} is refused: {}", index, host, reason);
      c.refused = true;
      return fail(c, frame.request(), PjrtCode::kFailedPrecondition, reason);
    }
    members_[static_cast<size_t>(index)] = {Presence::kHere, host};
    c.index = static_cast<int>(index);
    ok(c, frame.request());
    if (missing().empty()) {
      answer_waiting([](const Waiting& w) { return !w.key; }, [](const Waiting& w) { ok(*w.connection, w.request); });
    }
  }

  // The value in memory of the store, which counts as long as anyone holds it.
  Value stored(std::string value, size_t bytes) {
    stored_ += bytes;
    auto release = [this, bytes](const std::string* text) {
      stored_ -= bytes;
      delete text;
    };
    std::unique_ptr<const std::string> text;
    try {
      text = std::make_unique<const std::string>(std::move(value));
    } catch (const std::exception&) {
      stored_ -= bytes;
      throw;
    }
    return Value(text.release(), release);
  }

  void put(Connection& c, uint64_t request, std::string key, std::string value) {
    if (auto there = values_.find(key); there != values_.end()) {
      if (*there->second == value) return ok(c, request);
      return fail(c, request, PjrtCode::kAlreadyExists, fmt::format("key '{}' has another value already", key));
    }
    size_t bytes = kEntryBytes + key.size() + value.size();
    if (bytes > options_.limits.stored - std::min(stored_, options_.limits.stored)) {
      return fail(c, request, PjrtCode::kResourceExhausted,
                  fmt::format("the store has {} bytes, {} are allowed: key '{}' with {} bytes is not taken", stored_,
                              options_.limits.stored, key, value.size()));
    }
    Value kept = values_.emplace(key, stored(std::move(value), bytes)).first->second;
    ok(c, request);
    answer_waiting([&](const Waiting& w) { return w.key == key; },
                   [&](const Waiting& w) { ok(*w.connection, w.request, kept); });
  }

  void wait(Connection& c, uint64_t request, std::optional<std::string> key, int64_t milliseconds) {
    if (!key && missing().empty()) return ok(c, request);
    if (key) {
      auto found = values_.find(*key);
      if (found != values_.end()) return ok(c, request, found->second);
    }
    if (c.waiting >= options_.limits.waiting) {
      return fail(c, request, PjrtCode::kResourceExhausted,
                  fmt::format("process {} waits for {} keys at once already", c.index, c.waiting));
    }
    milliseconds = std::clamp<int64_t>(milliseconds, 0, kLongestWait.count());
    waiting_.push_back({&c, request, std::move(key), Clock::now() + Timeout(milliseconds), milliseconds});
    ++c.waiting;
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
  void answer_waiting(Which which, Answer give) {
    std::list<Waiting> picked;
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      auto next = std::next(it);
      if (which(*it)) picked.splice(picked.end(), waiting_, it);
      it = next;
    }
    for (const Waiting& w : picked) {
      --w.connection->waiting;
      try {
        give(w);
      } catch (const std::exception&) {  // no memory for the text
        w.connection->broken = true;
      }
    }
  }

  void expire() {
    Clock::time_point now = Clock::now();
    answer_waiting(
        [&](const Waiting& w) { return w.deadline <= now; },
        [&](const Waiting& w) {
          fail(*w.connection, w.request, PjrtCode::kDeadlineExceeded,
               w.key ? fmt::format("key '{}' did not appear in {} ms", *w.key, w.milliseconds) : missing_text());
        });
    for (Connection& c : connections_) {
      if (c.index < 0 && c.introduced_until <= now) c.broken = true;
    }
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
    return fmt::format("process{} {} of {}", who.size() == 1 ? "" : "es", listed(who, kListed), members_.size());
  }

  void drop_broken() {
    // Telling of a loss may break further connections.
    for (bool again = true; again;) {
      again = false;
      for (auto it = connections_.begin(); it != connections_.end();) {
        auto next = std::next(it);
        if (it->broken) {
          waiting_.remove_if([&](const Waiting& w) { return w.connection == &*it; });
          if (it->index >= 0) again = member_gone(it->index) || again;
          received_ -= it->counted;
          connections_.erase(it);
        }
        it = next;
      }
    }
  }

  // Whether others had to be told.
  bool member_gone(int index) {
    Member& member = members_[static_cast<size_t>(index)];
    if (member.presence != Presence::kHere) return false;
    std::string what =
        fmt::format("process {} ({}) was lost: its connection ended before it was done", index, member.host);
    if (!missing().empty()) what += "; it had waited for " + missing_text();
    member.presence = Presence::kLeft;
    if (lost_) return false;
    lost_ = std::move(what);
    answer_waiting([](const Waiting&) { return true; },
                   [&](const Waiting& w) { fail(*w.connection, w.request, PjrtCode::kUnavailable, *lost_); });
    for (Connection& c : connections_) {
      if (c.index >= 0 && !c.broken) {
        answer(c, [&] { return FrameWriter(FrameKind::kLost, 0).text(*lost_); });
      }
    }
    end();
    return true;
  }

  void end() {
    std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }

  // Of the thread alone, but for the last group. Values count themselves off when they go: the sums come first.
  size_t stored_ = 0, received_ = 0;  // bytes
  Socket listener_, wake_read_, wake_write_;
  KeyValueServerOptions options_;
  std::vector<Member> members_;
  std::list<Connection> connections_;  // a list: Waiting points into it
  std::list<Waiting> waiting_;
  std::map<std::string, Value> values_;
  std::optional<std::string> lost_;
  std::vector<pollfd> entries_;
  std::vector<Connection*> polled_;
  Clock::time_point accept_again_ = Clock::now();
  bool accept_fails_ = false, poll_fails_ = false;  // said once, until it works again
  int warned_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;  // all have left, or one is lost
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

KeyValueServer::KeyValueServer(const KeyValueServerOptions& options) : loop_(std::make_unique<Loop>(options)) {}
KeyValueServer::~KeyValueServer() = default;
int KeyValueServer::port() const { return loop_->port(); }
bool KeyValueServer::wait_until_left(Timeout timeout) { return loop_->wait_until_left(timeout); }

}  // namespace fathom
