// SPDX-License-Identifier: Apache-2.0
#include "limn/cli/progress.h"

#include <cstdio>
#include <string>

#include <unistd.h>

namespace limn::cli {
namespace {

std::string duration(double seconds) {
  char text[32];
  if (seconds < 60)
    std::snprintf(text, sizeof text, "%.0f s", seconds);
  else
    std::snprintf(text, sizeof text, "%d min %02d s", static_cast<int>(seconds) / 60,
                  static_cast<int>(seconds) % 60);
  return text;
}

}  // namespace

ProgressBar::ProgressBar(bool quiet) : active_(!quiet && ::isatty(STDERR_FILENO)) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::fputs("\r\033[K", stderr);
}

void ProgressBar::show(const engine::Progress& progress) {
  if (!active_) return;
  drawn_ = true;
  if (progress.stage == engine::Progress::Stage::Load) {
    std::fputs("\r\033[Kloading the model", stderr);
  } else if (progress.stage == engine::Progress::Stage::Decode) {
    std::fprintf(stderr, "\r\033[Kdecoding picture %lld of %lld", static_cast<long long>(progress.done + 1),
                 static_cast<long long>(progress.total));
  } else {
    constexpr int64_t kWidth = 30;
    if (progress.done == 1) first_step_ = std::chrono::steady_clock::now();
    const double elapsed =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - first_step_).count();
    std::string left;
    if (progress.done > 1)
      left = ", " +
             duration(elapsed / static_cast<double>(progress.done - 1) *
                      static_cast<double>(progress.total - progress.done)) +
             " left";
    const auto filled = static_cast<size_t>(kWidth * progress.done / progress.total);
    const std::string bar = std::string(filled, '#') + std::string(kWidth - filled, '.');
    std::fprintf(stderr, "\r\033[K[%s] step %lld of %lld%s", bar.c_str(),
                 static_cast<long long>(progress.done), static_cast<long long>(progress.total), left.c_str());
  }
  std::fflush(stderr);
}

}  // namespace limn::cli
