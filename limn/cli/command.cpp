// SPDX-License-Identifier: Apache-2.0
#include "limn/cli/command.h"

#include <iostream>
#include <map>
#include <new>

#include "limn/base/error.h"
#include "limn/engine/engine.h"

namespace limn::cli {
namespace {

constexpr Command kCommands[] = {
    {"generate", "make pictures from words, or from a picture and words", add_generate},
    {"info", "say what a model, adapter or picture file is", add_info},
    {"convert", "bring a model into another layout or number type", add_convert},
    {"data", "make a data set for training from pictures with licences", add_data},
    {"bench", "time the parts of a run of a model on this machine", add_bench},
    {"plan", "say how much memory a request would take, without loading weights", add_plan},
    {"train", "train a model, or adapt one", add_train},
    {"serve", "serve the web page and the APIs, and run their jobs", add_serve},
    {"worker", "run jobs of a queue that is shared by PostgreSQL", add_worker},
    {"keys", "say who may use a server", add_keys},
};

int fail(ErrorCode code, const std::string& message) {
  std::cerr << "limn: " << message << "\n";
  return status_of(code).exit_status;
}

}  // namespace

std::span<const Command> commands() { return kCommands; }

int run(int argc, const char* const* argv) {
  CLI::App app("Stable Diffusion: pictures from words, reproducible and accountable.", "limn");
  app.set_version_flag("--version", "limn " + std::string(engine::version()));
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);
  std::map<const CLI::App*, std::function<int()>> actions;
  for (const Command& command : commands()) {
    CLI::App* sub = app.add_subcommand(std::string(command.name), std::string(command.help));
    actions[sub] = command.add(*sub);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return fail(ErrorCode::InvalidArgument, std::string(error.what()) + " (limn --help lists the options)");
  }
  try {
    return actions.at(app.get_subcommands().front())();
  } catch (const Error& error) {
    return fail(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::OutOfMemory, "not enough memory");
  } catch (const std::exception& error) {
    return fail(ErrorCode::Internal, error.what());
  }
}

}  // namespace limn::cli
