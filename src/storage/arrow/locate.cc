#include <arrow/filesystem/s3fs.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <random>

#include "storage/arrow/calls.h"
#include "storage/arrow/patience.h"

namespace fathom {
namespace {

using Store = std::shared_ptr<arrow::fs::FileSystem>;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Where a store is said to be by the environment; empty for the vendor's own.
std::string endpoint_of(const std::string& uri) {
  if (uri.starts_with("gs://")) return variable("STORAGE_EMULATOR_HOST");
  if (!uri.starts_with("s3://")) return "";
  const std::string own = variable("AWS_ENDPOINT_URL_S3");
  return own.empty() ? variable("AWS_ENDPOINT_URL") : own;
}

bool holds(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

constexpr std::string_view kNoRoom = "Failed to flush response stream";

// A transfer that stands still has taken kStillSeconds, so it is tried once more; what is turned down at once (503,
// 500, a connection that breaks) is asked for again for about ten seconds.
class Retries final : public arrow::fs::S3RetryStrategy {
 public:
  bool ShouldRetry(const AWSErrorDetail& error, int64_t retries) override {
    const bool still = holds(error.message, "curlCode: 28");
    // The client has no room for the text of a 503 where fewer bytes were asked for, and takes that for a fault.
    const bool unread = holds(error.message, kNoRoom);
    return (error.should_retry || unread) && retries < (still ? 1 : 7);
  }
  int64_t CalculateDelayBeforeNextRetry(const AWSErrorDetail&, int64_t retries) override {
    constexpr int64_t kFirst = 100, kLongest = 4000;  // milliseconds
    thread_local std::minstd_rand random{std::random_device()()};
    const int64_t most = std::min(kFirst << std::min<int64_t>(retries, 10), kLongest);
    return most / 2 + static_cast<int64_t>(random()) % (most / 2 + 1);
  }
};

arrow::Result<Store> open_s3(const std::string& root) {
  ARROW_ASSIGN_OR_RAISE(arrow::fs::S3Options options, arrow::fs::S3Options::FromUri(root));
  options.request_timeout = kStillSeconds;
  options.connect_timeout = kConnectSeconds;
  options.retry_strategy = std::make_shared<Retries>();
  // In the background parts would gather without a bound, and fail in other threads.
  options.background_writes = false;
  // Objects that fit into one request need no other.
  options.allow_delayed_open = true;
  return arrow::fs::S3FileSystem::Make(options);
}

arrow::Result<Store> open_google(std::string root) {
  root += "?retry_limit_seconds=" + std::to_string(kGoogleRetrySeconds);
  if (std::string emulator = endpoint_of(root); !emulator.empty()) {
    const size_t scheme = emulator.find("://");
    root += "&scheme=" + (scheme == std::string::npos ? "http" : emulator.substr(0, scheme));
    if (scheme != std::string::npos) emulator.erase(0, scheme + 3);
    while (emulator.ends_with('/')) emulator.pop_back();
    for (size_t at = emulator.find(':'); at != std::string::npos; at = emulator.find(':')) {
      emulator.replace(at, 1, "%3A");
    }
    root += "&endpoint_override=" + emulator;
    if (!holds(root, "@")) root.insert(std::string("gs://").size(), "anonymous@");
  }
  return arrow::fs::FileSystemFromUri(root);
}

arrow::Result<Store> open_store(const std::string& root) {
  if (root.starts_with("s3://")) {
    ARROW_RETURN_NOT_OK(arrow::fs::EnsureS3Initialized());
    arrow::Result<Store> store = open_s3(root);
    // The client must be shut down before its statics are destroyed, that is, by what is registered after their making.
    [[maybe_unused]] static const int registered = std::atexit([] { arrow::fs::EnsureFinalized(); });
    return store;
  }
  if (root.starts_with("gs://")) return open_google(root);
  return arrow::fs::FileSystemFromUri(root);
}

// Google's client says in many words what was asked how often.
std::string shortened(std::string text) {
  constexpr std::string_view kLast = "with a last message of ";
  if (size_t at = text.find(kLast); at != std::string::npos) text.erase(0, at + kLast.size());
  if (size_t at = text.find(" error_info="); at != std::string::npos) text.erase(at);
  return text;
}

std::string_view advice(const std::string& text) {
  if (holds(text, "NO_SUCH_BUCKET") || holds(text, "NoSuchBucket")) return "no such bucket";
  if (holds(text, "PermanentRedirect") || holds(text, "HTTP status 301") ||
      holds(text, "AuthorizationHeaderMalformed")) {
    return "the bucket is in another region; set AWS_DEFAULT_REGION";
  }
  if (holds(text, "ACCESS_DENIED") || holds(text, "HTTP status 403") || holds(text, "INVALID_ACCESS_KEY_ID") ||
      holds(text, "InvalidAccessKeyId") || holds(text, "SIGNATURE_DOES_NOT_MATCH") || holds(text, "status code: 401") ||
      holds(text, "status code: 403") || holds(text, "UNAUTHENTICATED") || holds(text, "PERMISSION_DENIED")) {
    return "access is denied; check the credentials and what they may do";
  }
  if (holds(text, "OAuth2 access token")) {
    return "no credentials are found; GOOGLE_APPLICATION_CREDENTIALS or `gcloud auth application-default login` give "
           "them";
  }
  if (holds(text, kNoRoom)) return "the server turns it down";
  if (holds(text, "curlCode: 28") || holds(text, "CURL error [28]")) return "no answer";
  if (holds(text, "curlCode: 6,") || holds(text, "CURL error [6]") || holds(text, "curlCode: 7,") ||
      holds(text, "CURL error [7]")) {
    return "cannot be reached; check the network and the endpoint";
  }
  return "";
}

}  // namespace

std::string explained(const std::string& uri, const arrow::Status& status) {
  std::string text = status.message();
  std::string out(advice(text));
  if (uri.starts_with("gs://")) text = shortened(std::move(text));
  out = out.empty() ? text : out + " (" + text + ")";
  std::ranges::replace(out, '\n', ' ');
  const std::string endpoint = endpoint_of(uri);
  return endpoint.empty() ? out : out + "; asked " + endpoint;
}

arrow::Result<Location> locate(const std::string& uri) {
  static std::mutex& mutex = *new std::mutex;
  static std::map<std::string, Store>& stores = *new std::map<std::string, Store>;
  size_t scheme = uri.find("://");
  if (scheme == std::string::npos) {
    Location local;
    std::string absolute = std::filesystem::absolute(uri).string();
    ARROW_ASSIGN_OR_RAISE(local.store, arrow::fs::FileSystemFromUriOrPath(absolute, &local.path));
    return local;
  }
  // A key may hold any character, so only scheme and bucket are read as a URI; "bucket/key" is the path in the store.
  // Credentials and end points come from the environment, as for the vendors' own tools.
  size_t slash = uri.find('/', scheme + 3);
  std::string root = uri.substr(0, slash);
  std::string key = slash == std::string::npos ? "" : uri.substr(slash + 1);
  while (!key.empty() && key.back() == '/') key.pop_back();
  Store store;
  {
    std::lock_guard lock(mutex);
    store = stores[root];
  }
  if (store == nullptr) {
    // Without the lock: it may ask the network, and a thread that waits for that may have been left behind.
    ARROW_ASSIGN_OR_RAISE(Store made, open_store(root));
    std::lock_guard lock(mutex);
    Store& kept = stores[root];
    if (kept == nullptr) kept = std::move(made);
    store = kept;
  }
  std::string bucket = root.substr(scheme + 3);
  bucket = bucket.substr(bucket.find('@') + 1);  // gs://anonymous@bucket; npos + 1 is 0
  return Location{store, key.empty() ? bucket : bucket + "/" + key, uri.starts_with("gs://")};
}

}  // namespace fathom
