// What an evaluator is writing.
#pragma once

#include <string>
#include <utility>

#include "chat/evaluator.h"

namespace fathom::jinja {

// Stands as the evaluator's output while it lives; what it holds is charged.
class Evaluator::Buffer {
 public:
  Buffer(Runtime& runtime, Buffer*& current) : runtime_(runtime), current_(current), before_(current) {
    current_ = this;
  }
  ~Buffer() {
    current_ = before_;
    runtime_.give_back(taken_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void add(const std::string& text) {
    runtime_.step_bytes(text.size());
    runtime_.take(text.size());
    taken_ += text.size();
    runtime_.check_output(taken_);
    text_ += text;
  }
  std::string take() { return std::move(text_); }

 private:
  Runtime& runtime_;
  Buffer*& current_;
  Buffer* before_;
  std::string text_;
  size_t taken_ = 0;
};

}  // namespace fathom::jinja
