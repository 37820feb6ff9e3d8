#include "storage/arrow/patience.h"

#include <arrow/buffer.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <future>
#include <string>
#include <thread>
#include <utility>

namespace fathom {
namespace {

class LimitedFile final : public arrow::io::RandomAccessFile {
 public:
  explicit LimitedFile(std::shared_ptr<arrow::io::RandomAccessFile> file) : file_(std::move(file)) {}

  arrow::Result<int64_t> ReadAt(int64_t position, int64_t count, void* out) override {
    int64_t done = 0;
    while (done < count) {
      auto piece = std::make_shared<std::string>(static_cast<size_t>(std::min(count - done, kPieceBytes)), '\0');
      auto got = std::make_shared<int64_t>(0);
      ARROW_RETURN_NOT_OK(within_limit([file = file_, piece, got, at = position + done]() -> arrow::Status {
        ARROW_ASSIGN_OR_RAISE(*got, file->ReadAt(at, static_cast<int64_t>(piece->size()), piece->data()));
        return arrow::Status::OK();
      }));
      if (*got <= 0) break;
      std::memcpy(static_cast<char*>(out) + done, piece->data(), static_cast<size_t>(*got));
      done += *got;
    }
    return done;
  }

  arrow::Result<std::shared_ptr<arrow::Buffer>> ReadAt(int64_t position, int64_t count) override {
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::ResizableBuffer> buffer, arrow::AllocateResizableBuffer(count));
    ARROW_ASSIGN_OR_RAISE(const int64_t n, ReadAt(position, count, buffer->mutable_data()));
    ARROW_RETURN_NOT_OK(buffer->Resize(n));
    return std::shared_ptr<arrow::Buffer>(std::move(buffer));
  }

  arrow::Result<int64_t> Read(int64_t count, void* out) override {
    ARROW_ASSIGN_OR_RAISE(const int64_t n, ReadAt(place_, count, out));
    place_ += n;
    return n;
  }
  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(int64_t count) override {
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> buffer, ReadAt(place_, count));
    place_ += buffer->size();
    return buffer;
  }
  arrow::Status Seek(int64_t position) override {
    place_ = position;
    return arrow::Status::OK();
  }
  arrow::Result<int64_t> Tell() const override { return place_; }
  arrow::Result<int64_t> GetSize() override { return file_->GetSize(); }
  arrow::Status Close() override { return file_->Close(); }
  bool closed() const override { return file_->closed(); }

 private:
  std::shared_ptr<arrow::io::RandomAccessFile> file_;
  int64_t place_ = 0;
};

}  // namespace

arrow::Status within_limit(std::function<arrow::Status()> call) {
  constexpr std::chrono::seconds kLongest{29};
  auto task = std::make_shared<std::packaged_task<arrow::Status()>>(std::move(call));
  std::future<arrow::Status> said = task->get_future();
  std::thread([task] { (*task)(); }).detach();
  if (said.wait_for(kLongest) == std::future_status::timeout) {
    return arrow::Status::IOError("no answer within 30 s; check the name, the network and the credentials");
  }
  return said.get();
}

std::shared_ptr<arrow::io::RandomAccessFile> limited(std::shared_ptr<arrow::io::RandomAccessFile> file) {
  return std::make_shared<LimitedFile>(std::move(file));
}

}  // namespace fathom
