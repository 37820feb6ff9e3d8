// What strangers, greedy processes and a machine at its end cannot do to the store.
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <future>
#include <limits>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "job/job_testing.h"
#include "job/key_value_connection.h"
#include "job/key_value_wire.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

// Someone who writes to the port whatever he likes.
class Stranger {
 public:
  explicit Stranger(int port) {
    std::string reason;
    // The server may be a process that has just begun.
    for (int i = 0; i < 600 && !socket_; ++i) {
      if (i > 0) std::this_thread::sleep_for(std::chrono::milliseconds(100));
      socket_ = Socket::connect({"127.0.0.1", port}, kLong, reason);
    }
    timeval patience{.tv_sec = 60, .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  int descriptor() const { return socket_.get(); }

  Stranger& send(const std::string& bytes) {
    for (size_t done = 0; done < bytes.size();) {
      ssize_t count = ::send(socket_.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      if (count <= 0) break;
      done += static_cast<size_t>(count);
    }
    return *this;
  }
  Stranger& hello(int index, int count, const std::string& secret = "") {
    return send(hello_frame(index, count, secret));
  }
  static std::string hello_frame(int index, int count, const std::string& secret = "") {
    FrameWriter frame(FrameKind::kHello, 1);
    frame.text(kStoreMagic).text("job").text("host").text(secret).number(index).number(count);
    return frame.finish();
  }

  // The next frame, without its length; empty when the connection is closed.
  std::string answer() {
    for (;;) {
      if (std::optional<std::string_view> frame = received_.next(kLargestFrame)) return std::string(*frame);
      char bytes[4096];
      ssize_t count = ::recv(socket_.get(), bytes, sizeof bytes, 0);
      if (count <= 0) return "";
      received_.append(bytes, static_cast<size_t>(count));
    }
  }
  FrameKind answer_kind() { return FrameReader(answer()).kind(); }
  PjrtCode failure() {
    std::string frame = answer();
    FrameReader reader(frame);
    return reader.kind() == FrameKind::kFailed ? static_cast<PjrtCode>(reader.number()) : PjrtCode::kUnknown;
  }
  // Waits until the server ends the connection.
  bool closed() {
    while (!answer().empty()) continue;
    return errno != EAGAIN;
  }

 private:
  Socket socket_;
  FrameBuffer received_;
};

std::string get_frame(const std::string& key, int64_t milliseconds, uint64_t request = 7) {
  return FrameWriter(FrameKind::kGet, request).text(key).number(milliseconds).finish();
}

// One process tells another that it may go on.
class Signal {
 public:
  Signal() { EXPECT_EQ(::pipe(ends_), 0); }
  ~Signal() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  void give(char what = 'x') const { EXPECT_EQ(::write(ends_[1], &what, 1), 1); }
  char wait() const {
    char what = 0;
    pollfd entry{ends_[0], POLLIN, 0};
    return ::poll(&entry, 1, 60'000) == 1 && ::read(ends_[0], &what, 1) == 1 ? what : '\0';
  }

 private:
  int ends_[2];
};

TEST(KeyValueSecret, WhoDoesNotKnowItIsRefusedAndLearnsNothing) {
  KeyValueServerOptions options = server_at(0, 1);
  options.job = "hidden job";
  options.secret = "open sesame";
  KeyValueServer server(options);
  auto join = [&](const std::string& job, const std::string& secret) {
    KeyValueClientOptions client = options_for(server.port(), 0, 1);
    client.member = {job, 0, 1, secret};
    KeyValueClient(client).leave();
  };
  for (const char* wrong : {"", "open sesam", "open sesame ", "Open sesame", "open sesameopen sesame"}) {
    EXPECT_THAT([&] { join("another job", wrong); },
                ThrowsMessage<ConfigError>(
                    AllOf(HasSubstr("FATHOM_JOB_SECRET"), Not(HasSubstr("open sesame")), Not(HasSubstr("hidden job")))))
        << wrong;
  }
  EXPECT_THAT([&] { join("another job", "open sesame"); }, ThrowsMessage<ConfigError>(HasSubstr("hidden job")));
  EXPECT_NO_THROW(join("hidden job", "open sesame"));
}

TEST(KeyValueSecret, IsNotAskedForWhereProcess0HasNone) {
  KeyValueServer server(server_at(0, 1));
  KeyValueClientOptions client = options_for(server.port(), 0, 1);
  client.member.secret = "something";
  EXPECT_NO_THROW(KeyValueClient(client).leave());
}

TEST(KeyValueHello, SecondOneIsRefusedAndLeavesNothingBehind) {
  KeyValueServer server(server_at(0, 2));
  Stranger twice(server.port());
  EXPECT_EQ(twice.hello(1, 2).answer_kind(), FrameKind::kOk);
  EXPECT_EQ(twice.hello(0, 2).failure(), PjrtCode::kFailedPrecondition);
  // Index 0 is free as before, and process 1 is still the one it was.
  KeyValueClient client(options_for(server.port(), 0, 2));
  client.put("key", "value");
  EXPECT_EQ(twice.send(get_frame("key", 1000)).answer_kind(), FrameKind::kOk);
  twice.send(FrameWriter(FrameKind::kGoodbye, 9).finish());
  EXPECT_EQ(twice.answer_kind(), FrameKind::kOk);
  client.leave();
  EXPECT_TRUE(server.wait_until_left(kLong));
}

TEST(KeyValueHello, AfterARefusalNothingIsHeard) {
  KeyValueServer server(server_at(0, 1));
  Stranger stranger(server.port());
  stranger.send(Stranger::hello_frame(5, 1) + Stranger::hello_frame(0, 1));
  EXPECT_EQ(stranger.failure(), PjrtCode::kFailedPrecondition);
  EXPECT_TRUE(stranger.closed());
  KeyValueClient client(options_for(server.port(), 0, 1));
  EXPECT_EQ(client.try_get("key"), std::nullopt);
  client.leave();
}

TEST(KeyValueHello, WhoNeverSaysItIsDropped) {
  KeyValueServerOptions options = server_at(0, 1);
  options.limits.hello = kShort;
  KeyValueServer server(options);
  Stranger silent(server.port());
  Stranger half(server.port());
  half.send(Stranger::hello_frame(0, 1).substr(0, 20));
  KeyValueClient client(options_for(server.port(), 0, 1));
  EXPECT_TRUE(silent.closed());
  EXPECT_TRUE(half.closed());
  client.put("key", "value");  // a process stays
  client.leave();
}

TEST(KeyValueHello, ManyStrangersDoNotKeepAProcessOut) {
  KeyValueServerOptions options = server_at(0, 1);
  options.limits.strangers = 4;
  options.limits.hello = 10 * kLong;
  KeyValueServer server(options);
  std::vector<std::unique_ptr<Stranger>> strangers;
  for (int i = 0; i < 50; ++i) strangers.push_back(std::make_unique<Stranger>(server.port()));
  EXPECT_TRUE(strangers[0]->closed());
  EXPECT_TRUE(strangers[44]->closed());
  KeyValueClient client(options_for(server.port(), 0, 1));
  client.leave();
}

TEST(KeyValueFlood, LongMessageOfAStrangerIsNotReceived) {
  KeyValueServerOptions options = server_at(0, 1);
  options.limits.hello = 10 * kLong;
  KeyValueServer server(options);
  Stranger stranger(server.port());
  std::string bytes = FrameWriter(FrameKind::kHello, 1).text(std::string(kLargestHello, 'x')).finish();
  EXPECT_TRUE(stranger.send(bytes.substr(0, 100)).closed()) << "the length alone says that it is too long";
}

TEST(KeyValueFlood, UnfinishedMessagesOfAllTogetherAreBounded) {
  KeyValueServerOptions options = server_at(0, 3);
  options.limits.received = size_t{1} << 20;
  KeyValueServer server(options);
  std::string large = FrameWriter(FrameKind::kPut, 2).text("key").text(std::string(size_t{1} << 20, 'x')).finish();
  Stranger first(server.port()), second(server.port());
  EXPECT_EQ(first.hello(1, 3).send(large.substr(0, 700'000)).answer_kind(), FrameKind::kOk);
  EXPECT_EQ(second.hello(2, 3).send(large.substr(0, 700'000)).answer_kind(), FrameKind::kOk);
  // One of the two goes: whichever was read last. The other one hears of it.
  pollfd entries[] = {{first.descriptor(), POLLIN, 0}, {second.descriptor(), POLLIN, 0}};
  ASSERT_GT(::poll(entries, 2, 60'000), 0);
  bool first_told = first.answer().size() > 1, second_told = second.answer().size() > 1;
  EXPECT_NE(first_told, second_told);
}

TEST(KeyValueFlood, WhoDoesNotTakeHisAnswersIsHeardNoMoreAndHarmsNobody) {
  int port = free_port();
  Signal stuck;
  // Asks for gigabytes and reads nothing.
  Child greedy([&] {
    Stranger flood(port);
    flood.hello(1, 2);
    for (int i = 0; i < 1000; ++i) flood.send(FrameWriter(FrameKind::kTryGet, 1).text("large").finish());
    std::string request = FrameWriter(FrameKind::kTryGet, 1).text("large").finish();
    pollfd entry{flood.descriptor(), POLLOUT, 0};
    while (::poll(&entry, 1, 1000) == 1) {
      if (::send(flood.descriptor(), request.data(), request.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) continue;
      if (errno != EAGAIN) {
        stuck.give('c');  // the connection was closed
        return 1;
      }
    }
    stuck.give('s');
    ::pause();
    return 0;
  });
  KeyValueServer server(server_at(port, 2));
  KeyValueClient client(options_for(port, 0, 2));
  client.put("large", std::string(size_t{1} << 20, 'x'));
  EXPECT_EQ(stuck.wait(), 's');
  for (int i = 0; i < 100; ++i) client.put(std::to_string(i), "value");
  EXPECT_EQ(client.get("99", kLong), "value");
  client.leave();
}

TEST(KeyValueFlood, ATurnReadsABoundedShare) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  KeyValueConnection connection{Socket(ends[0]), {}};
  std::atomic<bool> done = false;
  // As much as anyone takes, without an end: the head of one large frame, then zeros.
  std::thread sender([&, out = Socket(ends[1])] {
    std::string head = FrameWriter(FrameKind::kPut, 1).text("").text(std::string(kLargestFrame / 2, 'x')).finish();
    while (!done && ::send(out.get(), head.data(), size_t{1} << 16, MSG_NOSIGNAL) > 0) head.assign(size_t{1} << 16, 0);
  });
  connection.receive(kLargestFrame);
  EXPECT_LE(connection.received.size(), size_t{2} << 20);
  EXPECT_FALSE(connection.broken);
  done = true;
  connection.socket.close();
  sender.join();
}

TEST(KeyValueFlood, WhatCameBeforeTheEndOfAConnectionCounts) {
  KeyValueServer server(server_at(0, 2));
  Stranger process(server.port());
  std::string all = Stranger::hello_frame(1, 2);
  for (uint64_t i = 0; i < 1000; ++i) {
    all += FrameWriter(FrameKind::kPut, i).text(std::to_string(i)).text("value").finish();
  }
  process.send(all + FrameWriter(FrameKind::kGoodbye, 1000).finish());
  ::shutdown(process.descriptor(), SHUT_WR);
  EXPECT_TRUE(process.closed());
  KeyValueClient client(options_for(server.port(), 0, 2));
  EXPECT_EQ(client.try_get("999"), "value") << "the process counts as lost";
  client.leave();
}

TEST(KeyValueFlood, NothingIsReadWhileAFrameWaits) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  KeyValueConnection connection{Socket(ends[0]), {}};
  Socket other(ends[1]);
  std::string frame = get_frame("key", 1);
  auto size = static_cast<ssize_t>(frame.size());
  ASSERT_EQ(::send(other.get(), frame.data(), frame.size(), 0), size);
  connection.receive(kLargestFrame);
  ASSERT_EQ(::send(other.get(), frame.data(), frame.size(), 0), size);
  connection.receive(kLargestFrame);
  EXPECT_EQ(connection.received.size(), frame.size());
  EXPECT_TRUE(connection.received.next(kLargestFrame));
  connection.received.forget_read();
  EXPECT_EQ(connection.received.size(), 0U);
  connection.receive(kLargestFrame);
  EXPECT_EQ(connection.received.size(), frame.size());
}

TEST(KeyValueLimits, StoreThatIsFullSaysSoAndTakesAgainWhatFits) {
  KeyValueServerOptions options = server_at(0, 1);
  options.limits.stored = 10'000;
  KeyValueServer server(options);
  KeyValueClient client(options_for(server.port(), 0, 1));
  std::string value(8000, 'x');
  client.put("first", value);
  EXPECT_THAT([&] { client.put("second", value); },
              ThrowsMessage<PjrtError>(AllOf(HasSubstr("RESOURCE_EXHAUSTED"), HasSubstr("'second'"))));
  EXPECT_EQ(client.get("first", kLong), value);
  client.erase("first");
  client.erase("first");
  EXPECT_EQ(client.try_get("first"), std::nullopt);
  EXPECT_NO_THROW(client.put("second", value));
  client.leave();
}

TEST(KeyValueLimits, KeysAndWaitingRequestsAreBounded) {
  KeyValueServerOptions options = server_at(0, 1);
  options.limits.waiting = 4;
  KeyValueServer server(options);
  Stranger process(server.port());
  EXPECT_EQ(process.hello(0, 1).answer_kind(), FrameKind::kOk);
  for (uint64_t i = 0; i < 5; ++i) process.send(get_frame("key", 60'000, i));
  EXPECT_EQ(process.failure(), PjrtCode::kResourceExhausted);
  process.send(FrameWriter(FrameKind::kPut, 9).text("key").text("value").finish());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(process.answer_kind(), FrameKind::kOk);  // the put and four gets
  process.send(get_frame(std::string(5000, 'k'), 0));
  EXPECT_EQ(process.failure(), PjrtCode::kInvalidArgument);
}

TEST(KeyValueLimits, AbsurdDeadlinesAreClamped) {
  KeyValueServer server(server_at(0, 2));
  Stranger process(server.port());
  EXPECT_EQ(process.hello(1, 2).answer_kind(), FrameKind::kOk);
  KeyValueClient client(options_for(server.port(), 0, 2));
  process.send(get_frame("never", std::numeric_limits<int64_t>::min()));
  EXPECT_EQ(process.failure(), PjrtCode::kDeadlineExceeded);
  process.send(get_frame("key", std::numeric_limits<int64_t>::max()));
  auto patient = std::async(std::launch::async, [&] { return client.get("key", Timeout::max()); });
  EXPECT_EQ(patient.wait_for(kShort), std::future_status::timeout) << "an endless wait has ended";
  client.put("key", "value");
  EXPECT_EQ(process.answer_kind(), FrameKind::kOk);
  EXPECT_EQ(patient.get(), "value");
  process.send(FrameWriter(FrameKind::kGoodbye, 9).finish());
  EXPECT_EQ(process.answer_kind(), FrameKind::kOk);
  client.leave();
}

TEST(KeyValueServer, AddressThatIsNotThisMachinesIsAMistakeOfTheUser) {
  KeyValueServerOptions options = server_at(1, 1);
  options.bind.host = "192.0.2.1";  // an address for documentation, which no machine has
  EXPECT_THAT([&] { KeyValueServer server(options); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("192.0.2.1:1"), HasSubstr("coordinator_bind_address"))));
}

void allow_descriptors(rlim_t count) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = count;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// The undefined behaviour sanitizer looks at an object's type through a pipe, and takes it for a wrong one where no
// descriptor is left; types that it has seen before it knows.
void log_once() { log_warning("key-value server: {}", fmt::format("warnings of {} will follow", "this test")); }

TEST(KeyValueServer, FullDescriptorTableIsWaitedForWithoutSpinning) {
  int port = free_port();
  Signal full;
  Child process_0([&] {
    KeyValueServer server(server_at(port, 1));
    log_once();
    allow_descriptors(64);
    std::vector<Socket> others;
    for (int copy = ::dup(0); copy >= 0; copy = ::dup(0)) others.emplace_back(copy);
    double before = cpu_seconds();
    full.give();
    std::this_thread::sleep_for(5 * kShort);  // a connection waits all the while
    // A thread that spins gets far more even of a busy machine; one that waits needs a millisecond.
    if (cpu_seconds() - before > 0.03) return 1;
    others.clear();
    return server.wait_until_left(kLong) ? 0 : 2;
  });
  ASSERT_EQ(full.wait(), 'x');
  KeyValueClient client(options_for(port, 0, 1));
  client.leave();
  EXPECT_EQ(process_0.wait(), 0);
}

TEST(KeyValueServer, WaitThatFailsIsTriedAgain) {
  int port = free_port();
  Signal fails;
  Child process_0([&] {
    KeyValueServer server(server_at(port, 1));
    log_once();
    allow_descriptors(1);  // poll() refuses more entries than a process may have descriptors
    fails.give();
    std::this_thread::sleep_for(2 * kShort);
    allow_descriptors(64);
    return server.wait_until_left(kLong) ? 0 : 2;
  });
  ASSERT_EQ(fails.wait(), 'x');
  KeyValueClient client(options_for(port, 0, 1));
  client.put("key", "value");
  client.leave();
  EXPECT_EQ(process_0.wait(), 0);
}

#if !defined(__SANITIZE_ADDRESS__)  // whose own memory would not fit
TEST(KeyValueServer, MessageThatMemoryDoesNotHoldEndsItsConnectionAlone) {
  int port = free_port();
  Signal small;
  Child process_0([&] {
    KeyValueServer server(server_at(port, 2));
    {
      KeyValueClientOptions options = options_for(port, 0, 2);
      KeyValueClient client(options);
      client.leave();
    }
    long pages = 0;
    if (!(std::ifstream("/proc/self/statm") >> pages)) return 3;
    rlim_t bytes = static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + (rlim_t{16} << 20);
    rlimit limit{bytes, bytes};
    ::setrlimit(RLIMIT_AS, &limit);
    small.give();
    return server.wait_until_left(kLong) ? 0 : 2;  // returns when process 1 is lost
  });
  Stranger process(port);
  EXPECT_EQ(process.hello(1, 2).answer_kind(), FrameKind::kOk);
  ASSERT_EQ(small.wait(), 'x');
  process.send(FrameWriter(FrameKind::kPut, 2).text("key").text(std::string(size_t{60} << 20, 'x')).finish());
  EXPECT_TRUE(process.closed());
  EXPECT_EQ(process_0.wait(), 0) << "the process did not live on";
}
#endif

}  // namespace
}  // namespace fathom
