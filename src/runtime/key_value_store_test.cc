// The store with real processes: each test forks the other members of a job.
#include "runtime/key_value_store.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/error.h"
#include "runtime/key_value_callbacks.h"
#include "runtime/key_value_wire.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

// Far longer than anything here takes: only what is expected to fail reaches its timeout.
constexpr Timeout kLong = seconds(60);
// For what must not happen.
constexpr Timeout kShort = milliseconds(200);

KeyValueClientOptions options_for(int port, int index, int count, Timeout timeout = kLong) {
  return {.server = {"127.0.0.1", port}, .member = {"job", index, count}, .timeout = timeout, .progress = kShort};
}

// A process that runs `body` and returns what it gives; the test process must have no threads of its own when it forks,
// so servers and clients are made afterwards.
class Child {
 public:
  explicit Child(const std::function<int()>& body) : id_(::fork()) {
    if (id_ != 0) return;
    int code = 99;
    try {
      code = body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
    }
    ::_exit(code);
  }
  ~Child() {
    if (id_ <= 0) return;
    ::kill(id_, SIGKILL);
    wait();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  void kill() const { ::kill(id_, SIGKILL); }
  int wait() {
    int status = 0;
    ::waitpid(id_, &status, 0);
    id_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t id_;
};

// A port that was free a moment ago, for processes that must know it before the server listens.
int free_port() { return Socket::listen(0).local_port(); }

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
  KeyValueServer server(port, "job", 3);
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
  KeyValueServer server(port, "job", 2);
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
  KeyValueServer server(port, "job", 2);
  KeyValueClient client(options_for(port, 0, 2));  // returns when the late one is there
  client.leave();
  EXPECT_EQ(late.wait(), 0);
}

TEST(KeyValueStore, ProcessesThatNeverComeAreNamed) {
  KeyValueServer server(0, "job", 4);
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
  KeyValueServer server(port, "job", 3);
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
    KeyValueServer server(port, "job", 2);
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
  KeyValueServer server(port, "job", 2);
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
  KeyValueServer server(0, "job", 2);
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
  KeyValueServer server(0, "job", 1);
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
  KeyValueServer server(0, "job", 1);
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
  KeyValueServer server(0, "job", 1);
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
  KeyValueServer server(0, "job", 1);
  EXPECT_THAT([&] { KeyValueServer(server.port(), "job", 1); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr(std::to_string(server.port())), HasSubstr("in use"))));
}

TEST(SocketAddress, HostAndPort) {
  SocketAddress address = SocketAddress::parse("node-1:8476", "coordinator_address");
  EXPECT_EQ(address.host, "node-1");
  EXPECT_EQ(address.port, 8476);
  EXPECT_EQ(SocketAddress::parse("[::1]:80", "key").host, "::1");
  EXPECT_EQ(SocketAddress::parse("[::1]:80", "key").to_string(), "[::1]:80");
  for (const char* wrong : {"", "node", "node:", ":80", "node:port", "node:0", "node:65536", "node:80x"}) {
    EXPECT_THAT([&] { SocketAddress::parse(wrong, "coordinator_address"); },
                ThrowsMessage<ConfigError>(HasSubstr("must be host:port")))
        << wrong;
  }
}

// ---- as plugins call it ----

struct PluginError {
  PJRT_Error_Code code;
  std::string text;
};

// The plugin's own maker of errors.
PJRT_Error* make_error(PJRT_Error_Code code, const char* message, size_t size) {
  return reinterpret_cast<PJRT_Error*>(new PluginError{code, std::string(message, size)});
}

PluginError taken(PJRT_Error* error) {
  std::unique_ptr<PluginError> owned(reinterpret_cast<PluginError*>(error));
  return owned ? *owned : PluginError{PJRT_Error_Code_OK, ""};
}

TEST(KeyValueCallbacks, CarryValuesAndErrorsAcrossTheBorder) {
  KeyValueServer server(0, "job", 1);
  auto client = std::make_shared<KeyValueClient>(options_for(server.port(), 0, 1));
  KeyValueCallbacks callbacks(client), other(client);
  EXPECT_NE(callbacks.prefix, other.prefix) << "two clients would read each other's keys";
  PJRT_Client_Create_Args create{};
  callbacks.fill(create);
  PJRT_CallbackError maker = make_error;
  std::string key = "topology", value("a\0b", 3);

  PJRT_KeyValueTryGetCallback_Args absent{};
  absent.key = key.data();
  absent.key_size = key.size();
  absent.callback_error = &maker;
  absent.user_arg = create.kv_try_get_user_arg;
  EXPECT_EQ(taken(create.kv_try_get_callback(&absent)).code, PJRT_Error_Code_NOT_FOUND);

  PJRT_KeyValueGetCallback_Args get{};
  get.key = key.data();
  get.key_size = key.size();
  get.timeout_in_ms = 50;
  get.callback_error = &maker;
  get.user_arg = create.kv_get_user_arg;
  PluginError late = taken(create.kv_get_callback(&get));
  EXPECT_EQ(late.code, PJRT_Error_Code_DEADLINE_EXCEEDED);
  EXPECT_THAT(late.text, AllOf(HasSubstr("topology"), HasSubstr("127.0.0.1:")));

  PJRT_KeyValuePutCallback_Args put{};
  put.key = key.data();
  put.key_size = key.size();
  put.value = value.data();
  put.value_size = value.size();
  put.callback_error = &maker;
  put.user_arg = create.kv_put_user_arg;
  ASSERT_EQ(create.kv_put_callback(&put), nullptr);
  ASSERT_EQ(create.kv_get_callback(&get), nullptr);
  EXPECT_EQ(std::string(get.value, get.value_size), value);
  get.value_deleter_callback(get.value);
  ASSERT_EQ(create.kv_try_get_callback(&absent), nullptr);
  EXPECT_EQ(std::string(absent.value, absent.value_size), value);
  absent.value_deleter_callback(absent.value);
  client->leave();
}

}  // namespace
}  // namespace fathom
