// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <string_view>

#include <boost/json/value_from.hpp>

#include "limn/models/identify.h"

namespace limn::models {
namespace {

constexpr size_t kLongestValue = 100;  // of a metadata value in text for people
constexpr size_t kMostEvidence = 6;

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

/// "859.5 M": three units of a thousand.
std::string scaled(int64_t value, const char* unit) {
  constexpr const char* kPrefixes[] = {"", " k", " M", " G", " T"};
  auto number = static_cast<double>(value);
  size_t prefix = 0;
  for (; number >= 1000 && prefix + 1 < std::size(kPrefixes); ++prefix) number /= 1000;
  char text[48];
  std::snprintf(text, sizeof text, prefix ? "%.1f%s%s" : "%.0f%s%s", number, kPrefixes[prefix], unit);
  return text;
}

template <typename Values, typename ToText>
std::string listed(const Values& values, ToText to_text) {
  std::string text;
  for (const auto& value : values) text += (text.empty() ? "" : ", ") + to_text(value);
  return text;
}

/// Control characters, which a terminal could act on, as '?'; long text cut.
std::string printable(std::string text) {
  if (text.size() > kLongestValue) text = text.substr(0, kLongestValue) + "...";
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

std::string line(const std::string& name, const std::string& value) {
  return value.empty() ? "" : name + std::string(name.size() < 12 ? 12 - name.size() : 1, ' ') + value + "\n";
}

std::string part_text(const PartSize& part) {
  const auto dtype = [](const auto& row) { return row.first; };
  return line("part", part.name + ": " + scaled(part.parameters, "") + " parameters, " +
                          scaled(part.bytes, "B") + ", " + std::to_string(part.tensors) + " tensors, " +
                          listed(part.dtypes, dtype));
}

std::string numbers_text(const Identity& identity) {
  std::string text;
  text += line("rank", listed(identity.ranks, [](int64_t rank) { return std::to_string(rank); }));
  text += line("alpha", listed(identity.alphas, short_number));
  if (identity.vectors) text += line("vectors", std::to_string(*identity.vectors));
  return text;
}

json::object part_json(const PartSize& part) {
  json::object dtypes;
  for (const auto& [name, count] : part.dtypes) dtypes[name] = count;
  return {{"name", part.name},
          {"tensors", part.tensors},
          {"parameters", part.parameters},
          {"bytes", part.bytes},
          {"dtypes", dtypes}};
}

}  // namespace

std::string summary_of(const Identity& identity) {
  if (identity.kind == "unknown") return "not a model file that limn knows";
  const bool vowel = std::string_view("aeiou").find(identity.kind[0]) != std::string_view::npos;
  std::string text = (vowel ? "an " : "a ") + identity.kind;
  if (!identity.detail.empty()) text += " (" + identity.detail + ")";
  if (!identity.title.empty())
    text +=
        (identity.kind == "checkpoint" || identity.kind == "denoiser" ? " of " : " for ") + identity.title;
  if (!identity.variant.empty()) text += ", " + identity.variant;
  return text;
}

std::string describe(const Identity& identity) {
  std::string text = line("file", identity.path.string()) + line("format", identity.format);
  text += line("is", summary_of(identity));
  if (!identity.prediction_basis.empty())
    text += line("predicts", identity.prediction + " (" + identity.prediction_basis + ")");
  text += numbers_text(identity);
  for (const PartSize& part : identity.parts) text += part_text(part);
  for (size_t i = 0; i < identity.evidence.size() && i < kMostEvidence; ++i)
    text += line("because", printable(identity.evidence[i]));
  for (const std::string& note : identity.notes) text += line("note", note);
  for (const auto& [key, value] : identity.metadata)
    text += line("metadata", printable(key) + " = " + printable(value));
  return text + line("limn", identity.can_run ? "can run it" : "cannot run it: " + identity.why_not);
}

json::object to_json(const Identity& identity) {
  json::array parts;
  for (const PartSize& part : identity.parts) parts.push_back(part_json(part));
  json::object metadata;
  for (const auto& [key, value] : identity.metadata) metadata[key] = value;
  json::object object{{"path", identity.path.string()},
                      {"format", identity.format},
                      {"kind", identity.kind},
                      {"detail", identity.detail},
                      {"family", identity.family},
                      {"title", identity.title},
                      {"variant", identity.variant},
                      {"prediction", identity.prediction},
                      {"prediction_basis", identity.prediction_basis},
                      {"evidence", json::value_from(identity.evidence)},
                      {"parts", parts},
                      {"ranks", json::value_from(identity.ranks)},
                      {"alphas", json::value_from(identity.alphas)},
                      {"metadata", metadata},
                      {"notes", json::value_from(identity.notes)},
                      {"can_run", identity.can_run},
                      {"why_not", identity.why_not}};
  object["vectors"] = identity.vectors ? json::value(*identity.vectors) : json::value(nullptr);
  return object;
}

}  // namespace limn::models
