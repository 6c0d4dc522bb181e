// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "limn/cli/command.h"
#include "limn/cli/setting_options.h"
#include "limn/cli/stop_on_signal.h"
#include "limn/server/serve.h"

namespace limn::cli {

std::function<int()> add_worker(CLI::App& app) {
  auto options = std::make_shared<SettingOptions>();
  options->add(app, true);
  return [options] {
    const server::Settings settings = options->read();
    const StopOnSignal stop;
    server::work(settings, stop.token());
    return 0;
  };
}

}  // namespace limn::cli
