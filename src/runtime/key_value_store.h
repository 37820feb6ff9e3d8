// A small store of keys and values for the processes of one job: process 0 serves it over TCP. It is how they find each
// other at the start, how plugins exchange what their collectives need, and how the loss of a process is noticed.
//
// On the wire: frames of u32 length, u8 kind, u64 request, then the fields of the kind (all integers little-endian,
// texts with a u32 length in front); see key_value_wire.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace fathom {

using Timeout = std::chrono::milliseconds;

// What every process says of itself when it connects; the server refuses another job or count and an index that is
// already there.
struct JobMember {
  std::string job;  // any text that is the same in all processes
  int index = 0;
  int count = 1;
};

// "host:port", "[::1]:port". Throws ConfigError naming `what`.
struct SocketAddress {
  std::string host;
  int port = 0;
  static SocketAddress parse(const std::string& text, const std::string& what);
  std::string to_string() const;
};

// Serves one job from a thread of its own until it is destroyed.
class KeyValueServer {
 public:
  // Listens on all addresses of this machine; port 0 takes a free one. Throws ConfigError when the port is taken.
  KeyValueServer(int port, const std::string& job, int count);
  ~KeyValueServer();
  KeyValueServer(const KeyValueServer&) = delete;
  KeyValueServer& operator=(const KeyValueServer&) = delete;

  int port() const;
  // Waits until every process has said goodbye or one is lost; false when neither happens in time.
  bool wait_until_left(Timeout timeout);

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

struct KeyValueClientOptions {
  SocketAddress server;
  JobMember member;
  // For reaching the server and for all processes to be there.
  Timeout timeout = std::chrono::minutes(5);
  // How often a wait for either is logged.
  Timeout progress = std::chrono::seconds(10);
  // Called once, in a thread of the client, when another process or the server is lost and this one has not left.
  std::function<void(const std::string& what)> on_lost = {};
};

// Thread-safe. Requests throw PjrtError: kDeadlineExceeded after a timeout, kUnavailable when a process or the server
// is lost, kAlreadyExists, each naming the server, the key and the process.
class KeyValueClient {
 public:
  // Connects and waits until all processes of the job have connected. Throws ConfigError when the server cannot be
  // reached, when it refuses this process, or when processes are missing at the end (by number).
  explicit KeyValueClient(const KeyValueClientOptions& options);
  // Without leave() before, the others are told that this process is lost.
  ~KeyValueClient();
  KeyValueClient(const KeyValueClient&) = delete;
  KeyValueClient& operator=(const KeyValueClient&) = delete;

  // A key is written once; the same value again is no error.
  void put(const std::string& key, const std::string& value);
  // Waits for the key to appear.
  std::string get(const std::string& key, Timeout timeout);
  std::optional<std::string> try_get(const std::string& key);
  // Says goodbye: from now on the others do not miss this process.
  void leave();

 private:
  class Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace fathom
