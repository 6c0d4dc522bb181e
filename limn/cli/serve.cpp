// SPDX-License-Identifier: Apache-2.0
#include "limn/server/serve.h"

#include <iostream>
#include <memory>

#include "limn/cli/command.h"
#include "limn/cli/setting_options.h"
#include "limn/cli/stop_on_signal.h"

namespace limn::cli {
namespace {

int serve(const SettingOptions& options) {
  const server::Settings settings = options.read();
  const StopOnSignal stop;
  server::serve(settings, stop.token(), [](const std::vector<std::string>& addresses) {
    for (const std::string& address : addresses) std::cout << "limn: listening on " << address << std::endl;
  });
  return 0;
}

}  // namespace

std::function<int()> add_serve(CLI::App& app) {
  auto options = std::make_shared<SettingOptions>();
  options->add(app, false);
  return [options] { return serve(*options); };
}

}  // namespace limn::cli
