// SPDX-License-Identifier: Apache-2.0
#include "limn/server/connection.h"

#include <algorithm>
#include <array>
#include <future>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/websocket/stream.hpp>

#include "limn/base/error.h"
#include "limn/server/link.h"
#include "limn/server/log.h"
#include "limn/server/metrics.h"
#include "limn/server/request_head.h"
#include "limn/server/response_head.h"

namespace limn::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
template <typename T>
using Awaitable = asio::awaitable<T>;

constexpr size_t kReadPiece = 64 << 10, kWritePiece = 256 << 10;
constexpr size_t kReadAhead = 16 << 10;      // while a handler works
constexpr size_t kMostChunkHead = 16 << 10;  // of a chunk's line, or of the fields after the last
constexpr size_t kMostMessage = 64 << 10;    // of a WebSocket client, which has nothing to say
constexpr size_t kMostDiscarded = size_t{256} << 20;
constexpr auto kNever = Clock::time_point::max();
constexpr const char* kRetrySeconds = "5";

HttpError busy(const std::string& message) {
  return {503, {"busy", "", message, "try again soon"}, {{"Retry-After", kRetrySeconds}}};
}

HttpError too_large(int64_t limit) {
  return {413, {"payload_too_large", "body", "is over the limit of " + std::to_string(limit) + " bytes", ""}};
}

/// A share of the memory for bodies.
class BodyShare {
 public:
  explicit BodyShare(TransportCore& core) : core_(core) {}
  ~BodyShare() { core_.bodies -= bytes_; }
  BodyShare(const BodyShare&) = delete;
  BodyShare& operator=(const BodyShare&) = delete;
  /// @throws HttpError 503 when there is no more
  void grow_to(int64_t bytes) {
    if (bytes <= bytes_) return;
    const int64_t more = bytes - bytes_;
    if (core_.bodies.fetch_add(more) + more > core_.options.limits.bodies) {
      core_.bodies -= more;
      throw busy("too much is sent at once");
    }
    bytes_ = bytes;
  }

 private:
  TransportCore& core_;
  int64_t bytes_ = 0;
};

/// The client has closed its connection, or is not worth waiting for.
struct Gone {};

std::string_view view_of(const beast::flat_buffer& buffer) {
  return {static_cast<const char*>(buffer.cdata().data()), buffer.size()};
}

using Parser = beast::http::request_parser<beast::http::string_body>;
using WebSocket = beast::websocket::stream<Link&>;

/// One request and its answer.
struct Exchange {
  explicit Exchange(TransportCore& core) : share(core) {}
  Parser parser;
  BodyShare share;
  HttpRequest request;
  std::optional<HttpResponse> response;
  bool keep_alive = false, http_1_1 = true;
  bool sent = false;          // by the handler's thread
  bool broken = false;        // the body ended before its end
  std::promise<bool> opened;  // the WebSocket, or not
};

/// Everything happens in the I/O thread, but for work() and what that calls.
class Connection : public ClientConnection, public std::enable_shared_from_this<Connection> {
 public:
  Connection(TransportCore& core, IoThread& thread, tcp::socket socket, std::string address)
      : core_(core),
        thread_(thread),
        limits_(core.options.limits),
        link_(std::move(socket), core.tls ? &*core.tls : nullptr),
        address_(std::move(address)),
        deadline_timer_(link_.get_executor()),
        work_timer_(link_.get_executor()) {}

  void start();
  void drain() override;
  void close() override;

  /// From a handler's thread: sends, and waits until it is sent.
  bool send(std::array<std::string_view, 3> parts);
  bool send_message(std::string_view text);

 private:
  static Awaitable<void> run(std::shared_ptr<Connection> self);
  static Awaitable<void> watch_deadline(std::shared_ptr<Connection> self);
  void set_deadline(Clock::time_point deadline);
  void set_deadline(std::chrono::milliseconds from_now) { set_deadline(Clock::now() + from_now); }

  Awaitable<bool> serve_one();
  Awaitable<void> wait_for_request();
  Awaitable<void> read_request(Exchange& x);
  Awaitable<void> read_head(Exchange& x);
  void understand_head(Exchange& x);
  Awaitable<int64_t> admit(Exchange& x);
  Awaitable<void> read_body(Exchange& x, int64_t limit);
  Awaitable<void> read_more();
  Awaitable<void> answer(Exchange& x);
  Awaitable<bool> in_pool(std::function<void()> work, bool watch);
  void end_work();
  void work(Exchange& x);
  void stream_body(Exchange& x);
  Awaitable<void> converse(Exchange& x);
  void send_messages(Exchange& x);
  Awaitable<void> send_response(Exchange& x);
  Awaitable<bool> write(std::array<std::string_view, 3> parts);
  Awaitable<void> linger();
  std::string head_of(Exchange& x, bool chunked, std::optional<int64_t> length);
  void refuse(Exchange& x, const HttpError& error);

  TransportCore& core_;
  IoThread& thread_;
  const TransportLimits& limits_;
  Link link_;
  const std::string address_;
  beast::flat_buffer buffer_{kReadPiece * 2};  // read and not yet understood
  asio::steady_timer deadline_timer_, work_timer_;
  Clock::time_point deadline_ = kNever;
  bool late_ = false;    // the deadline has passed, and reading was cancelled for it
  bool over_ = false;    // for watch_deadline
  bool idle_ = false;    // waits for a request
  bool served_ = false;  // a request
  bool eof_ = false;     // the client will send no more
  bool working_ = false;
  bool upgrading_ = false;  // work() waits for a WebSocket
  std::stop_source gone_;
  std::optional<WebSocket> socket_;
};

void Connection::start() {
  thread_.connections.insert(this);
  asio::co_spawn(link_.get_executor(), run(shared_from_this()), asio::detached);
  asio::co_spawn(link_.get_executor(), watch_deadline(shared_from_this()), asio::detached);
}

void Connection::drain() {
  if (idle_) link_.cancel();
}

void Connection::close() {
  gone_.request_stop();
  link_.close();
}

Awaitable<void> Connection::run(std::shared_ptr<Connection> self) {
  Connection& c = *self;
  try {
    if (c.core_.draining) throw Gone();
    c.set_deadline(c.limits_.header_time);
    const error_code error = co_await c.link_.shake_hands();
    if (error) throw Gone();
    bool more = true;
    while (more) more = co_await c.serve_one();
    if (!c.eof_) co_await c.linger();
  } catch (const Gone&) {
  } catch (const std::exception& error) {
    c.core_.log.error("connection_failed", {{"peer", c.address_}, {"problem", error.what()}});
  }
  c.close();
  c.over_ = true;
  c.deadline_timer_.cancel();
  c.thread_.connections.erase(&c);
  c.core_.end_connection(c.address_);
}

// Once late, what is read is given up; later still, the connection.
Awaitable<void> Connection::watch_deadline(std::shared_ptr<Connection> self) {
  Connection& c = *self;
  while (!c.over_) {
    error_code ignored;
    c.deadline_timer_.expires_at(c.deadline_);
    co_await c.deadline_timer_.async_wait(redirect_error(use_awaitable, ignored));
    if (c.over_ || Clock::now() < c.deadline_) continue;
    if (c.late_) {
      c.close();
      c.deadline_ = kNever;
    } else {
      c.late_ = true;
      c.deadline_ = Clock::now() + c.limits_.linger_time;
      c.link_.cancel();
    }
  }
}

void Connection::set_deadline(Clock::time_point deadline) {
  late_ = false;
  const bool sooner = deadline < deadline_;
  deadline_ = deadline;
  if (sooner) deadline_timer_.cancel();  // it is set anew; one that comes too early finds out by itself
}

/// @return whether another request may follow
Awaitable<bool> Connection::serve_one() {
  co_await wait_for_request();
  Exchange x(core_);
  gone_ = std::stop_source();
  x.request.gone = gone_.get_token();
  std::optional<HttpError> refused;
  try {
    co_await read_request(x);
  } catch (const HttpError& error) {
    refused = error;
  }
  if (refused) {
    x.keep_alive = false;
    refuse(x, *refused);
  } else if (!x.response) {
    co_await answer(x);
  }
  if (!x.sent) co_await send_response(x);
  if (x.broken) throw Gone();
  served_ = true;
  co_return x.keep_alive;
}

void Connection::refuse(Exchange& x, const HttpError& error) {
  x.response = error_response(error.status(), error.problem());
  x.response->headers = error.headers();
  core_.metrics.add("limn_http_refused_total", {{"status", std::to_string(error.status())}});
  core_.log.info("refused", {{"status", error.status()}, {"path", x.request.path}, {"peer", address_}});
}

/// @throws Gone when none comes
Awaitable<void> Connection::wait_for_request() {
  if (buffer_.size() > 0) co_return;
  if (eof_ || core_.draining) throw Gone();
  set_deadline(served_ ? limits_.idle_time : limits_.header_time);
  idle_ = true;
  error_code error;
  const size_t read =
      co_await link_.async_read_some(buffer_.prepare(kReadPiece), redirect_error(use_awaitable, error));
  idle_ = false;
  buffer_.commit(read);
  if (read == 0) throw Gone();
}

Awaitable<void> Connection::read_request(Exchange& x) {
  co_await read_head(x);
  understand_head(x);
  const bool has_body = x.parser.chunked() || x.parser.content_length().value_or(0) > 0;
  const bool waits = expects_continue(x.request);
  if (!has_body) co_return;
  const int64_t limit = co_await admit(x);
  if (x.response) co_return;
  if (waits && buffer_.size() == 0) co_await write({"HTTP/1.1 100 Continue\r\n\r\n"});
  co_await read_body(x, limit);
}

Awaitable<void> Connection::read_head(Exchange& x) {
  set_deadline(limits_.header_time);
  x.parser.header_limit(static_cast<uint32_t>(limits_.header_bytes));
  x.parser.body_limit(boost::none);
  size_t used = 0;
  for (;;) {
    error_code error;
    // RFC 9112 §2.2: some clients end a body so.
    if (used == 0 && view_of(buffer_).starts_with("\r\n")) buffer_.consume(2);
    if (buffer_.size() > 0) {
      const size_t now = x.parser.put(buffer_.data(), error);
      buffer_.consume(now);
      used += now;
    }
    if (x.parser.is_header_done()) co_return;
    if (error == beast::http::error::header_limit || used + buffer_.size() >= limits_.header_bytes)
      throw HttpError(431, {"header_too_large", "",
                            "the head is over " + std::to_string(limits_.header_bytes) + " bytes", ""});
    if (error && error != beast::http::error::need_more)
      throw bad_request("", "is not HTTP: " + error.message());
    co_await read_more();
  }
}

void Connection::understand_head(Exchange& x) {
  const auto& message = x.parser.get();
  x.http_1_1 = message.version() >= 11;
  x.keep_alive = x.parser.keep_alive();
  x.request.method = message.method_string();
  for (const auto& field : message)
    x.request.headers.emplace_back(lower_case(field.name_string()), field.value());
  if (x.request.headers.size() > limits_.header_fields)
    throw HttpError(431, {"header_too_large", "",
                          "the head has more than " + std::to_string(limits_.header_fields) + " fields", ""});
  std::erase_if(x.request.headers, [](const auto& field) { return !is_utf8(field.second); });
  check_fields(x.request, x.http_1_1);
  const std::string authority = read_target(message.target(), x.request);
  for (auto& [name, value] : x.request.headers)
    if (name == "host" && !authority.empty()) value = authority;
  x.request.peer = address_;
  x.request.secure = link_.is_tls();
  read_forwarded(core_.options.proxies, x.request);
}

Awaitable<int64_t> Connection::admit(Exchange& x) {
  std::variant<int64_t, HttpResponse> admitted;
  const bool done = co_await in_pool([&] { admitted = core_.handler.admit(x.request); }, false);
  if (!done) throw busy("too many requests at once");
  if (auto* refusal = std::get_if<HttpResponse>(&admitted)) {
    x.response = std::move(*refusal);
    x.keep_alive = false;  // rather than read what nobody wants
    co_return 0;
  }
  co_return std::get<int64_t>(admitted);
}

Awaitable<void> Connection::read_body(Exchange& x, int64_t limit) {
  const auto length =
      static_cast<int64_t>(std::min<uint64_t>(x.parser.content_length().value_or(0), INT64_MAX));
  if (length > limit) throw too_large(limit);
  x.share.grow_to(length);
  x.parser.body_limit(static_cast<uint64_t>(limit));
  x.parser.eager(true);
  const auto start = Clock::now() + limits_.body_time;
  int64_t read = 0;
  for (;;) {
    error_code error;
    size_t used = 0;
    if (buffer_.size() > 0) {
      used = x.parser.put(buffer_.data(), error);
      buffer_.consume(used);
      read += static_cast<int64_t>(used);
    }
    x.share.grow_to(static_cast<int64_t>(x.parser.get().body().size()));
    if (error == beast::http::error::body_limit) throw too_large(limit);
    if (error && error != beast::http::error::need_more)
      throw bad_request("body", "is not HTTP: " + error.message());
    if (x.parser.is_done()) break;
    if (used == 0 && buffer_.size() >= kMostChunkHead)
      throw bad_request("body", "has a chunk whose head does not end");
    set_deadline(start + std::chrono::seconds(read / limits_.slowest_body));
    co_await read_more();
  }
  x.request.body = std::move(x.parser.get().body());
}

/// @throws HttpError 408 past the deadline, Gone at the end
Awaitable<void> Connection::read_more() {
  if (eof_) throw Gone();
  error_code error;
  const auto space = buffer_.prepare(std::min(kReadPiece, buffer_.max_size() - buffer_.size()));
  const size_t read = co_await link_.async_read_some(space, redirect_error(use_awaitable, error));
  buffer_.commit(read);
  if (read > 0) co_return;
  if (late_) throw HttpError(408, {"too_slow", "", "the request did not come in time", ""});
  eof_ = true;
  throw Gone();
}

Awaitable<void> Connection::answer(Exchange& x) {
  if (x.request.body.empty() && core_.handler.is_instant(x.request)) {
    x.response = core_.handler.handle(x.request);
    LIMN_CHECK(!x.response->stream && !x.response->messages, "an instant answer has no end");
    co_return;
  }
  const bool done = co_await in_pool([&] { work(x); }, true);
  if (!done) refuse(x, busy("too many requests at once"));
  if (upgrading_) co_await converse(x);
}

/// Runs `work` in the pool and waits for it, or until it waits for a WebSocket. @return false: no thread is free
/// @param watch  read ahead meanwhile, to see when the client goes away
Awaitable<bool> Connection::in_pool(std::function<void()> work, bool watch) {
  set_deadline(kNever);
  working_ = true;
  if (eof_) gone_.request_stop();
  const bool taken = core_.pool.run([self = shared_from_this(), work = std::move(work)] {
    work();
    asio::post(self->link_.get_executor(), [self] { self->end_work(); });
  });
  if (!taken) {
    working_ = false;
    co_return false;
  }
  while (working_ && !upgrading_) {
    error_code error;
    if (watch && !eof_ && buffer_.size() < kReadAhead) {
      const size_t read =
          co_await link_.async_read_some(buffer_.prepare(kReadAhead), redirect_error(use_awaitable, error));
      buffer_.commit(read);
      // The end is told once: a second read after it would wait for ever.
      if (!error || error == asio::error::operation_aborted) continue;
      eof_ = true;
      gone_.request_stop();
    } else {
      work_timer_.expires_at(kNever);
      co_await work_timer_.async_wait(redirect_error(use_awaitable, error));
    }
  }
  co_return true;
}

void Connection::end_work() {
  working_ = false;
  work_timer_.cancel();
  if (!socket_) link_.cancel();
}

/// Sends what a handler gives piece by piece.
class ChunkSender : public BodyStream {
 public:
  ChunkSender(Connection& connection, bool chunked) : connection_(connection), chunked_(chunked) {}
  bool write(std::string_view bytes) override {
    if (bytes.empty() || !good_) return good_;  // an empty chunk would be the last
    if (!chunked_) return good_ = connection_.send({bytes});
    char head[20];
    const int size = std::snprintf(head, sizeof head, "%zx\r\n", bytes.size());
    return good_ = connection_.send({std::string_view(head, static_cast<size_t>(size)), bytes, "\r\n"});
  }
  bool end() { return good_ && (!chunked_ || connection_.send({"0\r\n\r\n"})); }

 private:
  Connection& connection_;
  const bool chunked_;
  bool good_ = true;
};

class MessageSender : public MessageStream {
 public:
  explicit MessageSender(Connection& connection) : connection_(connection) {}
  bool send(std::string_view text) override { return connection_.send_message(text); }

 private:
  Connection& connection_;
};

/// In a thread of the pool.
void Connection::work(Exchange& x) {
  x.response = core_.handler.handle(x.request);
  if (x.response->messages)
    send_messages(x);
  else if (x.response->stream && x.request.method != "HEAD")
    stream_body(x);
}

void Connection::stream_body(Exchange& x) {
  x.sent = true;
  if (!x.http_1_1) x.keep_alive = false;
  ChunkSender sender(*this, x.http_1_1);
  try {
    x.broken = !send({head_of(x, x.http_1_1, std::nullopt)});
    if (x.broken) return;
    x.response->stream(sender);
    x.broken = !sender.end();
  } catch (const std::exception& error) {  // all that can still be said is that this is not the end
    core_.log.error("stream_failed", {{"path", x.request.path}, {"problem", error.what()}});
    x.broken = true;
  }
}

void Connection::send_messages(Exchange& x) {
  if (!beast::websocket::is_upgrade(x.parser.get())) {
    x.response =
        error_response(426, {"upgrade_required", "", "this address speaks WebSocket", "connect with ws://"});
    x.response->headers = {{"Upgrade", "websocket"}};
    return;
  }
  x.sent = true;
  asio::post(link_.get_executor(), [this] {  // which waits for work() to end
    upgrading_ = true;
    work_timer_.cancel();
    link_.cancel();
  });
  if (!x.opened.get_future().get()) return;
  MessageSender sender(*this);
  try {
    x.response->messages(sender);
  } catch (const std::exception& error) {
    core_.log.error("stream_failed", {{"path", x.request.path}, {"problem", error.what()}});
  }
  asio::post(link_.get_executor(), [self = shared_from_this()] {
    const auto code = self->core_.draining ? beast::websocket::close_code::going_away
                                           : beast::websocket::close_code::normal;
    if (self->socket_->is_open())
      self->socket_->async_close(code, [self](const error_code&) {});  // ends reading, too
  });
}

/// Opens the WebSocket, reads what the client says, and ends with work().
Awaitable<void> Connection::converse(Exchange& x) {
  upgrading_ = false;
  x.keep_alive = false;
  error_code error;
  socket_.emplace(link_);
  socket_->set_option({.handshake_timeout = limits_.header_time,
                       .idle_timeout = limits_.idle_time,
                       .keep_alive_pings = true});
  socket_->read_message_max(kMostMessage);
  socket_->text(true);
  socket_->auto_fragment(false);
  if (buffer_.size() == 0) {
    co_await socket_->async_accept(x.parser.get(), redirect_error(use_awaitable, error));
  } else {
    error = beast::http::error::unexpected_body;
  }
  x.opened.set_value(!error);
  beast::flat_buffer dropped;
  while (!error) {
    co_await socket_->async_read(dropped, redirect_error(use_awaitable, error));
    dropped.clear();
  }
  gone_.request_stop();
  while (working_) {
    work_timer_.expires_at(kNever);
    co_await work_timer_.async_wait(redirect_error(use_awaitable, error));
  }
  throw Gone();
}

bool Connection::send(std::array<std::string_view, 3> parts) {
  // Shared: the one who sets the value may still be at it when the other has it.
  const auto sent = std::make_shared<std::promise<bool>>();
  asio::co_spawn(link_.get_executor(), write(parts),
                 [sent](const std::exception_ptr& error, bool good) { sent->set_value(!error && good); });
  return sent->get_future().get();
}

bool Connection::send_message(std::string_view text) {
  const auto sent = std::make_shared<std::promise<bool>>();
  asio::post(link_.get_executor(), [this, text, sent] {
    if (!socket_->is_open()) return sent->set_value(false);
    set_deadline(limits_.write_time);
    socket_->async_write(asio::buffer(text), [this, sent](const error_code& error, size_t) {
      set_deadline(kNever);
      sent->set_value(!error);
    });
  });
  return sent->get_future().get();
}

std::string Connection::head_of(Exchange& x, bool chunked, std::optional<int64_t> length) {
  if (core_.draining) x.keep_alive = false;
  return response_head(*x.response, {length, chunked, x.keep_alive});
}

Awaitable<void> Connection::send_response(Exchange& x) {
  const HttpResponse& response = *x.response;
  const std::string_view body = response.body.empty() ? response.bytes : std::string_view(response.body);
  const bool endless = response.stream != nullptr;  // and asked for with HEAD
  const std::string head = head_of(x, endless && x.http_1_1,
                                   endless ? std::nullopt : std::optional(static_cast<int64_t>(body.size())));
  const bool with_body = x.request.method != "HEAD" && has_body(response.status);
  const bool sent = co_await write({head, with_body ? body : std::string_view()});
  if (!sent) throw Gone();
}

/// @return false: the client has gone
Awaitable<bool> Connection::write(std::array<std::string_view, 3> parts) {
  for (;;) {
    // A deadline for each piece: slow clients may take as long as they keep taking.
    std::array<asio::const_buffer, 3> piece;
    size_t size = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      piece[i] = asio::buffer(parts[i].substr(0, kWritePiece - size));
      size += piece[i].size();
      parts[i].remove_prefix(piece[i].size());
    }
    if (size == 0) break;
    set_deadline(limits_.write_time);
    error_code error;
    co_await asio::async_write(link_, piece, redirect_error(use_awaitable, error));
    if (error) {
      gone_.request_stop();
      co_return false;
    }
  }
  set_deadline(kNever);
  co_return true;
}

// A connection that is closed while something comes in is reset, and takes with it what the client has not read yet.
Awaitable<void> Connection::linger() {
  set_deadline(limits_.linger_time);
  co_await link_.say_goodbye();
  link_.end_sending();
  buffer_.consume(buffer_.size());
  error_code error;
  for (size_t discarded = 0; !error && !late_ && discarded < kMostDiscarded;) {
    const size_t read = co_await link_.socket().async_read_some(buffer_.prepare(kReadPiece),
                                                                redirect_error(use_awaitable, error));
    discarded += read;
  }
}

}  // namespace

void start_connection(TransportCore& core, IoThread& thread, tcp::socket socket, const std::string& address) {
  std::make_shared<Connection>(core, thread, std::move(socket), address)->start();
}

}  // namespace limn::server
