#include "job/key_value_connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <string_view>

namespace fathom {
namespace {

// So much of its answers may a process leave unread before it is not heard any more.
constexpr size_t kUnsentBytes = size_t{1} << 20;
constexpr size_t kUnsentAnswers = 1024;
// What one connection may be read and sent in a turn: the others wait so long.
constexpr size_t kReadATurn = size_t{1} << 20;
constexpr size_t kSentATurn = size_t{4} << 20;

}  // namespace

void AnswerQueue::add(std::string frame, std::shared_ptr<const std::string> value) {
  size_t bytes = frame.size() + (value ? value->size() : 0);
  answers_.push_back({std::move(frame), std::move(value)});
  bytes_ += bytes;
}

bool AnswerQueue::full() const { return bytes_ > kUnsentBytes || answers_.size() > kUnsentAnswers; }

bool AnswerQueue::send_to(const Socket& socket) {
  size_t sent = 0;
  while (!answers_.empty() && sent < kSentATurn) {
    const Answer& first = answers_.front();
    size_t value_size = first.value ? first.value->size() : 0;
    bool in_frame = sent_ < first.frame.size();
    std::string_view rest = in_frame      ? std::string_view(first.frame).substr(sent_)
                            : first.value ? std::string_view(*first.value).substr(sent_ - first.frame.size())
                                          : std::string_view();
    if (rest.empty()) {
      bytes_ -= first.frame.size() + value_size;
      sent_ = 0;
      answers_.pop_front();
      continue;
    }
    int more = in_frame && value_size > 0 ? MSG_MORE : 0;
    ssize_t count = ::send(socket.get(), rest.data(), rest.size(), MSG_NOSIGNAL | more);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return errno == EAGAIN;
    sent_ += static_cast<size_t>(count);
    sent += static_cast<size_t>(count);
  }
  return true;
}

void AnswerQueue::clear() {
  answers_.clear();
  sent_ = bytes_ = 0;
}

short KeyValueConnection::events() const {
  if (ready()) return 0;
  bool reads = !refused && !frame_waits && !answers.full();
  return static_cast<short>((reads ? POLLIN : 0) | (answers.empty() ? 0 : POLLOUT));
}

void KeyValueConnection::receive(size_t largest_frame) {
  char bytes[1 << 16];
  size_t read = 0;
  while (read < kReadATurn && !received.has_frame(largest_frame)) {
    ssize_t count = ::recv(socket.get(), bytes, sizeof bytes, 0);
    if (count > 0) {
      received.append(bytes, static_cast<size_t>(count));
      read += static_cast<size_t>(count);
    } else if (count == 0 || errno != EINTR) {
      broken = broken || count == 0 || errno != EAGAIN;
      return;
    }
  }
}

void KeyValueConnection::flush() {
  if (!unreachable && !answers.send_to(socket)) {
    unreachable = true;
    answers.clear();
  }
  if (refused && answers.empty()) broken = true;
}

}  // namespace fathom
