// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <variant>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/core/role.hpp>

namespace limn::server {

/// The bytes of a connection, over TLS or not: one type for both, so that what reads and writes is compiled once.
class Link {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using Tls = boost::asio::ssl::stream<Socket>;
  using error_code = boost::system::error_code;
  using executor_type = Socket::executor_type;

  /// @param tls  null: none
  Link(Socket socket, boost::asio::ssl::context* tls)
      : stream_(std::in_place_type<Socket>, std::move(socket)) {
    if (tls) stream_ = Tls(std::move(std::get<Socket>(stream_)), *tls);
  }

  bool is_tls() const { return std::holds_alternative<Tls>(stream_); }
  Socket& socket() { return is_tls() ? std::get<Tls>(stream_).next_layer() : std::get<Socket>(stream_); }
  executor_type get_executor() { return socket().get_executor(); }
  void cancel() {
    error_code ignored;
    socket().cancel(ignored);
  }
  void close() {
    error_code ignored;
    socket().close(ignored);
  }
  void end_sending() {
    error_code ignored;
    socket().shutdown(Socket::shutdown_send, ignored);
  }

  boost::asio::awaitable<error_code> shake_hands() {
    error_code error;
    if (is_tls())
      co_await std::get<Tls>(stream_).async_handshake(Tls::server,
                                                      redirect_error(boost::asio::use_awaitable, error));
    co_return error;
  }
  boost::asio::awaitable<void> say_goodbye() {
    error_code ignored;
    if (is_tls())
      co_await std::get<Tls>(stream_).async_shutdown(redirect_error(boost::asio::use_awaitable, ignored));
  }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(error_code, size_t)>(
        [this](auto handler, const Buffers& all) {
          std::visit([&](auto& stream) { stream.async_read_some(all, std::move(handler)); }, stream_);
        },
        token, buffers);
  }
  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(error_code, size_t)>(
        [this](auto handler, const Buffers& all) {
          std::visit([&](auto& stream) { stream.async_write_some(all, std::move(handler)); }, stream_);
        },
        token, buffers);
  }

  // What Beast's WebSocket asks of a stream.
  friend void beast_close_socket(Link& link) { link.close(); }
  friend void teardown(boost::beast::role_type, Link& link, error_code& error) {
    link.end_sending();
    error = {};
  }
  template <typename Handler>
  friend void async_teardown(boost::beast::role_type, Link& link, Handler&& handler) {
    link.end_sending();
    boost::asio::post(link.get_executor(),
                      boost::beast::bind_front_handler(std::forward<Handler>(handler), error_code()));
  }

 private:
  std::variant<Socket, Tls> stream_;
};

}  // namespace limn::server
