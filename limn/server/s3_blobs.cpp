// SPDX-License-Identifier: Apache-2.0
#include "limn/server/s3_blobs.h"

#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/server/job.h"

namespace limn::server {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;

constexpr size_t kMostBytes = size_t{1} << 30;
constexpr int kTries = 6;

std::string title(std::string_view name) { return "blob " + std::string(name.substr(0, 12)); }

struct Cleanup {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Handle = std::unique_ptr<CURL, Cleanup>;
using Headers = std::unique_ptr<curl_slist, Cleanup>;

void add(Headers& headers, const std::string& line) {
  curl_slist* longer = curl_slist_append(headers.get(), line.c_str());
  LIMN_CHECK(longer, "not enough memory");
  static_cast<void>(headers.release());
  headers.reset(longer);
}

size_t receive(char* data, size_t size, size_t count, void* into) {
  auto& body = *static_cast<std::string*>(into);
  if (body.size() + size * count > kMostBytes) return 0;  // ends the transfer
  body.append(data, size * count);
  return size * count;
}

struct Answer {
  CURLcode code = CURLE_OK;
  long status = 0;
  std::string body;
  bool is_passing() const {  // another try may go better
    if (code != CURLE_OK) return code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_WRITE_ERROR;
    return status >= 500 || status == 429 || status == 408;
  }
};

/// A folder that is removed with the object, and by the next process where this one was killed.
class CacheFolder {
 public:
  explicit CacheFolder(const fs::path& parent) {
    std::error_code code;
    fs::create_directories(parent, code);
    for (const fs::directory_entry& entry : fs::directory_iterator(parent, code))
      if (entry.path().filename().string().starts_with(kPrefix)) remove_if_left(entry.path());
    path_ = parent / (kPrefix + new_id());
    if (!fs::create_directory(path_, code))
      throw Error(ErrorCode::InvalidArgument, parent.string(), "cannot be written: " + code.message());
    lock_ = lock(path_);
  }
  ~CacheFolder() {
    std::error_code code;
    fs::remove_all(path_, code);
    ::close(lock_);
  }
  CacheFolder(const CacheFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  static constexpr const char* kPrefix = "blobs-";
  static int lock(const fs::path& folder) {
    const int handle = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (handle >= 0 && ::flock(handle, LOCK_EX | LOCK_NB) == 0) return handle;
    if (handle >= 0) ::close(handle);
    return -1;
  }
  static void remove_if_left(const fs::path& folder) {
    const int handle = lock(folder);
    if (handle < 0) return;
    std::error_code code;
    fs::remove_all(folder, code);
    ::close(handle);
  }

  fs::path path_;
  int lock_ = -1;
};

/// Objects BUCKET/PREFIX/ab/cdef…. The service keeps what it has answered with 200.
class S3Blobs : public BlobStore {
 public:
  S3Blobs(const S3Place& place, const fs::path& cache)
      : place_(place), folder_(cache), files_(open_blob_store(folder_.path(), {})) {
    const Answer answer = call("HEAD", place_.bucket, {});
    if (answer.status == 404)
      throw Error(ErrorCode::NotFound, "s3://" + place_.bucket, "no such bucket", "make it first");
    if (answer.status != 200) refuse(answer, "s3://" + place_.bucket);
  }

  std::string put(std::string_view bytes) override {
    const std::string name = sha256(std::as_bytes(std::span(bytes)));
    const Answer answer = call("PUT", path_of(name), bytes);
    if (answer.status != 200) refuse(answer, title(name));
    return name;
  }

  std::string get(std::string_view name) const override {
    check_name(name);
    Answer answer = call("GET", path_of(name), {});
    if (answer.status == 404) throw Error(ErrorCode::NotFound, title(name), "is not in the store");
    if (answer.status != 200) refuse(answer, title(name));
    if (sha256(std::as_bytes(std::span(answer.body))) != name)
      throw Error(ErrorCode::BadFile, title(name), "its bytes have changed in the store");
    return std::move(answer.body);
  }

  bool has(std::string_view name) const override {
    if (!is_blob_name(name)) return false;
    const Answer answer = call("HEAD", path_of(name), {});
    if (answer.status != 200 && answer.status != 404) refuse(answer, title(name));
    return answer.status == 200;
  }

  void remove(std::string_view name) override {
    if (!is_blob_name(name)) return;
    const Answer answer = call("DELETE", path_of(name), {});
    if (answer.status != 200 && answer.status != 204 && answer.status != 404) refuse(answer, title(name));
  }

  fs::path file(std::string_view name) const override {
    if (!files_->has(name)) files_->put(get(name));
    return files_->file(name);
  }

 private:
  static void check_name(std::string_view name) {
    if (!is_blob_name(name)) throw Error(ErrorCode::NotFound, title(name), "is not in the store");
  }

  std::string path_of(std::string_view name) const {
    const std::string prefix = place_.prefix.empty() ? "" : place_.prefix + "/";
    return place_.bucket + "/" + prefix + std::string(name.substr(0, 2)) + "/" + std::string(name.substr(2));
  }

  [[noreturn]] static void refuse(const Answer& answer, const std::string& where) {
    if (answer.code != CURLE_OK)
      throw Error(ErrorCode::Internal, where,
                  std::string("the blob store cannot be reached: ") + curl_easy_strerror(answer.code));
    if (answer.status == 401 || answer.status == 403)
      throw Error(ErrorCode::Refused, where, "the blob store does not let this program in",
                  "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do");
    throw Error(ErrorCode::Internal, where,
                "the blob store answers with status " + std::to_string(answer.status));
  }

  /// @param path  bucket and key, of characters that need no escape
  Answer call(const char* method, const std::string& path, std::string_view body) const {
    std::chrono::milliseconds wait = 100ms;
    Answer answer;
    for (int i = 0; i < kTries; ++i) {
      answer = call_once(method, path, body);
      if (!answer.is_passing() || i + 1 == kTries) break;
      std::this_thread::sleep_for(wait);
      wait *= 2;
    }
    return answer;
  }

  Answer call_once(const std::string& method, const std::string& path, std::string_view body) const {
    Handle handle = take();
    CURL* curl = handle.get();
    Answer answer;
    Headers headers;
    // With this the signature holds for the body too.
    add(headers, "x-amz-content-sha256: " + sha256(std::as_bytes(std::span(body))));
    add(headers, "Content-Type: application/octet-stream");
    curl_easy_setopt(curl, CURLOPT_URL, (place_.endpoint + "/" + path).c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    // "Expect:" to do without would be signed and not sent.
    curl_easy_setopt(curl, CURLOPT_EXPECT_100_TIMEOUT_MS, 100L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 5L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 30L);
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, ("aws:amz:" + place_.region + ":s3").c_str());
    curl_easy_setopt(curl, CURLOPT_USERNAME, place_.key_id.c_str());
    curl_easy_setopt(curl, CURLOPT_PASSWORD, place_.secret.c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer.body);
    if (method == "HEAD") {
      curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (method == "PUT") {
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.empty() ? "" : body.data());
      curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
      curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "PUT");
    } else {
      curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method.c_str());
    }
    answer.code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
    give_back(std::move(handle));
    return answer;
  }

  /// One that was used before keeps its connection open.
  Handle take() const {
    const std::lock_guard guard(lock_);
    if (idle_.empty()) {
      Handle handle(curl_easy_init());
      LIMN_CHECK(handle, "curl_easy_init failed");
      return handle;
    }
    Handle handle = std::move(idle_.back());
    idle_.pop_back();
    return handle;
  }

  void give_back(Handle handle) const {
    curl_easy_reset(handle.get());
    const std::lock_guard guard(lock_);
    idle_.push_back(std::move(handle));
  }

  const S3Place place_;
  const CacheFolder folder_;
  const std::unique_ptr<BlobStore> files_;
  mutable std::mutex lock_;
  mutable std::vector<Handle> idle_;
};

std::string from_environment(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  if (value && *value) return value;
  if (fallback) return fallback;
  throw Error(ErrorCode::InvalidArgument, name, "is not set", "blobs in an S3 store need it");
}

}  // namespace

S3Place s3_place(const std::string& where) {
  const std::string path = where.substr(std::string_view("s3://").size());
  const size_t slash = std::min(path.find('/'), path.size());
  S3Place place;
  place.bucket = path.substr(0, slash);
  place.prefix = slash < path.size() ? path.substr(slash + 1) : "";
  while (place.prefix.ends_with('/')) place.prefix.pop_back();
  constexpr const char* kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./";
  if (place.bucket.empty() || path.find_first_not_of(kPlain) != std::string::npos)
    throw Error(ErrorCode::InvalidArgument, where, "expected s3://BUCKET or s3://BUCKET/PREFIX",
                "of letters, digits, '-', '_' and '.'");
  place.region = from_environment("AWS_REGION", "us-east-1");
  place.endpoint =
      from_environment("AWS_ENDPOINT_URL", ("https://s3." + place.region + ".amazonaws.com").c_str());
  while (place.endpoint.ends_with('/')) place.endpoint.pop_back();
  place.key_id = from_environment("AWS_ACCESS_KEY_ID", nullptr);
  place.secret = from_environment("AWS_SECRET_ACCESS_KEY", nullptr);
  return place;
}

std::unique_ptr<BlobStore> open_s3_blobs(const S3Place& place, const fs::path& cache) {
  static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);  // once, whatever thread is first
  LIMN_CHECK(kReady == CURLE_OK, "curl_global_init failed");
  return std::make_unique<S3Blobs>(place, cache);
}

}  // namespace limn::server
