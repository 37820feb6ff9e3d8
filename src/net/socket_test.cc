#include "net/socket.h"

#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/error.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr std::chrono::seconds kLong(60);

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

bool reached(const std::string& host, int port) {
  std::string reason;
  return static_cast<bool>(Socket::connect({host, port}, kLong, reason));
}

TEST(Socket, ListensOnlyWhereItIsTold) {
  std::string reason;
  // Both are addresses of every machine.
  Socket one = Socket::listen({"127.0.0.1", 0}, reason);
  ASSERT_TRUE(one) << reason;
  EXPECT_TRUE(reached("127.0.0.1", one.local_port()));
  EXPECT_FALSE(reached("127.0.0.2", one.local_port()));
  Socket all = Socket::listen({"", 0}, reason);
  ASSERT_TRUE(all) << reason;
  EXPECT_TRUE(reached("127.0.0.1", all.local_port()));
  EXPECT_TRUE(reached("127.0.0.2", all.local_port()));
}

TEST(Socket, SaysWhyItCannotListen) {
  std::string reason;
  Socket first = Socket::listen({"", 0}, reason);
  ASSERT_TRUE(first) << reason;
  EXPECT_FALSE(Socket::listen({"", first.local_port()}, reason));
  EXPECT_THAT(reason, HasSubstr("in use"));
  // An address for documentation, which no machine has.
  EXPECT_FALSE(Socket::listen({"192.0.2.1", 0}, reason));
  EXPECT_THAT(reason, HasSubstr("Cannot assign"));
  EXPECT_FALSE(Socket::listen({"no-such-host.invalid", 0}, reason));
  EXPECT_THAT(reason, HasSubstr("no-such-host.invalid"));
}

TEST(Socket, AcceptsWithoutBlocking) {
  std::string reason;
  Socket listener = Socket::listen({"127.0.0.1", 0}, reason);
  ASSERT_TRUE(listener) << reason;
  EXPECT_FALSE(listener.accept());
  EXPECT_EQ(errno, EAGAIN);
  Socket there = Socket::connect({"127.0.0.1", listener.local_port()}, kLong, reason);
  ASSERT_TRUE(there) << reason;
  pollfd entry{listener.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&entry, 1, 60'000), 1);
  Socket here = listener.accept();
  ASSERT_TRUE(here);
  char byte = 0;
  EXPECT_EQ(::recv(here.get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST(Socket, SaysWhyItCannotConnect) {
  std::string reason;
  int port = Socket::listen({"127.0.0.1", 0}, reason).local_port();
  EXPECT_FALSE(Socket::connect({"127.0.0.1", port}, kLong, reason));
  EXPECT_THAT(reason, HasSubstr("refused"));
}

}  // namespace
}  // namespace fathom
