// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "limn/server/settings.h"

namespace limn::cli {

/// Settings of a server as typed on the command line. Must outlive the parsing of what add() was called with.
class SettingOptions {
 public:
  /// Declares --config and the flags of the settings. @param worker  only those that limn worker has
  void add(CLI::App& app, bool worker);
  /// What was typed, over the environment, over the file. @throws Error{InvalidArgument}
  server::Settings read() const;

 private:
  std::string config_;
  server::SettingTexts texts_;
};

}  // namespace limn::cli
