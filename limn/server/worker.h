// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "limn/server/services.h"

namespace limn::server {

/// Takes jobs from the queue one by one, runs the engine, and hands the pictures in. A job whose worker is lost begins again
/// from its checkpoint and ends in the same bits. One thread at a time; several workers may share the services.
class Worker {
 public:
  /// @param name  for the jobs that it runs; each worker has its own
  Worker(Services& services, std::shared_ptr<engine::Models> models, std::string name);
  ~Worker();
  /// Until `stop`: then the job in work goes back to the queue with its checkpoint.
  void run(const std::stop_token& stop);
  /// Claims and runs one job. @return false: there was none
  bool run_one(const std::stop_token& stop = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace limn::server
