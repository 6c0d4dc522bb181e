// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <mutex>
#include <regex>

#include "limn/base/error.h"
#include "limn/server/router.h"

namespace limn::server {
namespace {

// std::regex recurses once for each character: patterns are for ids.
constexpr size_t kMostMatched = 256;
constexpr size_t kMostListed = 16;
constexpr int kMostDepth = 32;  // of a body
const std::string kBody = "body";

std::string_view view(json::string_view text) { return {text.data(), text.size()}; }

[[noreturn]] void refuse(const std::string& where, const std::string& problem, const std::string& hint = {}) {
  throw Error(ErrorCode::InvalidArgument, where.empty() ? kBody : where, problem, hint);
}

std::string shown(const json::value& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  if (const double* number = value.if_double()) {  // not 3.5E0
    char text[32];
    return std::string(text, std::to_chars(text, text + sizeof text, *number).ptr);
  }
  std::string text = to_text(value);
  size_t end = std::min<size_t>(text.size(), 57);
  while (end < text.size() && (text[end] & 0xc0) == 0x80) --end;  // not inside a character
  return end < text.size() ? text.substr(0, end) + "..." : text;
}

bool is_integer(const json::value& value) {
  const double* number = value.if_double();
  return value.is_int64() || value.is_uint64() ||
         (number && std::trunc(*number) == *number && std::abs(*number) < 9e15);
}

struct Type {
  std::string_view name, said;
  bool (*fits)(const json::value& value);
};
constexpr Type kTypes[] = {
    {"object", "an object", [](const json::value& v) { return v.is_object(); }},
    {"array", "a list", [](const json::value& v) { return v.is_array(); }},
    {"string", "a text", [](const json::value& v) { return v.is_string(); }},
    {"integer", "an integer", is_integer},
    {"number", "a number",
     [](const json::value& v) { return v.is_number() && std::isfinite(v.to_number<double>()); }},
    {"boolean", "true or false", [](const json::value& v) { return v.is_bool(); }},
    {"null", "null", [](const json::value& v) { return v.is_null(); }},
};

const Type& type_of(std::string_view name) {
  for (const Type& type : kTypes)
    if (type.name == name) return type;
  throw Error(ErrorCode::Internal, "schema", "no type '" + std::string(name) + "'");
}

int64_t characters(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; });
}

bool matches(std::string_view text, const std::string& pattern) {
  static std::mutex mutex;
  static std::map<std::string, std::regex> compiled;  // of the schemas, which are few
  if (text.size() > kMostMatched) return false;
  const std::lock_guard lock(mutex);
  const auto [at, added] = compiled.try_emplace(pattern);
  if (added) at->second = std::regex(pattern, std::regex::ECMAScript | std::regex::optimize);
  return std::regex_search(text.begin(), text.end(), at->second);
}

void check_json(const json::value& value, int depth) {
  if (depth > kMostDepth)
    throw Error(ErrorCode::InvalidArgument, "body",
                "is nested more than " + std::to_string(kMostDepth) + " deep");
  const auto check_text = [](json::string_view text) {
    if (text.find('\0') != json::string_view::npos)
      throw Error(ErrorCode::InvalidArgument, "body", "has a text with a zero character");
  };
  if (value.is_string()) check_text(value.get_string());
  if (value.is_array())
    for (const json::value& item : value.get_array()) check_json(item, depth + 1);
  if (value.is_object())
    for (const auto& item : value.get_object()) {
      check_text(item.key());
      check_json(item.value(), depth + 1);
    }
}

class Checker {
 public:
  explicit Checker(std::span<const NamedSchema> schemas) : schemas_(schemas) {}

  void check(const json::object& schema, const json::value& value, const std::string& where) const {
    if (const json::value* ref = schema.if_contains("$ref"))
      check(referred(view(ref->as_string())), value, where);
    check_type(schema, value, where);
    check_constants(schema, value, where);
    if (value.is_number()) check_number(schema, value, where);
    if (value.is_string()) check_text(schema, view(value.get_string()), where);
    if (value.is_array()) check_list(schema, value.get_array(), where);
    if (value.is_object()) check_object(schema, value.get_object(), where);
    if (const json::value* all = schema.if_contains("allOf"))
      for (const json::value& one : all->as_array()) check(one.as_object(), value, where);
    if (const json::value* any = schema.if_contains("anyOf"))
      check_alternatives(any->as_array(), value, where, false);
    if (const json::value* one = schema.if_contains("oneOf"))
      check_alternatives(one->as_array(), value, where, true);
  }

 private:
  json::object referred(std::string_view ref) const {
    const std::string_view name = ref.substr(ref.rfind('/') + 1);
    for (const NamedSchema& schema : schemas_)
      if (schema.name == name) return schema.make();
    throw Error(ErrorCode::Internal, "schema", "no schema '" + std::string(name) + "'");
  }

  void check_type(const json::object& schema, const json::value& value, const std::string& where) const {
    const json::value* type = schema.if_contains("type");
    if (!type) return;
    const json::array types = type->is_array() ? type->get_array() : json::array{*type};
    std::string expected;
    for (const json::value& name : types) {
      const Type& known = type_of(view(name.as_string()));
      if (known.fits(value)) return;
      expected += (expected.empty() ? "" : " or ") + std::string(known.said);
    }
    refuse(where, "expected " + expected + ", found " + shown(value));
  }

  void check_constants(const json::object& schema, const json::value& value, const std::string& where) const {
    if (const json::value* constant = schema.if_contains("const"); constant && *constant != value)
      refuse(where, "expected " + shown(*constant) + ", found " + shown(value));
    const json::value* list = schema.if_contains("enum");
    if (!list || std::ranges::find(list->as_array(), value) != list->as_array().end()) return;
    std::string known;
    for (const json::value& item : list->as_array()) known += (known.empty() ? "" : ", ") + shown(item);
    refuse(where, "no " + shown(value), "known: " + known);
  }

  void check_number(const json::object& schema, const json::value& value, const std::string& where) const {
    const double number = value.to_number<double>();
    const auto bound = [&](const char* key, const char* said, auto fits) {
      const json::value* limit = schema.if_contains(key);
      if (limit && !fits(number, limit->to_number<double>()))
        refuse(where, "must be " + std::string(said) + " " + shown(*limit) + ", is " + shown(value));
    };
    bound("minimum", "at least", std::greater_equal<>());
    bound("maximum", "at most", std::less_equal<>());
    bound("exclusiveMinimum", "over", std::greater<>());
    bound("exclusiveMaximum", "under", std::less<>());
  }

  void check_size(const json::object& schema, int64_t size, const char* least, const char* most,
                  const char* unit, const std::string& where) const {
    const auto fail = [&](const char* said, const json::value& limit) {
      refuse(where, "must have " + std::string(said) + " " + shown(limit) + " " + unit + ", has " +
                        std::to_string(size));
    };
    if (const json::value* limit = schema.if_contains(least); limit && size < limit->to_number<int64_t>())
      fail("at least", *limit);
    if (const json::value* limit = schema.if_contains(most); limit && size > limit->to_number<int64_t>())
      fail("at most", *limit);
  }

  void check_text(const json::object& schema, std::string_view text, const std::string& where) const {
    check_size(schema, characters(text), "minLength", "maxLength", "characters", where);
    const json::value* pattern = schema.if_contains("pattern");
    if (pattern && !matches(text, std::string(pattern->as_string())))
      refuse(where, shown(json::value(json::string_view(text.data(), text.size()))) + " is not of the form " +
                        std::string(pattern->as_string()));
  }

  void check_list(const json::object& schema, const json::array& list, const std::string& where) const {
    check_size(schema, static_cast<int64_t>(list.size()), "minItems", "maxItems", "items", where);
    const json::value* items = schema.if_contains("items");
    if (!items) return;
    for (size_t i = 0; i < list.size(); ++i)
      check(items->as_object(), list[i], where + "[" + std::to_string(i) + "]");
  }

  void check_object(const json::object& schema, const json::object& object, const std::string& where) const {
    const auto at = [&](std::string_view key) {
      return (where.empty() ? "" : where + ".") + std::string(key);
    };
    const json::value* properties = schema.if_contains("properties");
    if (const json::value* required = schema.if_contains("required"))
      for (const json::value& key : required->as_array())
        if (!object.contains(key.as_string())) refuse(at(view(key.as_string())), "is missing");
    const json::value* others = schema.if_contains("additionalProperties");
    for (const auto& [key, value] : object) {
      const json::value* property = properties ? properties->as_object().if_contains(key) : nullptr;
      if (property)
        check(property->as_object(), value, at(view(key)));
      else if (others && others->is_object())
        check(others->get_object(), value, at(view(key)));
      else if (others && !others->as_bool())
        refuse(at(view(key)), "there is no such field", known_of(properties));
    }
  }

  static std::string known_of(const json::value* properties) {
    std::string known;
    if (properties && properties->as_object().size() <= kMostListed)
      for (const auto& property : properties->as_object())
        known += (known.empty() ? "known: " : ", ") + std::string(view(property.key()));
    return known;
  }

  void check_alternatives(const json::array& alternatives, const json::value& value, const std::string& where,
                          bool only_one) const {
    int fit = 0;
    std::optional<Error> nearest;  // of an alternative that fits in kind
    for (const json::value& alternative : alternatives) {
      try {
        check(alternative.as_object(), value, where);
        ++fit;
      } catch (const Error& error) {
        if (error.code() != ErrorCode::InvalidArgument) throw;
        const bool further = error.where() != (where.empty() ? kBody : where);
        if (!nearest || further) nearest = error;
      }
    }
    if (fit == 0 && nearest) throw *nearest;
    if (only_one && fit > 1) refuse(where, "fits more than one of its forms");
  }

  std::span<const NamedSchema> schemas_;
};

}  // namespace

json::value read_json(std::string_view body) {
  if (body.empty()) throw Error(ErrorCode::InvalidArgument, "body", "is missing", "send JSON");
  try {
    json::value value = parse_json(body, "body");
    check_json(value, 1);
    return value;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::BadFile) throw;
    throw Error(ErrorCode::InvalidArgument, error.where(), error.problem(), error.hint());
  }
}

void check_schema(const json::object& schema, const json::value& value, std::span<const NamedSchema> schemas,
                  const std::string& where) {
  Checker(schemas).check(schema, value, where);
}

}  // namespace limn::server
