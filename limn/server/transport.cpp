// SPDX-License-Identifier: Apache-2.0
#include "limn/server/transport.h"

#include <algorithm>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "limn/base/error.h"
#include "limn/server/connection.h"
#include "limn/server/metrics.h"

namespace limn::server {
namespace {

namespace asio = boost::asio;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kAcceptPause = 100ms;  // when the system has no descriptors left
constexpr std::string_view kTooMany =
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

std::string address_of(const tcp::endpoint& endpoint) {
  const asio::ip::address address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  return address.to_string();
}

/// Says, as far as that can be said without waiting, that there are too many connections.
void turn_away(tcp::socket& socket, bool tls) {
  error_code ignored;
  if (tls) return;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(kTooMany), ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

asio::awaitable<void> accept_all(TransportCore& core, tcp::acceptor& acceptor) {
  for (size_t next = 0; acceptor.is_open(); ++next) {
    IoThread& thread = *core.threads[next % core.threads.size()];
    error_code error;
    tcp::socket socket = co_await acceptor.async_accept(thread.context, redirect_error(use_awaitable, error));
    if (error) {
      asio::steady_timer pause(acceptor.get_executor(), kAcceptPause);
      error_code ignored;
      if (acceptor.is_open()) co_await pause.async_wait(redirect_error(use_awaitable, ignored));
      continue;
    }
    const tcp::endpoint peer = socket.remote_endpoint(error);
    if (error) continue;
    if (!core.begin_connection(address_of(peer))) {
      turn_away(socket, core.tls.has_value());
      continue;
    }
    socket.set_option(tcp::no_delay(true), error);
    auto start = [&core, &thread, socket = std::move(socket), address = address_of(peer)]() mutable {
      start_connection(core, thread, std::move(socket), address);
    };
    asio::post(thread.context, std::move(start));
  }
}

int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                    unsigned offered_size, void*) {
  static constexpr unsigned char kOurs[] = "\x08http/1.1";
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, size, kOurs, sizeof kOurs - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

asio::ssl::context make_tls(const TransportOptions& options) {
  asio::ssl::context context(asio::ssl::context::tls_server);
  SSL_CTX* native = context.native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native,
                      SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_alpn_select_cb(native, choose_protocol, nullptr);
  error_code error;
  context.use_certificate_chain_file(options.certificate, error);
  if (error)
    throw Error(ErrorCode::InvalidArgument, "--tls-certificate", options.certificate + ": " + error.message(),
                "a PEM file");
  context.use_private_key_file(options.key, asio::ssl::context::pem, error);
  if (error)
    throw Error(ErrorCode::InvalidArgument, "--tls-key", options.key + ": " + error.message(), "a PEM file");
  if (SSL_CTX_check_private_key(native) != 1)
    throw Error(ErrorCode::InvalidArgument, "--tls-key", "is not the key of the certificate");
  return context;
}

/// @return what went wrong
error_code listen_on(TransportCore& core, const tcp::endpoint& endpoint) {
  tcp::acceptor acceptor(core.threads.front()->context);
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && endpoint.protocol() == tcp::v6()) acceptor.set_option(asio::ip::v6_only(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return error;
  core.endpoints.push_back(acceptor.local_endpoint());
  core.acceptors.push_back(std::move(acceptor));
  return error;
}

void listen(TransportCore& core) {
  const std::string& host = core.options.host;
  error_code error;
  const auto found =
      tcp::resolver(core.threads.front()->context).resolve(host, "0", tcp::resolver::passive, error);
  if (error) throw Error(ErrorCode::InvalidArgument, "--host", "'" + host + "': " + error.message());
  uint16_t port = core.options.port;
  for (const auto& entry : found) {
    const error_code problem = listen_on(core, {entry.endpoint().address(), port});
    if (problem) error = problem;  // a name may have an address of a kind that this machine lacks
    if (!problem && port == 0) port = core.endpoints.front().port();
  }
  if (core.acceptors.empty())
    throw Error(ErrorCode::InvalidArgument, "--port",
                "cannot listen on " + host + " port " + std::to_string(port) + ": " + error.message(),
                "--port 0 lets the system choose");
}

}  // namespace

TransportCore::TransportCore(TransportOptions options, const RequestHandler& handler, Log& log,
                             Metrics& metrics)
    : options(std::move(options)),
      handler(handler),
      log(log),
      metrics(metrics),
      pool(this->options.limits.handlers) {}

bool TransportCore::begin_connection(const std::string& address) {
  const std::lock_guard lock(mutex);
  const bool from_proxy = std::ranges::find(options.proxies, address) != options.proxies.end();
  size_t& own = connections[address];
  if (count >= options.limits.connections || (!from_proxy && own >= options.limits.connections_per_address)) {
    metrics.add("limn_http_connections_refused_total");
    if (own == 0) connections.erase(address);
    return false;
  }
  ++own;
  metrics.set("limn_http_connections", {}, static_cast<double>(++count));
  return true;
}

void TransportCore::end_connection(const std::string& address) {
  const std::lock_guard lock(mutex);
  const auto own = connections.find(address);
  if (--own->second == 0) connections.erase(own);
  metrics.set("limn_http_connections", {}, static_cast<double>(--count));
  ended.notify_all();
}

struct Transport::State {
  TransportCore core;
  bool running = false, stopped = false;

  void in_every_thread(void (ClientConnection::*act)()) {
    for (const auto& thread : core.threads)
      asio::post(thread->context, [&thread = *thread, act] {
        const std::set<ClientConnection*> all = thread.connections;  // acting may end some
        for (ClientConnection* connection : all) (connection->*act)();
      });
  }
  bool wait_until(Clock::time_point until) {
    std::unique_lock lock(core.mutex);
    return core.ended.wait_until(lock, until, [&] { return core.count == 0; });
  }
};

Transport::Transport(TransportOptions options, const RequestHandler& handler, Log& log, Metrics& metrics)
    : state_(new State{TransportCore(std::move(options), handler, log, metrics)}) {
  TransportCore& core = state_->core;
  metrics.describe("limn_http_connections", Metrics::Kind::Gauge, "Connections that are open.");
  metrics.describe("limn_http_connections_refused_total", Metrics::Kind::Counter,
                   "Connections over the limits.");
  metrics.describe("limn_http_refused_total", Metrics::Kind::Counter,
                   "Requests that were malformed, too large or too slow.");
  if (!core.options.certificate.empty()) core.tls = make_tls(core.options);
  for (int i = 0; i < std::max(1, core.options.io_threads); ++i)
    core.threads.push_back(std::make_unique<IoThread>());
  listen(core);
}

Transport::~Transport() {
  while (!stop(0ms)) {
  }
}

void Transport::start() {
  TransportCore& core = state_->core;
  for (tcp::acceptor& acceptor : core.acceptors)
    asio::co_spawn(core.threads.front()->context, accept_all(core, acceptor), asio::detached);
  for (const auto& thread : core.threads)
    thread->thread = std::thread([&thread = *thread] { thread.context.run(); });
  state_->running = true;
}

uint16_t Transport::port() const { return state_->core.endpoints.front().port(); }

std::vector<std::string> Transport::addresses() const {
  std::vector<std::string> out;
  for (const tcp::endpoint& endpoint : state_->core.endpoints) {
    const std::string address = address_of(endpoint);
    const bool v6 = address.find(':') != std::string::npos;
    out.push_back((state_->core.tls ? "https://" : "http://") + (v6 ? "[" + address + "]" : address) + ":" +
                  std::to_string(port()));
  }
  return out;
}

bool Transport::stop(std::chrono::milliseconds grace) {
  State& state = *state_;
  TransportCore& core = state.core;
  if (!state.running || state.stopped) return true;
  core.draining = true;
  asio::post(core.threads.front()->context, [&core] {
    error_code ignored;
    for (tcp::acceptor& acceptor : core.acceptors) acceptor.close(ignored);
  });
  state.in_every_thread(&ClientConnection::drain);
  if (!state.wait_until(Clock::now() + grace)) state.in_every_thread(&ClientConnection::close);
  const auto until = Clock::now() + core.options.limits.unheard_time;
  if (!state.wait_until(until) || !core.pool.wait_until_idle(until)) return false;
  for (const auto& thread : core.threads) {
    thread->work.reset();
    thread->context.stop();
  }
  for (const auto& thread : core.threads) thread->thread.join();
  state.stopped = true;
  return true;
}

}  // namespace limn::server
