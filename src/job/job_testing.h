// For tests: other processes of a job, and what its members begin with.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <string>

#include "job/key_value_store.h"

namespace fathom {

// Far longer than anything here takes: only what is expected to fail reaches its timeout.
inline constexpr Timeout kLong = std::chrono::seconds(60);
// For what must not happen.
inline constexpr Timeout kShort = std::chrono::milliseconds(200);

inline KeyValueServerOptions server_at(int port, int count) {
  return {.bind = {"", port}, .job = "job", .count = count};
}

inline KeyValueClientOptions options_for(int port, int index, int count, Timeout timeout = kLong) {
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
inline int free_port() {
  std::string reason;
  return Socket::listen({"", 0}, reason).local_port();
}

}  // namespace fathom
