// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "limn/base/json.h"
#include "limn/server/database.h"
#include "limn/server/job.h"

namespace limn::server {

// What a column of a row holds. A wrong type is a mistake of limn, and throws.
inline int64_t integer_of(const SqlValue& value) { return std::get<int64_t>(value); }
inline std::string text_of(const SqlValue& value) {  // NULL: empty
  return std::holds_alternative<std::monostate>(value) ? "" : std::get<std::string>(value);
}
inline std::optional<Time> time_of(const SqlValue& value) {
  if (std::holds_alternative<std::monostate>(value)) return std::nullopt;
  return Time(std::chrono::milliseconds(std::get<int64_t>(value)));
}

inline std::optional<double> real_of(const SqlValue& value) {
  if (std::holds_alternative<std::monostate>(value)) return std::nullopt;
  return std::get<double>(value);
}

inline SqlValue real_or_null(const std::optional<double>& value) {
  return value ? SqlValue(*value) : SqlValue();
}
inline SqlValue text_or_null(const std::string& text) { return text.empty() ? SqlValue() : SqlValue(text); }

/// What string_agg or group_concat made of a list. The separator is in none of its members; an empty list is NULL.
std::vector<std::string> list_of(const SqlValue& value, char separator);
/// A scalar subquery that gives the column of the ordered rows as one text: for list_of.
/// @param rows  "SELECT picture FROM … ORDER BY number"
std::string joined(Database::Dialect dialect, std::string_view column, std::string_view rows,
                   std::string_view separator);

std::vector<std::string> strings_of(const SqlValue& json_text);
std::string text_of_strings(const std::vector<std::string>& strings);  // JSON

/// "?first, ?first+1, …"
std::string placeholders(size_t first, size_t count);

}  // namespace limn::server
