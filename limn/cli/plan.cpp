// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/plan.h"

#include <iomanip>
#include <iostream>
#include <memory>

#include "limn/base/json.h"
#include "limn/cli/command.h"
#include "limn/cli/request_options.h"

namespace limn::cli {
namespace {

struct Options {
  RequestOptions fields;
  int threads = 0;
  bool json = false;
};

double mebibytes(int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

json::object report_of(const engine::MemoryStage& stage) {
  return {{"stage", stage.name},
          {"program", mebibytes(stage.program)},
          {"weights", mebibytes(stage.weights)},
          {"activations", mebibytes(stage.activations)},
          {"total", mebibytes(stage.total())}};
}

json::object report_of(const engine::MemoryPlan& plan) {
  json::array stages;
  for (const engine::MemoryStage& stage : plan.stages) stages.push_back(report_of(stage));
  return {{"model", plan.model},
          {"width", plan.width},
          {"height", plan.height},
          {"dtype", plan.dtype},
          {"threads", plan.threads},
          {"branches", plan.branches},
          {"pictures_at_once", plan.pictures_at_once},
          {"in_turn", plan.in_turn},
          {"vae_tile", plan.vae_tile},
          {"peak", mebibytes(plan.peak().total())},
          {"peak_stage", plan.peak().name},
          {"stages", stages},
          {"warnings", json::array(plan.warnings.begin(), plan.warnings.end())}};
}

int plan(const Options& options) {
  engine::GenerateRequest request;
  options.fields.apply(request);
  const engine::MemoryPlan plan = engine::plan_memory(request, options.threads);
  if (options.json) {
    std::cout << json::value(report_of(plan)) << "\n";
    return 0;
  }
  std::cout << plan.model << ", " << plan.width << "×" << plan.height << ", " << plan.dtype << ", "
            << plan.pictures_at_once << " at once, " << plan.threads << " threads; MiB of memory\n"
            << std::fixed << std::setprecision(0) << std::left << std::setw(10) << "stage" << std::right
            << std::setw(10) << "program" << std::setw(10) << "weights" << std::setw(13) << "activations"
            << std::setw(10) << "total\n";
  for (const engine::MemoryStage& stage : plan.stages)
    std::cout << std::left << std::setw(10) << stage.name << std::right << std::setw(10)
              << mebibytes(stage.program) << std::setw(10) << mebibytes(stage.weights) << std::setw(13)
              << mebibytes(stage.activations) << std::setw(9) << mebibytes(stage.total()) << "\n";
  std::cout << "peak " << mebibytes(plan.peak().total()) << " MiB (" << plan.peak().name << ")\n";
  for (const std::string& warning : plan.warnings) std::cout << warning << "\n";
  return 0;
}

}  // namespace

std::function<int()> add_plan(CLI::App& app) {
  auto options = std::make_shared<Options>();
  for (const engine::RequestField& field : engine::request_fields()) options->fields.add(app, field);
  app.add_option("--threads", options->threads, "for arithmetic (default: all cores)")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  app.add_flag("--json", options->json, "print a JSON object, sizes in MiB");
  return [options] { return plan(*options); };
}

}  // namespace limn::cli
