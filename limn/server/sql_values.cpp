// SPDX-License-Identifier: Apache-2.0
#include "limn/server/sql_values.h"

#include <unicode/utf8.h>

#include "limn/base/error.h"
#include "limn/server/dialects.h"

namespace limn::server {

void check_text(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    UChar32 character;
    U8_NEXT(text.data(), at, text.size(), character);
    if (character <= 0)
      throw Error(ErrorCode::InvalidArgument, "text",
                  "is not UTF-8 or holds a zero at byte " + std::to_string(at - 1));
  }
}

std::vector<std::string> list_of(const SqlValue& value, char separator) {
  std::vector<std::string> out;
  if (std::holds_alternative<std::monostate>(value)) return out;
  const std::string& text = std::get<std::string>(value);
  for (size_t begin = 0, end; begin <= text.size(); begin = end + 1) {
    end = std::min(text.find(separator, begin), text.size());
    out.push_back(text.substr(begin, end - begin));
  }
  return out;
}

std::string joined(Database::Dialect dialect, std::string_view column, std::string_view rows,
                   std::string_view separator) {
  // SQLite knows no order within an aggregate before 3.44; both keep that of the subquery.
  const std::string_view function = dialect == Database::Dialect::Sqlite ? "group_concat" : "string_agg";
  std::string sql("(SELECT ");
  sql.append(function).append("(").append(column).append(", ").append(separator);
  return sql.append(") FROM (").append(rows).append(") AS ordered)");
}

std::vector<std::string> strings_of(const SqlValue& json_text) {
  const json::value array = parse_json(std::get<std::string>(json_text), "database");
  std::vector<std::string> out;
  for (const json::value& item : array.as_array()) out.emplace_back(item.as_string());
  return out;
}

std::string text_of_strings(const std::vector<std::string>& strings) {
  return to_text(json::array(strings.begin(), strings.end()));
}

std::string placeholders(size_t first, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out.append(i ? ", ?" : "?").append(std::to_string(first + i));
  return out;
}

}  // namespace limn::server
