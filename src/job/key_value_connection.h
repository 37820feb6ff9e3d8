// The server's end of one connection to the key-value store: what came and is not handled yet, what is not sent yet.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <string>

#include "job/key_value_wire.h"
#include "net/socket.h"

namespace fathom {

// Frames that a connection has not taken yet. Values are shared with the store, so that one value for many processes is
// in memory once.
class AnswerQueue {
 public:
  // A frame, and the value that it ends with, if any.
  void add(std::string frame, std::shared_ptr<const std::string> value = {});
  // Sends what the socket takes now; false when it is broken.
  bool send_to(const Socket& socket);
  void clear();
  bool empty() const { return answers_.empty(); }
  // Whether nothing more should be asked for before some of it is sent.
  bool full() const;

 private:
  struct Answer {
    std::string frame;
    std::shared_ptr<const std::string> value;
  };
  std::deque<Answer> answers_;
  size_t sent_ = 0;   // bytes of the first answer
  size_t bytes_ = 0;  // of all answers
};

struct KeyValueConnection {
  KeyValueConnection(Socket connected, std::chrono::steady_clock::time_point hello_until)
      : socket(std::move(connected)), introduced_until(hello_until) {}

  // What poll() should wait for; 0 when there is something to do at once.
  short events() const;
  // Whether a frame can be handled now.
  bool ready() const { return frame_waits && !refused && !answers.full(); }
  // Reads what is there, as long as no whole frame waits and a turn's share is not used up: so the end is seen only
  // when all that came before it is handled. Throws PjrtError (kDataLoss) for bytes that are no frame.
  void receive(size_t largest_frame);
  // Sends what the socket takes now.
  void flush();

  Socket socket;
  FrameBuffer received;
  AnswerQueue answers;
  std::chrono::steady_clock::time_point introduced_until;
  int index = -1;            // of the process, once it has said who it is
  size_t waiting = 0;        // its requests that wait for keys or processes
  size_t counted = 0;        // bytes of `received` that count in the server's sum
  bool frame_waits = false;  // a whole frame is in `received`
  bool refused = false;      // closed as soon as the reason is sent
  bool unreachable = false;  // nothing can be sent, but what comes and came still counts: a goodbye above all
  bool broken = false;       // to be closed
};

}  // namespace fathom
