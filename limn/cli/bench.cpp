// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iomanip>
#include <iostream>
#include <memory>

#include "limn/base/json.h"
#include "limn/base/named_table.h"
#include "limn/cli/command.h"
#include "limn/cli/request_options.h"
#include "limn/cli/stop_on_signal.h"
#include "limn/engine/measure.h"

namespace limn::cli {
namespace {

/// Settings of a request that change how long a part takes.
constexpr std::string_view kFields[] = {"model", "vae",      "lora",   "width", "height", "guidance_scale",
                                        "tile",  "vae_tile", "device", "dtype", "plain",  "quantize"};

struct Options {
  RequestOptions fields;
  engine::MeasureSettings settings;
  bool json = false;
};

double median_of(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

json::object report_of(const engine::Measurement& m, const engine::PartTimes& times) {
  return {{"part", times.part},
          {"model", m.model},
          {"width", m.width},
          {"height", m.height},
          {"branches", m.branches},
          {"dtype", m.dtype},
          {"device", m.device},
          {"threads", m.threads},
          {"load", m.load_seconds},
          {"median", median_of(times.seconds)},
          {"seconds", json::array(times.seconds.begin(), times.seconds.end())},
          {"page_faults", json::array(times.page_faults.begin(), times.page_faults.end())}};
}

int bench(const Options& options) {
  engine::GenerateRequest request;
  request.prompt = "a lighthouse in fog";
  request.negative_prompt = "blurry";
  options.fields.apply(request);
  const StopOnSignal stop;
  const engine::Measurement measured = engine::measure(request, options.settings, stop.token());
  if (options.json) {
    for (const engine::PartTimes& times : measured.parts)
      std::cout << json::value(report_of(measured, times)) << "\n";
    return 0;
  }
  std::cout << measured.model << ", " << measured.width << "×" << measured.height << ", " << measured.dtype
            << ", " << measured.device << ", " << measured.threads << " threads, loaded in "
            << std::setprecision(3) << measured.load_seconds << " s\n";
  for (const engine::PartTimes& times : measured.parts) {
    const auto [least, most] = std::ranges::minmax(times.seconds);
    std::cout << std::left << std::setw(8) << times.part << median_of(times.seconds) << " s (" << least
              << " to " << most << ", " << times.seconds.size() << " times)\n";
  }
  return 0;
}

}  // namespace

std::function<int()> add_bench(CLI::App& app) {
  auto options = std::make_shared<Options>();
  for (const std::string_view name : kFields)
    options->fields.add(app, find_named(engine::request_fields(), name, "fields of limn bench"));
  std::string help = "what to time, comma-separated (default: all)";
  for (const engine::MeasuredPart& part : engine::measured_parts())
    help.append("\n").append(part.name).append(": ").append(part.help);
  app.add_option("--parts", options->settings.parts, help)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("NAME,…");
  app.add_option("--repeats", options->settings.repeats, "timed, after one that is not (default: 3)")
      ->check(CLI::Range(1, 1000))
      ->type_name("N");
  app.add_option("--threads", options->settings.threads, "for arithmetic (default: all cores)")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  app.add_flag("--json", options->json, "print one JSON object a part");
  return [options] { return bench(*options); };
}

}  // namespace limn::cli
