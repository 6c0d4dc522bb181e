// SPDX-License-Identifier: Apache-2.0
#include "limn/base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_stack.hpp>

#include "limn/base/error.h"
#include "limn/base/file.h"

namespace limn {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxText = 256u << 20;
// A value takes far more memory than its text "0,"; the largest vocabulary has 300 000.
constexpr int64_t kMaxCommas = 2'000'000;

/// Builds the value as the parser goes. Boost's own builder keeps the last of two equal keys, where files
/// that say a thing twice are to be refused, and (in 1.81) rounds numbers of 15 digits and more wrongly.
struct Builder {
  static constexpr size_t max_object_size = SIZE_MAX, max_array_size = SIZE_MAX, max_key_size = SIZE_MAX,
                          max_string_size = SIZE_MAX;
  using Code = boost::system::error_code;
  json::value_stack values;
  std::vector<std::set<std::string, std::less<>>> open;
  std::string part, digits, duplicate;

  bool on_document_begin(Code&) { return values.reset(), true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) { return open.emplace_back(), true; }
  bool on_object_end(size_t count, Code&) { return open.pop_back(), values.push_object(count), true; }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(size_t count, Code&) { return values.push_array(count), true; }
  bool on_key_part(json::string_view text, size_t, Code&) {
    return part.append(text.data(), text.size()), true;
  }
  bool on_key(json::string_view text, size_t, Code& code) {
    part.append(text.data(), text.size());
    if (!open.back().insert(part).second) {
      duplicate = part;
      code = make_error_code(json::error::syntax);
      return false;
    }
    values.push_key(part);
    part.clear();
    return true;
  }
  bool on_string_part(json::string_view text, size_t, Code&) { return values.push_chars(text), true; }
  bool on_string(json::string_view text, size_t, Code&) { return values.push_string(text), true; }
  bool on_number_part(json::string_view text, Code&) { return digits.append(text.data(), text.size()), true; }
  bool on_int64(int64_t number, json::string_view, Code&) {
    return digits.clear(), values.push_int64(number), true;
  }
  bool on_uint64(uint64_t number, json::string_view, Code&) {
    return digits.clear(), values.push_uint64(number), true;
  }
  bool on_double(double number, json::string_view text, Code&) {
    digits.append(text.data(), text.size());
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return digits.clear(), values.push_double(number), true;
  }
  bool on_bool(bool value, Code&) { return values.push_bool(value), true; }
  bool on_null(Code&) { return values.push_null(), true; }
  bool on_comment_part(json::string_view, Code&) { return true; }
  bool on_comment(json::string_view, Code&) { return true; }
};

json::parse_options options() {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  return options;
}

/// Python's json module writes -Infinity, which diffusers' configurations hold. The same text with a number
/// out of double's range in its place, of equal length so that offsets stay; empty when there is nothing to
/// replace.
std::string with_plain_infinities(std::string_view text) {
  constexpr std::string_view kWord = "Infinity", kNumber = "1e999999";
  if (text.find(kWord) == std::string_view::npos) return {};
  std::string out(text);
  bool quoted = false;
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i] == '"') quoted = !quoted;
    if (quoted && out[i] == '\\') ++i;
    if (!quoted && std::string_view(out).substr(i).starts_with(kWord)) out.replace(i, kWord.size(), kNumber);
  }
  return out;
}

void write_pretty(const json::value& value, std::string& out, const std::string& indent) {
  const std::string inner = indent + "  ";
  if (const json::object* object = value.if_object(); object && !object->empty()) {
    out += "{\n";
    for (const auto& [key, item] : *object) {
      out += inner + json::serialize(key) + ": ";
      write_pretty(item, out, inner);
      out += &item == &object->at(object->begin()[object->size() - 1].key()) ? "\n" : ",\n";
    }
    out += indent + "}";
  } else if (const json::array* array = value.if_array();
             array && !array->empty() && (array->front().is_object() || array->front().is_array())) {
    out += "[\n";
    for (const json::value& item : *array) {
      out += inner;
      write_pretty(item, out, inner);
      out += &item == &array->back() ? "\n" : ",\n";
    }
    out += indent + "]";
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

json::value parse_json(std::string_view raw, const std::string& where) {
  const std::string finite = with_plain_infinities(raw);
  const std::string_view text = finite.empty() ? raw : finite;
  if (text.size() > kMaxText)
    throw Error(
        ErrorCode::BadFile, where,
        "JSON of " + std::to_string(text.size()) + " bytes is over the limit of " + std::to_string(kMaxText));
  const auto fail = [&](size_t offset, const std::string& problem) {
    throw Error(ErrorCode::BadFile, where + " @" + std::to_string(offset), "not valid JSON: " + problem);
  };
  if (std::ranges::count(text, ',') > kMaxCommas)
    fail(0, "it has more than " + std::to_string(kMaxCommas) + " values");
  boost::system::error_code code;
  json::basic_parser<Builder> parser(options());
  const size_t read = parser.write_some(false, text.data(), text.size(), code);
  if (!parser.handler().duplicate.empty())
    fail(read, "key '" + parser.handler().duplicate + "' stands twice");
  if (code) fail(read, code.message());
  const size_t rest = text.find_first_not_of(" \t\r\n", read);
  if (rest != std::string_view::npos) fail(rest, "text after the value");
  return parser.handler().values.release();
}

json::object read_json_object(const std::filesystem::path& path) {
  json::value value = parse_json(read_file(path, kMaxText), path.string());
  if (!value.is_object()) throw Error(ErrorCode::BadFile, path.string(), "expected a JSON object at the top");
  return std::move(value.as_object());
}

std::string to_text(const json::value& value) { return json::serialize(value); }

std::string to_pretty_text(const json::value& value) {
  std::string out;
  write_pretty(value, out, "");
  return out + "\n";
}

const json::value* Fields::find(std::string_view key) const {
  read_.emplace(key);
  const json::value* value = object_.if_contains(json::string_view(key.data(), key.size()));
  return value && !value->is_null() ? value : nullptr;
}

void Fields::wrong(std::string_view key, const std::string& expected, const json::value& found) const {
  std::string text = json::serialize(found);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  throw Error(ErrorCode::BadFile, where_ + ": " + std::string(key),
              "expected " + expected + ", found " + text);
}

int64_t Fields::integer_of(std::string_view key, const json::value& value) const {
  if (value.is_int64()) return value.as_int64();
  if (const double* number = value.if_double();
      number && std::trunc(*number) == *number && std::abs(*number) < 9e15)
    return static_cast<int64_t>(*number);
  wrong(key, "an integer", value);
}

double Fields::number_of(std::string_view key, const json::value& value) const {
  const double number = value.is_double()   ? value.as_double()
                        : value.is_int64()  ? static_cast<double>(value.as_int64())
                        : value.is_uint64() ? static_cast<double>(value.as_uint64())
                                            : NAN;
  if (!std::isfinite(number)) wrong(key, "a number", value);
  return number;
}

bool Fields::has(std::string_view key) const { return find(key) != nullptr; }

bool Fields::boolean(std::string_view key, bool fallback) const {
  const json::value* value = find(key);
  if (!value) return fallback;
  if (!value->is_bool()) wrong(key, "true or false", *value);
  return value->as_bool();
}

int64_t Fields::integer(std::string_view key, int64_t fallback, int64_t least, int64_t most) const {
  const json::value* value = find(key);
  if (!value) return fallback;
  const int64_t number = integer_of(key, *value);
  if (number < least || number > most)
    wrong(key, "an integer from " + std::to_string(least) + " to " + std::to_string(most), *value);
  return number;
}

double Fields::number(std::string_view key, double fallback) const {
  return optional_number(key).value_or(fallback);
}

std::optional<double> Fields::optional_number(std::string_view key) const {
  const json::value* value = find(key);
  if (!value) return std::nullopt;
  return number_of(key, *value);
}

std::optional<int64_t> Fields::optional_integer(std::string_view key) const {
  const json::value* value = find(key);
  if (!value) return std::nullopt;
  return integer_of(key, *value);
}

std::string Fields::string(std::string_view key, std::string_view fallback) const {
  const json::value* value = find(key);
  if (!value) return std::string(fallback);
  if (!value->is_string()) wrong(key, "a string", *value);
  return std::string(value->as_string());
}

std::string Fields::one_of(std::string_view key, std::string_view fallback,
                           std::initializer_list<std::string_view> allowed) const {
  const std::string found = string(key, fallback);
  std::string known;
  for (std::string_view name : allowed) {
    if (found == name) return found;
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  throw Error(ErrorCode::Unsupported, where_ + ": " + std::string(key), "no '" + found + "'",
              "known: " + known);
}

std::vector<int64_t> Fields::integers(std::string_view key, std::vector<int64_t> fallback) const {
  const json::value* value = find(key);
  if (!value) return fallback;
  if (!value->is_array()) wrong(key, "a list of integers", *value);
  std::vector<int64_t> out;
  for (const json::value& item : value->as_array()) out.push_back(integer_of(key, item));
  return out;
}

std::vector<double> Fields::numbers(std::string_view key, std::vector<double> fallback) const {
  const json::value* value = find(key);
  if (!value) return fallback;
  if (!value->is_array()) wrong(key, "a list of numbers", *value);
  std::vector<double> out;
  for (const json::value& item : value->as_array()) out.push_back(number_of(key, item));
  return out;
}

std::vector<std::string> Fields::strings(std::string_view key, std::vector<std::string> fallback) const {
  const json::value* value = find(key);
  if (!value) return fallback;
  if (!value->is_array()) wrong(key, "a list of strings", *value);
  std::vector<std::string> out;
  for (const json::value& item : value->as_array()) {
    if (!item.is_string()) wrong(key, "a list of strings", *value);
    out.emplace_back(item.as_string());
  }
  return out;
}

std::vector<int64_t> Fields::integer_or_list(std::string_view key, size_t count,
                                             std::vector<int64_t> fallback) const {
  const json::value* value = find(key);
  if (!value) return fallback;
  if (!value->is_array()) return std::vector<int64_t>(count, integer_of(key, *value));
  std::vector<int64_t> out = integers(key, {});
  if (out.size() != count) wrong(key, "one integer or " + std::to_string(count), *value);
  return out;
}

std::vector<bool> Fields::boolean_or_list(std::string_view key, size_t count, bool fallback) const {
  const json::value* value = find(key);
  if (!value) return std::vector<bool>(count, fallback);
  if (value->is_bool()) return std::vector<bool>(count, value->as_bool());
  if (!value->is_array() || value->as_array().size() != count)
    wrong(key, "true, false or a list of " + std::to_string(count), *value);
  std::vector<bool> out;
  for (const json::value& item : value->as_array()) {
    if (!item.is_bool()) wrong(key, "a list of true and false", *value);
    out.push_back(item.as_bool());
  }
  return out;
}

std::vector<std::string> Fields::unread() const {
  std::vector<std::string> out;
  for (const auto& [key, value] : object_)
    if (!key.starts_with('_') && !read_.contains(std::string_view(key.data(), key.size())))
      out.emplace_back(key);
  return out;
}

}  // namespace limn
