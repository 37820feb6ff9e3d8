// The store with real processes: each test forks the other members of a job.
#include "job/key_value_store.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/error.h"
#include "job/job_testing.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(KeyValueStore, ProcessesExchangeValues) {
  int port = free_port();
  auto member = [port](int index) {
    KeyValueClient client(options_for(port, index, 3));
    client.put("from/" + std::to_string(index), std::string("value\0of ", 9) + std::to_string(index));
    for (int other = 0; other < 3; ++other) {
      std::string value = client.get("from/" + std::to_string(other), kLong);
      if (value != std::string("value\0of ", 9) + std::to_string(other)) return 1;
    }
    client.leave();
    return 0;
  };
  Child one([&] { return member(1); }), two([&] { return member(2); });
  KeyValueServer server(server_at(port, 3));
  EXPECT_EQ(member(0), 0);
  EXPECT_TRUE(server.wait_until_left(kLong));
  EXPECT_EQ(one.wait(), 0);
  EXPECT_EQ(two.wait(), 0);
}

TEST(KeyValueStore, EarlyProcessWaitsForTheServer) {
  int port = free_port();
  Child early([port] {
    KeyValueClient client(options_for(port, 1, 2));
    bool right = client.get("key", kLong) == "value";
    client.leave();
    return right ? 0 : 1;
  });
  std::this_thread::sleep_for(2 * kShort);
  KeyValueServer server(server_at(port, 2));
  KeyValueClient client(options_for(port, 0, 2));
  client.put("key", "value");
  EXPECT_EQ(early.wait(), 0);
  client.leave();
  EXPECT_TRUE(server.wait_until_left(kLong));
}

TEST(KeyValueStore, OthersWaitForALateProcess) {
  int port = free_port();
  Child late([port] {
    std::this_thread::sleep_for(3 * kShort);
    KeyValueClient client(options_for(port, 1, 2));
    client.leave();
    return 0;
  });
  KeyValueServer server(server_at(port, 2));
  KeyValueClient client(options_for(port, 0, 2));  // returns when the late one is there
  client.leave();
  EXPECT_EQ(late.wait(), 0);
}

TEST(KeyValueStore, ProcessesThatNeverComeAreNamed) {
  KeyValueServer server(server_at(0, 4));
  std::string address = "127.0.0.1:" + std::to_string(server.port());
  auto second = std::async(std::launch::async, [&] {
    try {
      KeyValueClient client(options_for(server.port(), 2, 4));
    } catch (const PjrtError& error) {
      return std::string(error.what());
    }
    return std::string("connected");
  });
  // Long enough for the other one to connect, which nothing waits for.
  EXPECT_THAT([&] { KeyValueClient(options_for(server.port(), 0, 4, 5 * kShort)); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("processes 1, 3 of 4 did not connect"), HasSubstr(address))));
  // The first one has given up; that is a loss for the other, which hears why.
  EXPECT_THAT(second.get(), AllOf(HasSubstr("process 0 ("), HasSubstr("it had waited for processes 1, 3 of 4")));
}

TEST(KeyValueStore, ServerThatNeverComesIsNamed) {
  int port = free_port();
  EXPECT_THAT(
      [&] { KeyValueClient(options_for(port, 1, 2, kShort)); },
      ThrowsMessage<ConfigError>(AllOf(HasSubstr("process 1 of 2"), HasSubstr("127.0.0.1:" + std::to_string(port)),
                                       HasSubstr("Connection refused"))));
  KeyValueClientOptions nowhere = options_for(port, 1, 2, kShort);
  nowhere.server.host = "no-such-host.invalid";
  EXPECT_THAT([&] { KeyValueClient client(nowhere); }, ThrowsMessage<ConfigError>(HasSubstr("no-such-host.invalid")));
}

TEST(KeyValueStore, LostProcessFailsTheWaitsOfTheOthers) {
  int port = free_port();
  Child lost([port] {
    KeyValueClient client(options_for(port, 1, 3));
    client.put("ready", "");
    ::pause();
    return 0;
  });
  Child waiting([port] {
    KeyValueClient client(options_for(port, 2, 3));
    client.put("waiting", "");
    try {
      client.get("never", kLong);
    } catch (const PjrtError& error) {
      bool named = std::string(error.what()).find("process 1") != std::string::npos;
      return named && error.code() == PjrtCode::kUnavailable ? 0 : 1;
    }
    return 2;
  });
  std::promise<std::string> told;
  KeyValueServer server(server_at(port, 3));
  KeyValueClientOptions options = options_for(port, 0, 3);
  options.on_lost = [&](const std::string& what) { told.set_value(what); };
  KeyValueClient client(options);
  client.get("ready", kLong);
  client.get("waiting", kLong);
  lost.kill();
  EXPECT_THAT([&] { client.get("never", kLong); },
              ThrowsMessage<PjrtError>(AllOf(HasSubstr("UNAVAILABLE"), HasSubstr("process 1 ("))));
  EXPECT_THAT(told.get_future().get(), HasSubstr("process 1 ("));
  EXPECT_THAT([&] { client.put("key", "value"); }, ThrowsMessage<PjrtError>(HasSubstr("process 1 (")));
  EXPECT_EQ(waiting.wait(), 0);
  EXPECT_TRUE(server.wait_until_left(kLong));
}

TEST(KeyValueStore, LostServerIsNamed) {
  int port = free_port();
  Child process_0([port] {
    KeyValueServer server(server_at(port, 2));
    KeyValueClient client(options_for(port, 0, 2));
    ::pause();
    return 0;
  });
  std::promise<std::string> told;
  KeyValueClientOptions options = options_for(port, 1, 2);
  options.on_lost = [&](const std::string& what) { told.set_value(what); };
  KeyValueClient client(options);
  auto waiting = std::async(std::launch::async, [&] { client.get("never", kLong); });
  process_0.kill();
  EXPECT_THAT([&] { waiting.get(); },
              ThrowsMessage<PjrtError>(AllOf(HasSubstr("process 0"), HasSubstr(std::to_string(port)))));
  EXPECT_THAT(told.get_future().get(), HasSubstr("process 0"));
}

TEST(KeyValueStore, GoodbyeIsNoLoss) {
  int port = free_port();
  Child other([port] {
    KeyValueClient client(options_for(port, 1, 2));
    client.leave();
    return 0;
  });
  KeyValueServer server(server_at(port, 2));
  std::atomic<bool> told = false;
  KeyValueClientOptions options = options_for(port, 0, 2);
  options.on_lost = [&](const std::string&) { told = true; };
  KeyValueClient client(options);
  EXPECT_EQ(other.wait(), 0);
  EXPECT_THAT([&] { client.get("never", kShort); }, ThrowsMessage<PjrtError>(HasSubstr("DEADLINE_EXCEEDED")));
  EXPECT_FALSE(server.wait_until_left(kShort)) << "this process has not left";
  client.leave();
  client.leave();
  EXPECT_TRUE(server.wait_until_left(kLong));
  EXPECT_FALSE(told);
}

TEST(KeyValueStore, WrongMembersAreRefused) {
  KeyValueServer server(server_at(0, 2));
  auto join = [&](int index, int count, const std::string& job) {
    KeyValueClientOptions options = options_for(server.port(), index, count);
    options.member.job = job;
    KeyValueClient client(options);
  };
  auto other = std::async(std::launch::async, [&] {
    KeyValueClient client(options_for(server.port(), 1, 2));
    client.get("done", kLong);
    client.leave();
  });
  KeyValueClient client(options_for(server.port(), 0, 2));
  EXPECT_THAT([&] { join(1, 2, "job"); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("refuses process 1"), HasSubstr("a process 1 already"))));
  EXPECT_THAT([&] { join(1, 3, "job"); },
              ThrowsMessage<ConfigError>(HasSubstr("counts 3 processes, process 0 counts 2")));
  EXPECT_THAT([&] { join(2, 2, "job"); }, ThrowsMessage<ConfigError>(HasSubstr("the processes are 0 to 1")));
  EXPECT_THAT([&] { join(1, 2, "other"); }, ThrowsMessage<ConfigError>(HasSubstr("the job 'other'")));
  client.put("done", "");
  other.get();
  client.leave();
}

TEST(KeyValueStore, KeysAreWrittenOnceAndMayBeLarge) {
  KeyValueServer server(server_at(0, 1));
  KeyValueClient client(options_for(server.port(), 0, 1));
  client.put("key", "value");
  EXPECT_NO_THROW(client.put("key", "value"));
  EXPECT_THAT([&] { client.put("key", "other"); },
              ThrowsMessage<PjrtError>(AllOf(HasSubstr("ALREADY_EXISTS"), HasSubstr("'key'"))));
  EXPECT_EQ(client.try_get("key"), "value");
  EXPECT_EQ(client.try_get("no key"), std::nullopt);
  std::string large(size_t{8} << 20, 'x');
  client.put("large", large);
  EXPECT_EQ(client.get("large", kLong), large);
  EXPECT_THAT([&] { client.put("too large", std::string(kLargestFrame, 'x')); },
              ThrowsMessage<PjrtError>(HasSubstr("64 MiB")));
  client.leave();
}

TEST(KeyValueStore, ManyThreadsAskAtOnce) {
  KeyValueServer server(server_at(0, 1));
  KeyValueClient client(options_for(server.port(), 0, 1));
  std::vector<std::future<std::string>> waiting;
  for (int i = 0; i < 16; ++i) {
    waiting.push_back(std::async(std::launch::async, [&, i] { return client.get(std::to_string(i), kLong); }));
  }
  for (int i = 15; i >= 0; --i) client.put(std::to_string(i), "value of " + std::to_string(i));
  for (int i = 0; i < 16; ++i) EXPECT_EQ(waiting[static_cast<size_t>(i)].get(), "value of " + std::to_string(i));
  client.leave();
}

TEST(KeyValueStore, StrangersAreDroppedAndDoNoHarm) {
  KeyValueServer server(server_at(0, 1));
  std::string reason;
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), std::string(4, '\xff'), std::string(13, '\0'),
        FrameWriter(FrameKind::kPut, 1).text("key").text("value").finish(),
        FrameWriter(FrameKind::kHello, 1).text("another program").finish()}) {
    Socket stranger = Socket::connect({"127.0.0.1", server.port()}, kLong, reason);
    ASSERT_TRUE(stranger) << reason;
    ASSERT_EQ(::send(stranger.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    char answer = 0;
    EXPECT_LE(::recv(stranger.get(), &answer, 1, 0), 0) << "the connection is not closed";
  }
  KeyValueClient client(options_for(server.port(), 0, 1));
  EXPECT_EQ(client.try_get("key"), std::nullopt);
  client.leave();
}

TEST(KeyValueStore, TakenPortIsAMistakeOfTheUser) {
  KeyValueServer server(server_at(0, 1));
  EXPECT_THAT([&] { KeyValueServer(server_at(server.port(), 1)); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr(std::to_string(server.port())), HasSubstr("in use"))));
}

}  // namespace
}  // namespace fathom
