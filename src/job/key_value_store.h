// A small store of keys and values for the processes of one job: process 0 serves it over TCP. It is how they find each
// other at the start, how plugins exchange what their collectives need, how the processes agree, and how the loss of
// one is noticed. What goes over the wire is in key_value_wire.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "job/key_value_wire.h"
#include "net/socket.h"
#include "runtime/key_values.h"

namespace fathom {

using Timeout = std::chrono::milliseconds;

// What the server keeps for others, at most. Whoever goes beyond is refused or loses the connection; the server and the
// other processes go on.
struct KeyValueLimits {
  size_t frame = kLargestFrame;              // bytes of one message of a process
  size_t received = size_t{1} << 30;         // bytes of messages that are not handled yet, of all connections
  size_t stored = size_t{1} << 30;           // bytes of all keys and values
  size_t waiting = 1024;                     // gets of one process that wait for their keys
  size_t strangers = 64;                     // connections of nobody yet, beyond one for each process
  Timeout hello = std::chrono::seconds(10);  // until a connection must have said who it is
};

struct KeyValueServerOptions {
  SocketAddress bind;  // port 0 takes a free one
  std::string job;     // any text that is the same in all processes
  int count = 1;
  std::string secret = {};  // not empty: only processes that know it are taken in
  KeyValueLimits limits = {};
};

// Serves one job from a thread of its own until it is destroyed.
class KeyValueServer {
 public:
  // Throws ConfigError when it cannot listen there.
  explicit KeyValueServer(const KeyValueServerOptions& options);
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

// What every process says of itself when it connects; the server refuses another job, count or secret and an index that
// is already there.
struct JobMember {
  std::string job;
  int index = 0;
  int count = 1;
  std::string secret = {};
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

// Its errors name the server, the key and, where it is known, the process. Besides what KeyValues says,
// kResourceExhausted when the store is full or too many requests wait.
class KeyValueClient : public KeyValues {
 public:
  // Connects and waits until all processes of the job have connected. Throws ConfigError when the server cannot be
  // reached, when it refuses this process, or when processes are missing at the end (by number).
  explicit KeyValueClient(const KeyValueClientOptions& options);
  // Without leave() before, the others are told that this process is lost.
  ~KeyValueClient() override;
  KeyValueClient(const KeyValueClient&) = delete;
  KeyValueClient& operator=(const KeyValueClient&) = delete;

  void put(const std::string& key, const std::string& value) override;
  std::string get(const std::string& key, Timeout timeout) override;
  std::optional<std::string> try_get(const std::string& key) override;
  // Afterwards the key may be written anew. A key that is not there is no error.
  void erase(const std::string& key);
  // Says goodbye: from now on the others do not miss this process.
  void leave();

 private:
  class Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace fathom
