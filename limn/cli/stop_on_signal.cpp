// SPDX-License-Identifier: Apache-2.0
#include "limn/cli/stop_on_signal.h"

#include <cstdlib>

#include <pthread.h>

#include "limn/base/error.h"

namespace limn::cli {

StopOnSignal::StopOnSignal() {
  sigemptyset(&signals_);
  for (int signal : {SIGINT, SIGTERM, SIGUSR2}) sigaddset(&signals_, signal);
  pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  thread_ = std::thread([this] {
    int signal = 0;
    while (sigwait(&signals_, &signal) == 0 && signal != SIGUSR2)
      if (!stop_.request_stop()) std::_Exit(status_of(ErrorCode::Cancelled).exit_status);
  });
}

StopOnSignal::~StopOnSignal() {
  pthread_kill(thread_.native_handle(), SIGUSR2);
  thread_.join();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace limn::cli
