// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "limn/server/http.h"

namespace limn::server {

class Log;
class Metrics;

struct TransportLimits {
  size_t header_bytes = 16 << 10, header_fields = 100;
  int64_t bodies = int64_t{1} << 30;  // bytes of bodies in memory, of all connections
  size_t connections = 1024, connections_per_address = 512;
  size_t handlers = 512;                          // that run at a time
  std::chrono::milliseconds header_time{10'000};  // from the first byte of a request to the end of its head
  std::chrono::milliseconds body_time{30'000};  // for its body, and a second more for each slowest_body bytes
  int64_t slowest_body = 16 << 10;
  std::chrono::milliseconds idle_time{75'000};    // between requests; for the first, header_time
  std::chrono::milliseconds write_time{30'000};   // for each 256 KiB of an answer
  std::chrono::milliseconds linger_time{5'000};   // for what a refused client still sends
  std::chrono::milliseconds unheard_time{5'000};  // for handlers to notice that nobody waits for them
};

struct TransportOptions {
  std::string host = "127.0.0.1";    // an address, or a name of this machine
  uint16_t port = 0;                 // 0: the system chooses
  std::string certificate, key;      // PEM files; empty: no TLS
  std::vector<std::string> proxies;  // addresses whose word is taken for the client's
  int io_threads = 2;
  TransportLimits limits;
};

/// HTTP/1.1 and WebSocket over TCP or TLS. Reads requests within the limits, answers malformed ones itself, and puts the
/// headers that protect browsers on every response. One thread at a time.
class Transport {
 public:
  /// Listens, but answers nobody yet.
  /// @param handler  outlives this, as do log and metrics
  /// @throws Error{InvalidArgument} when the address cannot be listened on, or certificate and key do not fit
  Transport(TransportOptions options, const RequestHandler& handler, Log& log, Metrics& metrics);
  ~Transport();  // stops at once
  void start();
  std::vector<std::string> addresses() const;  // "http://127.0.0.1:7860"
  uint16_t port() const;

  /// Accepts no more connections, lets running requests end for so long, then closes what is left.
  /// @return false: a handler still runs, and will not notice that nobody waits for it
  bool stop(std::chrono::milliseconds grace);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace limn::server
