// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>

#include "limn/base/json.h"

namespace limn::server {

/// Structured lines, each with time, level, event and fields. Keys, cookies and prompts are never in them: fields of such
/// names, and texts that look like a key, are blacked out. Safe to share.
class Log {
 public:
  enum class Format { Text, Json };
  enum class Level { Info, Warning, Error };
  struct Field {
    template <typename Value>
    Field(std::string_view name, const Value& value) : name(name), value(value) {}
    std::string_view name;
    json::value value;
  };

  /// @param write  gets whole lines, one at a time; absent: standard error
  explicit Log(Format format, std::function<void(std::string_view line)> write = {});

  /// @param event  what happened, in a word: "request", "job_failed"
  void info(std::string_view event, std::initializer_list<Field> fields = {}) {
    line(Level::Info, event, fields);
  }
  void warning(std::string_view event, std::initializer_list<Field> fields = {}) {
    line(Level::Warning, event, fields);
  }
  void error(std::string_view event, std::initializer_list<Field> fields = {}) {
    line(Level::Error, event, fields);
  }

 private:
  void line(Level level, std::string_view event, std::initializer_list<Field> fields);

  const Format format_;
  const std::function<void(std::string_view)> write_;
  std::mutex mutex_;
};

}  // namespace limn::server
