// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

namespace limn {

namespace json = boost::json;

/// Parses one JSON text: strict, UTF-8, at most 64 levels deep and 2 million values, duplicate keys refused.
/// @param where  the file or request it came from, for errors
/// @throws Error{BadFile} with the byte offset of what is wrong
json::value parse_json(std::string_view text, const std::string& where);

/// parse_json of a whole file, which must hold an object.
json::object read_json_object(const std::filesystem::path& path);

/// Compact text.
std::string to_text(const json::value& value);
/// Text with line breaks, two spaces a level, keys in the order of the object.
std::string to_pretty_text(const json::value& value);

/// Typed reading of one JSON object's fields; absent and null fields give the fallback, a wrong type or a
/// value out of range is Error{BadFile} at "where: field". Remembers what was asked for, so that unread() can
/// tell what was ignored. One thread at a time; the object must outlive it.
class Fields {
 public:
  Fields(const json::object& object, std::string where) : object_(object), where_(std::move(where)) {}

  bool has(std::string_view key) const;  // present and not null
  bool boolean(std::string_view key, bool fallback) const;
  int64_t integer(std::string_view key, int64_t fallback, int64_t least = INT64_MIN,
                  int64_t most = INT64_MAX) const;
  double number(std::string_view key, double fallback) const;  // always finite
  std::optional<double> optional_number(std::string_view key) const;
  std::optional<int64_t> optional_integer(std::string_view key) const;
  std::string string(std::string_view key, std::string_view fallback) const;
  std::vector<int64_t> integers(std::string_view key, std::vector<int64_t> fallback) const;
  std::vector<double> numbers(std::string_view key, std::vector<double> fallback) const;
  std::vector<std::string> strings(std::string_view key, std::vector<std::string> fallback) const;
  /// An array of `count` integers, or one integer that stands for all.
  std::vector<int64_t> integer_or_list(std::string_view key, size_t count,
                                       std::vector<int64_t> fallback) const;
  std::vector<bool> boolean_or_list(std::string_view key, size_t count, bool fallback) const;
  /// One of `allowed`, else Error{Unsupported} that lists them.
  std::string one_of(std::string_view key, std::string_view fallback,
                     std::initializer_list<std::string_view> allowed) const;

  /// Keys of the object that no call has asked for, without those that start with '_'.
  std::vector<std::string> unread() const;
  const std::string& where() const { return where_; }
  const json::value* find(std::string_view key) const;  // null when absent; counts as read

 private:
  [[noreturn]] void wrong(std::string_view key, const std::string& expected, const json::value& found) const;
  int64_t integer_of(std::string_view key, const json::value& value) const;
  double number_of(std::string_view key, const json::value& value) const;

  const json::object& object_;
  std::string where_;
  mutable std::set<std::string, std::less<>> read_;
};

}  // namespace limn
