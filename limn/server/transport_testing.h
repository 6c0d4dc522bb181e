// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "limn/server/http.h"
#include "limn/server/log.h"
#include "limn/server/metrics.h"
#include "limn/server/transport.h"

namespace limn::server {

/// A client that sends just what it is told, over TCP to this machine.
class RawClient {
 public:
  explicit RawClient(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool is_connected() const { return connected_; }
  bool has_ended() const { return ended_; }
  int descriptor() const { return socket_; }
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  /// So that close() resets the connection.
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }
  void end_sending() { ::shutdown(socket_, SHUT_WR); }

  /// @return whether all of it was taken
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  /// Waits for more. @return false: the end, or nothing came in time
  bool read_more(int milliseconds = 10'000) {
    pollfd waiting{socket_, POLLIN, 0};
    if (::poll(&waiting, 1, milliseconds) != 1) return false;
    char bytes[65536];
    const ssize_t got = ::recv(socket_, bytes, sizeof bytes, 0);
    ended_ = got <= 0;
    if (got > 0) unread_.append(bytes, static_cast<size_t>(got));
    return got > 0;
  }
  /// Everything up to the end of the connection.
  std::string read_all() {
    while (read_more()) {
    }
    return std::exchange(unread_, {});
  }
  std::string read_until(std::string_view end) {
    size_t at;
    while ((at = unread_.find(end)) == std::string::npos)
      if (!read_more()) return std::exchange(unread_, {});
    const std::string out = unread_.substr(0, at + end.size());
    unread_.erase(0, out.size());
    return out;
  }
  std::string read_bytes(size_t count) {
    while (unread_.size() < count && read_more()) {
    }
    const std::string out = unread_.substr(0, count);
    unread_.erase(0, out.size());
    return out;
  }
  /// One answer with a Content-Length: its head and body.
  std::string read_answer() {
    std::string answer = read_until("\r\n\r\n");
    const size_t at = answer.find("Content-Length: ");
    if (at != std::string::npos) answer += read_bytes(std::stoul(answer.substr(at + 16)));
    return answer;
  }
  /// Whether the server closes the connection in time.
  bool is_closed_within(int milliseconds) {
    while (!ended_)
      if (!read_more(milliseconds) && !ended_) return false;
    return true;
  }

 private:
  int socket_;
  bool connected_ = false, ended_ = false;
  std::string unread_;
};

/// Answers as the test says.
class FakeHandler : public RequestHandler {
 public:
  std::function<HttpResponse(const HttpRequest&)> answer = [](const HttpRequest& request) {
    HttpResponse out;
    out.content_type = "text/plain";
    out.body = request.method + " " + request.path + " " + request.body;
    return out;
  };
  std::function<std::variant<int64_t, HttpResponse>(const HttpRequest&)> admission =
      [](const HttpRequest&) -> std::variant<int64_t, HttpResponse> { return int64_t{1} << 20; };
  std::function<bool(const HttpRequest&)> instant = [](const HttpRequest&) { return false; };

  std::variant<int64_t, HttpResponse> admit(const HttpRequest& head) const override {
    return admission(head);
  }
  HttpResponse handle(const HttpRequest& request) const override { return answer(request); }
  bool is_instant(const HttpRequest& request) const override { return instant(request); }
};

/// A transport on a port that the system chose, and what it logged.
struct Served {
  FakeHandler handler;
  TransportOptions options;
  std::mutex mutex;
  std::string logged;
  Metrics metrics;
  Log log{Log::Format::Text, [this](std::string_view line) {
            const std::lock_guard lock(mutex);
            logged += line;
          }};
  std::unique_ptr<Transport> transport;

  std::string log_text() {
    const std::lock_guard lock(mutex);
    return logged;
  }
  uint16_t start() {
    transport = std::make_unique<Transport>(options, handler, log, metrics);
    transport->start();
    return transport->port();
  }
};

}  // namespace limn::server
