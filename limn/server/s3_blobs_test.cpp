// SPDX-License-Identifier: Apache-2.0
// Against a small service in this file, which checks signatures as S3 does.
#include "limn/server/s3_blobs.h"

#include <atomic>
#include <deque>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <sys/socket.h>

#include "limn/base/file.h"
#include "limn/server/store_testing.h"

namespace limn::server {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

std::string digest(const std::string& bytes) { return sha256(std::as_bytes(std::span(bytes))); }

std::string hmac(const std::string& key, const std::string& bytes) {
  unsigned char out[32];
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), out, &size);
  return std::string(reinterpret_cast<char*>(out), size);
}

std::string hex(const std::string& bytes) {
  std::string out;
  for (unsigned char byte : bytes) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const size_t from = text.find(begin);
  if (from == std::string::npos) return "";
  return text.substr(from + begin.size(), text.find(end, from + begin.size()) - from - begin.size());
}

struct Request {
  std::string method, path, body;
  std::map<std::string, std::string> headers;
};

/// Whether the request is signed with the key "key" and the secret "secret" (AWS Signature Version 4).
bool is_signed(const Request& request) {
  for (const char* name : {"authorization", "x-amz-date", "x-amz-content-sha256"})
    if (!request.headers.contains(name)) return false;
  const std::string authorization = request.headers.at("authorization") + ",";
  const std::string date = request.headers.at("x-amz-date"), day = date.substr(0, 8);
  const std::string scope = day + "/region/s3/aws4_request";
  const std::string names = between(authorization, "SignedHeaders=", ",");
  std::string canonical = request.method + "\n" + request.path + "\n\n";
  std::istringstream list(names);
  for (std::string name; std::getline(list, name, ';');) {
    if (!request.headers.contains(name)) return false;
    canonical += name + ":" + request.headers.at(name) + "\n";
  }
  canonical += "\n" + names + "\n" + request.headers.at("x-amz-content-sha256");
  const std::string text = "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + digest(canonical);
  const std::string key = hmac(hmac(hmac(hmac("AWS4secret", day), "region"), "s3"), "aws4_request");
  return between(authorization, "Credential=", ",") == "key/" + scope &&
         between(authorization, "Signature=", ",") == hex(hmac(key, text)) &&
         digest(request.body) == request.headers.at("x-amz-content-sha256") &&
         (";" + names + ";").find(";x-amz-content-sha256;") != std::string::npos;
}

/// Keeps objects of the bucket "bucket" in memory. One connection after the other.
class SmallS3 {
 public:
  SmallS3() {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 20), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
  }
  ~SmallS3() {
    thread_ = {};
    ::close(listener_);
  }

  S3Place place() const {
    return {"http://127.0.0.1:" + std::to_string(port_), "bucket", "some/prefix", "region", "key", "secret"};
  }
  /// What the next requests get instead of an answer; 0: the connection is cut.
  void fail_with(std::initializer_list<int> statuses) {
    const std::lock_guard guard(lock_);
    failures_ = statuses;
  }
  std::map<std::string, std::string> objects() {
    const std::lock_guard guard(lock_);
    return objects_;
  }
  void spoil(const std::string& path) {
    const std::lock_guard guard(lock_);
    objects_.at(path) += "!";
  }
  std::atomic<int> requests = 0, forged = 0;

 private:
  void serve(const std::stop_token& stop) {
    std::vector<std::jthread> connections;
    while (!stop.stop_requested()) {
      pollfd ready{listener_, POLLIN, 0};
      if (::poll(&ready, 1, 20) == 1)
        connections.emplace_back([this, stop, client = ::accept(listener_, nullptr, nullptr)] {
          std::string buffer;
          while (const auto request = read(stop, client, buffer))
            if (!answer(client, *request)) break;
          ::close(client);
        });
    }
  }

  static std::optional<Request> read(const std::stop_token& stop, int client, std::string& buffer) {
    Request request;
    for (size_t head = std::string::npos, size = 0; !stop.stop_requested();) {
      if (head == std::string::npos && (head = buffer.find("\r\n\r\n")) != std::string::npos) {
        std::istringstream lines(buffer.substr(0, head));
        std::string line;
        std::getline(lines, line);
        std::istringstream(line) >> request.method >> request.path;
        while (std::getline(lines, line)) {
          if (line.ends_with('\r')) line.pop_back();
          std::string name = line.substr(0, line.find(':'));
          std::ranges::transform(name, name.begin(), ::tolower);
          request.headers[name] = line.substr(line.find_first_not_of(' ', name.size() + 1));
        }
        if (request.headers.contains("content-length")) size = std::stoul(request.headers["content-length"]);
      }
      if (head != std::string::npos && buffer.size() >= head + 4 + size) {
        request.body = buffer.substr(head + 4, size);
        buffer.erase(0, head + 4 + size);
        return request;
      }
      pollfd ready{client, POLLIN, 0};
      if (::poll(&ready, 1, 20) != 1) continue;
      char bytes[65536];
      const ssize_t got = ::read(client, bytes, sizeof bytes);
      if (got <= 0) return std::nullopt;
      buffer.append(bytes, static_cast<size_t>(got));
    }
    return std::nullopt;
  }

  bool answer(int client, const Request& request) {
    ++requests;
    const std::lock_guard guard(lock_);
    int status = 0;
    std::string body;
    if (!failures_.empty()) {
      status = failures_.front();
      failures_.pop_front();
      if (status == 0) return false;
    } else if (!is_signed(request)) {
      ++forged;
      status = 403;
    } else {
      status = act(request, body);
    }
    const std::string length = std::to_string(body.size());
    const std::string bytes = "HTTP/1.1 " + std::to_string(status) + " x\r\nContent-Length: " + length +
                              "\r\n\r\n" + (request.method == "HEAD" ? "" : body);
    return ::send(client, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }

  int act(const Request& request, std::string& body) {
    if (!request.path.starts_with("/bucket")) return 404;
    if (request.path == "/bucket") return 200;
    if (request.method == "PUT") objects_[request.path] = request.body;
    if (request.method == "PUT") return 200;
    if (request.method == "DELETE") return objects_.erase(request.path), 204;
    if (!objects_.contains(request.path)) return 404;
    body = objects_[request.path];
    return 200;
  }

  int listener_, port_;
  std::mutex lock_;
  std::map<std::string, std::string> objects_;
  std::deque<int> failures_;
  std::jthread thread_;
};

class S3BlobsTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  fs::path cache_ = folder_.path() / "cache";
  SmallS3 service_;
  std::unique_ptr<BlobStore> store_ = open_s3_blobs(service_.place(), cache_);
  std::string path_ = "/bucket/some/prefix/ba/" + kAbc.substr(2);
};

TEST_F(S3BlobsTest, GivesBackWhatWasPut) {
  EXPECT_EQ(store_->put("abc"), kAbc);
  EXPECT_EQ(store_->put("abc"), kAbc);
  EXPECT_EQ(service_.objects(), (std::map<std::string, std::string>{{path_, "abc"}}));
  EXPECT_TRUE(store_->has(kAbc));
  EXPECT_EQ(store_->get(kAbc), "abc");
  const std::string bytes = std::string(3'000'000, 'x') + std::string("\0\xff\r\n", 4);
  EXPECT_EQ(store_->get(store_->put(bytes)), bytes);
  EXPECT_EQ(store_->get(store_->put("")), "");
  store_->remove(kAbc);
  EXPECT_FALSE(store_->has(kAbc));
  EXPECT_EQ(service_.forged, 0);
}

TEST_F(S3BlobsTest, SaysWhatIsNotThere) {
  const int before = service_.requests;
  for (const std::string& name : {std::string(), std::string("../x"), "B" + kAbc.substr(1)}) {
    EXPECT_FALSE(store_->has(name));
    EXPECT_EQ(code_of([&] { store_->get(name); }), ErrorCode::NotFound);
    EXPECT_EQ(code_of([&] { store_->file(name); }), ErrorCode::NotFound);
    store_->remove(name);
  }
  EXPECT_EQ(service_.requests, before) << "no such name reaches the service";
  EXPECT_FALSE(store_->has(kAbc));
  EXPECT_EQ(code_of([&] { store_->get(kAbc); }), ErrorCode::NotFound);
  store_->remove(kAbc);
}

TEST_F(S3BlobsTest, SaysWhenBytesHaveChanged) {
  store_->put("abc");
  service_.spoil(path_);
  EXPECT_EQ(code_of([&] { store_->get(kAbc); }), ErrorCode::BadFile);
  EXPECT_EQ(code_of([&] { store_->file(kAbc); }), ErrorCode::BadFile);
  store_->put("abc");
  EXPECT_EQ(store_->get(kAbc), "abc");
}

TEST_F(S3BlobsTest, TriesAgainWhereTheServiceIsBusy) {
  service_.fail_with({503, 0, 500});
  store_->put("abc");
  service_.fail_with({0, 429});
  EXPECT_EQ(store_->get(kAbc), "abc");
  service_.fail_with({500, 500, 500, 500, 500, 500});
  EXPECT_EQ(code_of([&] { store_->get(kAbc); }), ErrorCode::Internal);
  EXPECT_EQ(store_->get(kAbc), "abc");
}

TEST_F(S3BlobsTest, SaysWhatIsWrongWhenItIsOpened) {
  S3Place place = service_.place();
  place.secret = "wrong";
  EXPECT_EQ(code_of([&] { open_s3_blobs(place, cache_); }), ErrorCode::Refused);
  place = service_.place();
  place.bucket = "none";
  EXPECT_EQ(code_of([&] { open_s3_blobs(place, cache_); }), ErrorCode::NotFound);
  EXPECT_EQ(code_of([&] { open_s3_blobs(service_.place(), "/proc/nothing"); }), ErrorCode::InvalidArgument);
  place = service_.place();
  place.endpoint = "file:///etc";
  EXPECT_EQ(code_of([&] { open_s3_blobs(place, cache_); }), ErrorCode::Internal);
}

TEST_F(S3BlobsTest, KeepsFilesOnlyForItself) {
  store_->put("abc");
  const fs::path file = store_->file(kAbc);
  EXPECT_THAT(file.string(), StartsWith(cache_.string()));
  const int before = service_.requests;
  EXPECT_EQ(read_file(store_->file(kAbc), 10), "abc");
  EXPECT_EQ(service_.requests, before);
  fs::create_directory(cache_ / "blobs-killed");
  std::ofstream(cache_ / "other") << "x";
  const auto second = open_s3_blobs(service_.place(), cache_);
  EXPECT_TRUE(fs::exists(file)) << "the first still has it";
  EXPECT_FALSE(fs::exists(cache_ / "blobs-killed"));
  EXPECT_TRUE(fs::exists(cache_ / "other"));
  store_.reset();
  EXPECT_FALSE(fs::exists(file));
}

TEST_F(S3BlobsTest, ManyThreadsMayUseIt) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < 6; ++i)
    threads.emplace_back([&, i] {
      for (int j = 0; j < 5; ++j) {
        const std::string bytes = std::to_string(i) + " " + std::to_string(j);
        EXPECT_EQ(store_->get(store_->put(bytes)), bytes);
      }
    });
  threads.clear();
  EXPECT_EQ(service_.objects().size(), 30u);
  EXPECT_EQ(service_.forged, 0);
}

TEST(S3Place, ComesFromTheAddressAndTheEnvironment) {
  const std::map<std::string, std::string> environment = {{"AWS_ENDPOINT_URL", "http://127.0.0.1:9/"},
                                                          {"AWS_ACCESS_KEY_ID", "id"},
                                                          {"AWS_SECRET_ACCESS_KEY", "secret"},
                                                          {"AWS_REGION", "eu"}};
  for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
  const S3Place place = s3_place("s3://some-bucket/a/b/");
  EXPECT_EQ(place.endpoint, "http://127.0.0.1:9");
  EXPECT_EQ(place.bucket, "some-bucket");
  EXPECT_EQ(place.prefix, "a/b");
  EXPECT_EQ(place.region, "eu");
  EXPECT_EQ(place.key_id, "id");
  EXPECT_EQ(place.secret, "secret");
  EXPECT_EQ(s3_place("s3://b").prefix, "");
  for (const char* wrong : {"s3://", "s3:///x", "s3://b/x y", "s3://b/%2e", "s3://b?x"})
    EXPECT_EQ(code_of([&] { s3_place(wrong); }), ErrorCode::InvalidArgument) << wrong;
  ::unsetenv("AWS_ENDPOINT_URL");
  EXPECT_EQ(s3_place("s3://b").endpoint, "https://s3.eu.amazonaws.com");
  ::unsetenv("AWS_SECRET_ACCESS_KEY");
  EXPECT_EQ(code_of([&] { s3_place("s3://b"); }), ErrorCode::InvalidArgument);
  for (const auto& [name, value] : environment) ::unsetenv(name.c_str());
}

}  // namespace
}  // namespace limn::server
