// SPDX-License-Identifier: Apache-2.0
#include "limn/text/styles.h"

#include <algorithm>

#include "limn/base/error.h"
#include "limn/base/file.h"

namespace limn::text {
namespace {

constexpr size_t kMostBytes = 16 << 20;
constexpr std::string_view kSpaces = " \t\r\n\f\v", kPlace = "{prompt}";

struct Record {
  size_t line;
  std::vector<std::string> fields;
};

/// RFC 4180, with line ends of any kind.
std::vector<Record> read_csv(const std::string& text, const std::string& where) {
  std::vector<Record> out;
  Record record{1, {""}};
  bool quoted = false, was_quoted = false;
  size_t line = 1;
  const auto finish = [&] {
    if (record.fields.size() > 1 || !record.fields[0].empty()) out.push_back(record);
    record = {line, {""}};
    was_quoted = false;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') ++line;
    std::string& field = record.fields.back();
    if (quoted) {
      if (c != '"') {
        field += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        field += text[++i];
      } else {
        quoted = false;
      }
    } else if (c == '"' && field.empty() && !was_quoted) {
      quoted = was_quoted = true;
    } else if (c == ',') {
      record.fields.emplace_back();
      was_quoted = false;
    } else if (c == '\n') {
      finish();
    } else if (c != '\r') {
      field += c;
    }
  }
  if (quoted)
    throw Error(ErrorCode::BadFile, where + ": line " + std::to_string(record.line),
                "a quotation mark is not closed");
  finish();
  return out;
}

std::string stripped(const std::string& text) {
  const size_t first = text.find_first_not_of(kSpaces);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

}  // namespace

std::vector<Style> read_styles(const std::filesystem::path& path) {
  const std::string where = path.string();
  std::string text = read_file(path, kMostBytes);
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  const std::vector<Record> records = read_csv(text, where);
  const auto column = [&](std::string_view name) {
    const auto& header = records.empty() ? std::vector<std::string>{} : records.front().fields;
    return static_cast<size_t>(std::ranges::find(header, name) - header.begin());
  };
  const size_t name = column("name"), prompt = column("prompt"), negative = column("negative_prompt");
  if (records.empty() || name >= records.front().fields.size() || prompt >= records.front().fields.size())
    throw Error(ErrorCode::BadFile, where + ": line 1", "expected a header with name and prompt",
                "name,prompt,negative_prompt");
  std::vector<Style> out;
  for (size_t i = 1; i < records.size(); ++i) {
    const auto& fields = records[i].fields;
    const auto at = [&](size_t place) { return place < fields.size() ? fields[place] : std::string(); };
    if (at(name).empty() || fields.size() > records.front().fields.size())
      throw Error(ErrorCode::BadFile, where + ": line " + std::to_string(records[i].line),
                  at(name).empty() ? "the style has no name"
                                   : "has " + std::to_string(fields.size()) + " fields, the header " +
                                         std::to_string(records.front().fields.size()));
    out.push_back({at(name), at(prompt), at(negative)});
  }
  return out;
}

std::string with_style(const std::string& style, const std::string& prompt) {
  const std::string own = stripped(style);
  if (style.find(kPlace) != std::string::npos) {
    std::string out;
    size_t start = 0;
    for (size_t at; (at = style.find(kPlace, start)) != std::string::npos; start = at + kPlace.size())
      out.append(style, start, at - start).append(prompt);
    return out.append(style, start);
  }
  const std::string asked = stripped(prompt);
  if (asked.empty() || own.empty()) return asked + own;
  return asked + ", " + own;
}

}  // namespace limn::text
