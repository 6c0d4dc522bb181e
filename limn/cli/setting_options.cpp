// SPDX-License-Identifier: Apache-2.0
#include "limn/cli/setting_options.h"

#include <cstdlib>
#include <optional>

namespace limn::cli {
namespace {

using server::Setting;

std::optional<std::string> from_environment(const std::string& variable) {
  const char* value = std::getenv(variable.c_str());
  return value ? std::optional<std::string>(value) : std::nullopt;
}

}  // namespace

void SettingOptions::add(CLI::App& app, bool worker) {
  app.add_option("--config", config_, "TOML file of settings, named as here with '_' for '-'")
      ->type_name("FILE");
  for (const Setting& setting : server::serve_settings()) {
    if (worker && setting.of != Setting::Of::Both) continue;
    std::string help(setting.help);
    if (!setting.choices.empty()) help += "\n" + std::string(setting.choices);
    std::vector<std::string>& texts = texts_[std::string(setting.name)];
    if (setting.type.empty()) {
      app.add_flag_function(
          flag_of(setting), [&texts](int64_t) { texts.assign(1, "true"); }, help);
      continue;
    }
    CLI::Option* option = app.add_option_function<std::vector<std::string>>(
        flag_of(setting), [&texts](const std::vector<std::string>& typed) { texts = typed; }, help);
    option->expected(1)->type_name(std::string(setting.type));
    if (is_list(setting)) option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  app.footer(
      "Each may also stand in the environment, --model-memory as LIMN_SERVE_MODEL_MEMORY, or in the file.");
}

server::Settings SettingOptions::read() const {
  server::SettingTexts typed;
  for (const auto& [name, texts] : texts_)
    if (!texts.empty()) typed[name] = texts;
  const std::string config = config_.empty() ? from_environment("LIMN_SERVE_CONFIG").value_or("") : config_;
  return server::read_settings(typed, from_environment, config);
}

}  // namespace limn::cli
