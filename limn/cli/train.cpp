// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <iostream>
#include <memory>

#include <unistd.h>

#include "limn/base/error.h"
#include "limn/cli/command.h"
#include "limn/cli/stop_on_signal.h"
#include "limn/training/trainer.h"

namespace limn::cli {
namespace {

std::string duration(double seconds) {
  char text[48];
  const auto whole = static_cast<int64_t>(seconds);
  if (whole < 60)
    std::snprintf(text, sizeof text, "%d s", static_cast<int>(whole));
  else if (whole < 3600)
    std::snprintf(text, sizeof text, "%d min %02d s", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  else
    std::snprintf(text, sizeof text, "%d h %02d min", static_cast<int>(whole / 3600),
                  static_cast<int>(whole / 60 % 60));
  return text;
}

/// A line that is written over on a terminal; elsewhere a line now and then.
void show(const training::TrainProgress& p) {
  const bool terminal = ::isatty(STDERR_FILENO);
  if (!terminal && p.stage != "training") return;
  std::fprintf(stderr, "%s%s: %lld of %lld samples, loss %.4f, %.1f/s, %s left%s", terminal ? "\r\033[K" : "",
               p.stage.c_str(), static_cast<long long>(p.samples), static_cast<long long>(p.total), p.loss,
               p.samples_per_second, duration(p.seconds_left).c_str(), terminal ? "" : "\n");
  std::fflush(stderr);
}

void list_settings() {
  std::cout << "tasks (run.task):\n";
  for (const training::TaskEntry& task : training::tasks())
    std::cout << "  " << task.name << ": " << task.help << "\n";
  const auto defaults = training::to_json(training::TrainConfig{});
  for (const training::TrainField& field : training::train_fields()) {
    std::cout << field.name << " = " << to_text(defaults.at(field.name)) << "\n    " << field.help << "\n";
    if (field.choices) std::cout << "    one of: " << field.choices() << "\n";
    if (!field.tasks.empty()) std::cout << "    for: " << field.tasks << "\n";
  }
}

struct Options {
  std::string config;
  training::TrainOptions train;
  std::string output;
  bool quiet = false, list = false;
};

int train(Options& options) {
  if (options.list) {
    list_settings();
    return 0;
  }
  if (options.config.empty() || options.output.empty())
    throw Error(ErrorCode::InvalidArgument, options.config.empty() ? "CONFIG" : "--output", "is missing",
                "limn train CONFIG.toml --output DIR");
  const training::TrainConfig config = training::read_config(options.config);
  const StopOnSignal stop;
  options.train.output = options.output;
  options.train.stop = stop.token();
  if (!options.quiet) {
    options.train.on_progress = show;
    options.train.on_message = [](const std::string& text) { std::cerr << "limn: " << text << "\n"; };
  }
  const training::TrainResult result = training::train(config, options.train);
  if (!options.quiet && ::isatty(STDERR_FILENO)) std::cerr << "\n";
  if (!result.written.empty() && !options.quiet) std::cout << result.written.string() << "\n";
  if (result.finished || options.train.max_samples > 0) return 0;
  throw Error(ErrorCode::Cancelled, options.output,
              "stopped after " + std::to_string(result.samples) + " samples; everything is saved",
              "limn train … --resume goes on");
}

}  // namespace

std::function<int()> add_train(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("config", options->config, "TOML file of settings");
  app.add_option("-o,--output", options->output, "the run's folder: log, checkpoints, pictures, model");
  app.add_flag("--resume", options->train.resume,
               "go on from the newest checkpoint in the folder, if there is one");
  app.add_option("--max-samples", options->train.max_samples,
                 "stop there, write the model, and keep the rest for --resume")
      ->check(CLI::PositiveNumber);
  app.add_option("--threads", options->train.threads, "for arithmetic (default: all cores)")
      ->check(CLI::Range(1, 1024));
  app.add_flag("--list-settings", options->list, "print every setting with its default, and stop");
  app.add_flag("--quiet", options->quiet, "print nothing but errors");
  return [options] { return train(*options); };
}

}  // namespace limn::cli
