// SPDX-License-Identifier: Apache-2.0
#include "limn/server/http.h"

#include <algorithm>

#include "limn/base/json.h"

namespace limn::server {
namespace {

struct Reason {
  int status;
  std::string_view text;
};
constexpr Reason kReasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// The end of a parameter that starts at `from`: the next ';' outside of quotes.
size_t end_of_parameter(std::string_view field, size_t from) {
  bool quoted = false;
  for (size_t i = from; i < field.size(); ++i) {
    if (quoted && field[i] == '\\')
      ++i;
    else if (field[i] == '"')
      quoted = !quoted;
    else if (field[i] == ';' && !quoted)
      return i;
  }
  return field.size();
}

std::string unquoted(std::string_view value) {
  if (value.size() < 2 || value.front() != '"' || value.back() != '"') return std::string(value);
  std::string out;
  for (size_t i = 1; i + 1 < value.size(); ++i) {
    // Browsers send a backslash in a file's name as it is, and escape quotes alone.
    if (value[i] == '\\' && i + 2 < value.size() && (value[i + 1] == '"' || value[i + 1] == '\\')) ++i;
    out += value[i];
  }
  return out;
}

}  // namespace

std::optional<std::string> find_value(const Pairs& pairs, std::string_view name) {
  for (const auto& [key, value] : pairs)
    if (key == name) return value;
  return std::nullopt;
}

std::string HttpRequest::header(std::string_view name) const {
  return find_value(headers, name).value_or("");
}

HttpResponse error_response(int status, const Problem& problem) {
  HttpResponse out;
  out.status = status;
  out.body = to_text(json::object{{"error",
                                   {{"code", problem.code},
                                    {"where", problem.where},
                                    {"message", problem.message},
                                    {"hint", problem.hint}}}});
  return out;
}

std::string_view reason_of(int status) {
  for (const Reason& reason : kReasons)
    if (reason.status == status) return reason.text;
  return {};
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (text.size() - i < 3) return std::nullopt;
      const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high << 4 | low);
      i += 2;
    } else {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  const bool plain = std::ranges::none_of(out, [&](char c) {
    return is_control(c) &&
           !(plus_is_space && (c == '\n' || c == '\r' || c == '\t'));  // words may have lines
  });
  if (!plain || !is_utf8(out)) return std::nullopt;
  return out;
}

std::optional<Pairs> parse_query(std::string_view text) {
  Pairs out;
  for (size_t from = 0; from < text.size();) {
    const size_t end = std::min(text.find('&', from), text.size());
    const std::string_view pair = text.substr(from, end - from);
    from = end + 1;
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    const auto name = percent_decode(pair.substr(0, equals), true);
    const auto value = percent_decode(pair.substr(std::min(equals + 1, pair.size())), true);
    if (!name || !value) return std::nullopt;
    out.emplace_back(*name, *value);
  }
  return out;
}

std::string media_type(std::string_view content_type) {
  return lower_case(trimmed(content_type.substr(0, content_type.find(';'))));
}

std::optional<std::string> parameter_of(std::string_view field, std::string_view name) {
  for (size_t at = end_of_parameter(field, 0); at < field.size();) {
    const size_t end = end_of_parameter(field, at + 1);
    const std::string_view parameter = field.substr(at + 1, end - at - 1);
    const size_t equals = parameter.find('=');
    if (equals != std::string_view::npos && lower_case(trimmed(parameter.substr(0, equals))) == name)
      return unquoted(trimmed(parameter.substr(equals + 1)));
    at = end;
  }
  return std::nullopt;
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

// RFC 3629 §4.
bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t k) { return static_cast<unsigned char>(text[i + k]); };
    const unsigned char first = byte(0);
    const size_t length = first < 0x80   ? 1
                          : first < 0xc2 ? 0
                          : first < 0xe0 ? 2
                          : first < 0xf0 ? 3
                          : first < 0xf5 ? 4
                                         : 0;
    if (length == 0 || text.size() - i < length) return false;
    for (size_t k = 1; k < length; ++k)
      if ((byte(k) & 0xc0) != 0x80) return false;
    if (first == 0xe0 && byte(1) < 0xa0) return false;  // over-long
    if (first == 0xed && byte(1) > 0x9f) return false;  // surrogates
    if (first == 0xf0 && byte(1) < 0x90) return false;
    if (first == 0xf4 && byte(1) > 0x8f) return false;
    i += length;
  }
  return true;
}

bool is_loopback(std::string_view address) { return address.starts_with("127.") || address == "::1"; }

}  // namespace limn::server
