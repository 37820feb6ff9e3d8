// Inside the Arrow module only: how long a store is waited for. The user hears of one that does not answer within 30 s.
//
// The S3 client watches its transfers itself: one that stands still for kStillSeconds is an error, which its retry
// strategy (locate.cc) takes once more. Google's client has no such limit that could be set, so that its calls run in
// threads that are waited for no longer than 30 s.
#pragma once

#include <arrow/io/interfaces.h>
#include <arrow/result.h>
#include <arrow/status.h>

#include <functional>
#include <memory>

namespace fathom {

inline constexpr double kStillSeconds = 6, kConnectSeconds = 3;
inline constexpr double kGoogleRetrySeconds = 12;

// What a call of Google's moves at most, and what is held for it: 30 s are enough at 0.3 MB/s.
inline constexpr int64_t kPieceBytes = int64_t{8} << 20;

// Runs `call` in a thread of its own. When it has not returned after 30 s the answer is an error and the thread is left
// behind: `call` owns all it uses.
arrow::Status within_limit(std::function<arrow::Status()> call);

// Reads of `file` in pieces, each within the limit.
std::shared_ptr<arrow::io::RandomAccessFile> limited(std::shared_ptr<arrow::io::RandomAccessFile> file);

}  // namespace fathom
