#include "metrics/tensorboard.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "base/proto_wire.h"
#include "base/tf_record.h"

namespace fathom {
namespace {

// Field numbers of tensorboard/compat/proto/{event,summary,tensor}.proto.
namespace event {
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
}
namespace session_log {
constexpr int kStatus = 1;
constexpr int64_t kStart = 1;
}  // namespace session_log
namespace summary {
constexpr int kValue = 1;
}
namespace value {
constexpr int kTag = 1, kSimpleValue = 2, kHistogram = 5, kTensor = 8, kMetadata = 9;
}
namespace histogram {
constexpr int kMin = 1, kMax = 2, kNumber = 3, kSum = 4, kSumOfSquares = 5, kBucketLimit = 6, kBucket = 7;
}
namespace metadata {
constexpr int kPluginData = 1, kDataClass = 4, kPluginName = 1;
constexpr int64_t kTensorClass = 2;
}  // namespace metadata
namespace tensor {
constexpr int kDType = 1, kShape = 2, kStringValue = 8;
constexpr int64_t kString = 7;
}  // namespace tensor

constexpr size_t kHeldBytes = 64 << 10;

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// A packed field of doubles.
std::string packed(const std::vector<double>& values) {
  static_assert(std::endian::native == std::endian::little);
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)};
}

ProtoWriter event_at(int64_t step) {
  ProtoWriter out;
  out.float64(event::kWallTime, seconds_since_1970()).varint(event::kStep, step);
  return out;
}

// A name that no other writer has: files are read in the order of their names, so the time comes first.
std::string file_name() {
  static std::atomic<int> count = 0;
  char host[256] = "localhost";
  gethostname(host, sizeof(host) - 1);
  return fmt::format("events.out.tfevents.{:010}.{}.{}.{}", static_cast<int64_t>(seconds_since_1970()), host,
                     ::getpid(), count++);
}

}  // namespace

TensorBoardWriter::TensorBoardWriter(const std::string& folder, int64_t first_step) {
  path_ = folder + "/" + file_name();
  std::error_code fault;
  std::filesystem::create_directories(folder, fault);
  if (fault) throw RuntimeFault(folder + ": cannot make the folder: " + fault.message());
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw RuntimeFault(path_ + ": cannot write: " + std::strerror(errno));

  ProtoWriter version;
  version.float64(event::kWallTime, seconds_since_1970()).bytes(event::kFileVersion, "brain.Event:2");
  record(version.str());
  ProtoWriter start;
  start.varint(session_log::kStatus, session_log::kStart);
  record(event_at(first_step).bytes(event::kSessionLog, start.str()).str());
  flush();
}

TensorBoardWriter::~TensorBoardWriter() {
  try {
    flush();
  } catch (const std::exception& e) {
    log_line(LogLevel::kError, e.what());
  }
  ::close(descriptor_);
}

void TensorBoardWriter::scalars(int64_t step, std::span<const Scalar> scalars) {
  ProtoWriter all;
  for (const Scalar& scalar : scalars) {
    // simple_value without metadata: TensorBoard turns it into its present form when it loads the file, while readers
    // of the older interface (EventAccumulator.Scalars) take it as it is. The present form is invisible to them.
    float number = std::visit([](auto x) { return static_cast<float>(x); }, scalar.value);
    ProtoWriter one;
    one.bytes(value::kTag, scalar.name).float32(value::kSimpleValue, number);
    all.bytes(summary::kValue, one.str());
  }
  record(event_at(step).bytes(event::kSummary, all.str()).str());
}

void TensorBoardWriter::counts(int64_t step, std::string_view tag, std::span<const int32_t> counts) {
  std::vector<double> limits, bars;
  double number = 0, sum = 0, squares = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double x = static_cast<double>(i), times = counts[i];
    limits.push_back(x + 0.5);
    bars.push_back(times);
    number += times;
    sum += times * x;
    squares += times * x * x;
  }
  ProtoWriter histo;
  histo.float64(histogram::kMin, -0.5).float64(histogram::kMax, static_cast<double>(counts.size()) - 0.5);
  histo.float64(histogram::kNumber, number).float64(histogram::kSum, sum).float64(histogram::kSumOfSquares, squares);
  histo.bytes(histogram::kBucketLimit, packed(limits)).bytes(histogram::kBucket, packed(bars));
  ProtoWriter one;
  one.bytes(value::kTag, tag).bytes(value::kHistogram, histo.str());
  ProtoWriter all;
  all.bytes(summary::kValue, one.str());
  record(event_at(step).bytes(event::kSummary, all.str()).str());
}

void TensorBoardWriter::text(int64_t step, std::string_view tag, std::string_view text) {
  ProtoWriter plugin;
  plugin.bytes(metadata::kPluginName, "text");
  ProtoWriter about;
  about.bytes(metadata::kPluginData, plugin.str()).varint(metadata::kDataClass, metadata::kTensorClass);
  ProtoWriter content;
  content.varint(tensor::kDType, tensor::kString).bytes(tensor::kShape, "").bytes(tensor::kStringValue, text);
  ProtoWriter one;
  one.bytes(value::kTag, tag).bytes(value::kMetadata, about.str()).bytes(value::kTensor, content.str());
  ProtoWriter all;
  all.bytes(summary::kValue, one.str());
  record(event_at(step).bytes(event::kSummary, all.str()).str());
}

void TensorBoardWriter::record(std::string_view event) {
  append_tf_record(held_, event);
  if (held_.size() >= kHeldBytes) flush();
}

void TensorBoardWriter::flush() {
  size_t done = 0;
  while (done < held_.size()) {
    ssize_t n = ::write(descriptor_, held_.data() + done, held_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      held_.erase(0, done);
      throw RuntimeFault(path_ + ": cannot write: " + std::strerror(errno));
    }
    done += static_cast<size_t>(n);
  }
  held_.clear();
}

}  // namespace fathom
