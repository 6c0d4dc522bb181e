// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include "limn/server/thread_pool.h"
#include "limn/server/transport.h"

namespace limn::server {

/// One connection of a client. It owns itself from start_connection() to its end, and is touched in its I/O thread alone.
class ClientConnection {
 public:
  virtual ~ClientConnection() = default;
  virtual void drain() = 0;  // ends when nothing is asked
  virtual void close() = 0;  // at once
};

/// One thread that reads and writes, with the connections that are its own.
struct IoThread {
  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work =
      boost::asio::make_work_guard(context);
  std::set<ClientConnection*> connections;  // touched in this thread alone
  std::thread thread;
};

/// What all connections of a transport share.
struct TransportCore {
  TransportCore(TransportOptions options, const RequestHandler& handler, Log& log, Metrics& metrics);

  const TransportOptions options;
  const RequestHandler& handler;
  Log& log;
  Metrics& metrics;
  std::optional<boost::asio::ssl::context> tls;
  std::vector<std::unique_ptr<IoThread>> threads;
  std::vector<boost::asio::ip::tcp::acceptor> acceptors;  // of the first thread
  std::vector<boost::asio::ip::tcp::endpoint> endpoints;  // of the acceptors, while those are open and after
  std::atomic<int64_t> bodies = 0;                        // bytes
  std::atomic<bool> draining = false;

  std::mutex mutex;
  std::condition_variable ended;
  std::map<std::string, size_t> connections;  // by address
  size_t count = 0;
  ThreadPool pool;  // ends before what its threads use

  /// Counts a connection in. @return false: there are too many
  bool begin_connection(const std::string& address);
  void end_connection(const std::string& address);
};

/// Serves a connection that was counted in, and counts it out. To be called in the thread.
void start_connection(TransportCore& core, IoThread& thread, boost::asio::ip::tcp::socket socket,
                      const std::string& address);

}  // namespace limn::server
