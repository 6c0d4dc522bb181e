// SPDX-License-Identifier: Apache-2.0
#include "limn/server/log.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>

#include <unistd.h>

#include "limn/server/auth.h"

namespace limn::server {
namespace {

constexpr std::string_view kSecretFields[] = {"key",     "authorization", "cookie",
                                              "session", "prompt",        "negative_prompt"};
constexpr std::string_view kBlack = "[not logged]";

std::string now_as_text() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  const std::time_t seconds = milliseconds / 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[40];
  const size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + size, sizeof text - size, ".%03dZ", static_cast<int>(milliseconds % 1000));
  return text;
}

bool is_secret(std::string_view name) {
  for (const std::string_view secret : kSecretFields)
    if (name == secret) return true;
  return false;
}

void black_out_keys(std::string& text) {
  for (size_t at = 0; (at = text.find(kKeyPrefix, at)) != std::string::npos;) {
    size_t end = at + kKeyPrefix.size();
    while (end < text.size() &&
           (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '-' || text[end] == '_'))
      ++end;
    if (end - at >= kKeyPrefix.size() + kKeyDigits) text.replace(at, end - at, kBlack);
    at += kKeyPrefix.size();
  }
}

/// A word as it is, everything else as JSON has it.
std::string plain_text(const json::value& value) {
  if (!value.is_string()) return to_text(value);
  const std::string text(value.get_string());
  const bool word = !text.empty() && text.find_first_of(" \"=\\") == std::string::npos;
  std::string quoted = to_text(value);
  return word && quoted.size() == text.size() + 2 ? text : quoted;  // nothing needed escaping
}

constexpr std::array<std::string_view, 3> kLevels = {"info", "warning", "error"};

void write_to_standard_error(std::string_view line) {
  // One call, so that lines of several processes do not mix. A log that cannot be written stops nothing.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

Log::Log(Format format, std::function<void(std::string_view line)> write)
    : format_(format), write_(write ? std::move(write) : write_to_standard_error) {}

void Log::line(Level level, std::string_view event, std::initializer_list<Field> fields) {
  const std::string_view level_name = kLevels[static_cast<size_t>(level)];
  json::object object{{"time", now_as_text()},
                      {"level", json::string_view(level_name.data(), level_name.size())},
                      {"event", json::string_view(event.data(), event.size())}};
  for (const auto& [name, value] : fields)
    object[json::string_view(name.data(), name.size())] =
        is_secret(name) ? json::value(json::string_view(kBlack.data(), kBlack.size())) : value;
  std::string text;
  if (format_ == Format::Json) {
    text = to_text(object);
  } else {
    size_t index = 0;
    for (const auto& field : object) {
      if (index > 0) text += ' ';
      if (index++ >= 3) text += std::string(field.key()) + "=";
      text += plain_text(field.value());
    }
  }
  black_out_keys(text);
  text += '\n';
  const std::lock_guard lock(mutex_);
  write_(text);
}

}  // namespace limn::server
