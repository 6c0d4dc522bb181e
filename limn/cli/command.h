// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include <CLI/CLI.hpp>

namespace limn::cli {

/// One sub-command: add() declares its options on `app` and returns what to run, which returns the exit
/// status.
struct Command {
  std::string_view name;
  std::string_view help;
  std::function<int()> (*add)(CLI::App& app);
};
std::span<const Command> commands();

std::function<int()> add_generate(CLI::App& app);
std::function<int()> add_info(CLI::App& app);
std::function<int()> add_convert(CLI::App& app);
std::function<int()> add_data(CLI::App& app);
std::function<int()> add_bench(CLI::App& app);
std::function<int()> add_plan(CLI::App& app);
std::function<int()> add_train(CLI::App& app);
std::function<int()> add_serve(CLI::App& app);
std::function<int()> add_worker(CLI::App& app);
std::function<int()> add_keys(CLI::App& app);

/// Parses the command line and runs the command; errors end on stderr as "limn: …". @return the exit status
int run(int argc, const char* const* argv);

}  // namespace limn::cli
