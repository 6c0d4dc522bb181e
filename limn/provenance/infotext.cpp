// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/provenance/record.h"
#include "limn/provenance/upscalers.h"

namespace limn::provenance {
namespace {

constexpr std::string_view kNegativePrompt = "Negative prompt:";
constexpr size_t kLeastFields = 3;  // fewer pairs and the last line belongs to the prompt
constexpr size_t kShortHash = 10, kLoraHash = 12;
constexpr std::string_view kSpaces = " \t\r\n\f\v";

std::string_view stripped(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

/// The shortest text that gives the number again: "7", "7.5".
std::string shortest(double number) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
  return {buffer, end};
}

/// Whether A1111 has the sampler's share of noise under another name than DDIM's.
bool is_ancestral(const std::string& scheduler) {
  return scheduler.find("ancestral") != std::string::npos || scheduler.find("sde") != std::string::npos ||
         scheduler.starts_with("dpm_");
}

/// A setting as it was asked for; null where it was not.
const json::value* asked(const GenerationRecord& record, std::string_view field) {
  return record.request.if_contains(json::string_view(field.data(), field.size()));
}
double asked_number(const GenerationRecord& record, std::string_view field) {
  const json::value* value = asked(record, field);
  return value && value->is_number() ? value->to_number<double>() : 0;
}
std::string asked_text(const GenerationRecord& record, std::string_view field) {
  const json::value* value = asked(record, field);
  return value && value->is_string() ? std::string(value->as_string()) : "";
}

/// "512x768".
std::string size_text(int64_t width, int64_t height) {
  return std::to_string(width) + "x" + std::to_string(height);
}

/// A first pass' side: as it was asked for, else what the factor leaves of the whole.
int64_t first_side(const GenerationRecord& record, std::string_view field, int64_t side, double scale) {
  const auto given = static_cast<int64_t>(asked_number(record, field));
  return given > 0 ? given : std::lround(static_cast<double>(side) / scale);
}

/// The last line, field by field; empty values are left out.
class FieldLine {
 public:
  void add(std::string_view key, const std::string& value) {
    if (value.empty()) return;
    if (!line_.empty()) line_ += ", ";
    const bool plain = value.find_first_of(",:\n") == std::string::npos;
    line_.append(key).append(": ").append(plain ? value : to_text(json::value(value)));
  }
  const std::string& text() const { return line_; }

 private:
  std::string line_;
};

bool is_word(char c) {
  return c == '_' || std::isalnum(static_cast<uint8_t>(c)) || static_cast<uint8_t>(c) >= 0x80;
}
bool is_key(char c) { return is_word(c) || c == ' ' || c == '-' || c == '/'; }

/// The end of the JSON string that starts at `from`, past its quote; npos when there is none or it is empty.
size_t end_of_quoted(std::string_view line, size_t from) {
  for (size_t i = from + 1; i < line.size(); ++i) {
    if (line[i] == '\\')
      ++i;
    else if (line[i] == '"')
      return i == from + 1 ? std::string_view::npos : i + 1;
  }
  return std::string_view::npos;
}

/// A quoted value's meaning; what is no valid JSON string stays as it is.
std::string unquoted(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') try {
      const json::value parsed = parse_json(value, "value");
      if (parsed.is_string()) return std::string(parsed.as_string());
    } catch (const Error&) {  // A1111 takes such a value as it stands, too
    }
  return std::string(value);
}

/// All "Key: value" pairs of a line: a key starts with a letter, digit or '_' and has two or more characters;
/// a value is a JSON string or runs to the next comma. One pass, whatever the line.
std::vector<std::pair<std::string, std::string>> fields_of(std::string_view line) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (size_t at = 0; at < line.size();) {
    if (!is_word(line[at])) {
      ++at;
      continue;
    }
    const size_t colon = std::find_if_not(line.begin() + at, line.end(), is_key) - line.begin();
    if (colon == line.size() || line[colon] != ':' || colon - at < 2) {
      at = colon + 1;
      continue;
    }
    const size_t start = std::min(line.find_first_not_of(kSpaces, colon + 1), line.size());
    size_t end =
        start < line.size() && line[start] == '"' ? end_of_quoted(line, start) : std::string_view::npos;
    if (end == std::string_view::npos || (end < line.size() && line[end] != ','))
      end = std::min(line.find(',', start), line.size());
    fields.emplace_back(line.substr(at, colon - at), unquoted(line.substr(start, end - start)));
    at = end + 1;
  }
  return fields;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1))
    lines.push_back(text.substr(0, end));
  lines.push_back(text);
  return lines;
}

}  // namespace

std::string parameters_text(const GenerationRecord& record) {
  const double hires = std::max(asked_number(record, "hires_scale"), 1.0);
  FieldLine fields;  // in A1111's order
  fields.add("Steps", std::to_string(record.steps));
  fields.add("Sampler", record.a1111_sampler.empty() ? record.scheduler : record.a1111_sampler);
  fields.add("Schedule type", record.a1111_schedule);
  fields.add("CFG scale", shortest(record.guidance_scale));
  fields.add("Seed", std::to_string(record.seed));
  fields.add("Size", hires > 1 ? size_text(first_side(record, "width", record.width, hires),
                                           first_side(record, "height", record.height, hires))
                               : size_text(record.width, record.height));
  fields.add("Model hash", record.model_hash.substr(0, kShortHash));
  fields.add("Model", record.model);
  if (record.variation_seed) {
    fields.add("Variation seed", std::to_string(*record.variation_seed));
    fields.add("Variation seed strength", shortest(asked_number(record, "variation_strength")));
  }
  if (const json::value* size = asked(record, "seed_resize"); size && size->is_array()) {
    const json::array& sides = size->get_array();
    if (sides.size() == 2 && sides[0].is_int64() && sides[1].is_int64())
      fields.add("Seed resize from", size_text(sides[0].get_int64(), sides[1].get_int64()));
  }
  constexpr double kHiresStrength = 0.7;  // the request's default
  if (record.strength)
    fields.add("Denoising strength", shortest(*record.strength));
  else if (hires > 1)
    fields.add(
        "Denoising strength",
        shortest(asked(record, "hires_strength") ? asked_number(record, "hires_strength") : kHiresStrength));
  if (record.clip_skip && *record.clip_skip > 0)
    fields.add("Clip skip", std::to_string(*record.clip_skip + 1));
  if (const json::value* delta = asked(record, "eta_noise_seed_delta")) fields.add("ENSD", to_text(*delta));
  fields.add("RNG", asked_text(record, "noise") == "philox" ? "NV" : "CPU");
  if (asked_text(record, "seamless") == "xy") fields.add("Tiling", "True");
  if (hires > 1) {
    fields.add("Hires upscale", shortest(hires));
    if (const json::value* steps = asked(record, "hires_steps")) fields.add("Hires steps", to_text(*steps));
    fields.add("Hires upscaler", std::string(label_of_upscaler(asked_text(record, "hires_upscaler"))));
  }
  if (record.eta) fields.add(is_ancestral(record.scheduler) ? "Eta" : "Eta DDIM", shortest(*record.eta));
  std::string hashes;
  for (const LoraFile& lora : record.loras)
    hashes += (hashes.empty() ? "" : ", ") + lora.file.substr(0, lora.file.rfind('.')) + ": " +
              lora.sha256.substr(0, kLoraHash);
  fields.add("Lora hashes", hashes);
  fields.add("Version", "limn " + record.limn_version);

  std::string text = record.prompt;
  if (!record.negative_prompt.empty())
    text.append("\n").append(kNegativePrompt).append(" ") += record.negative_prompt;
  return std::string(stripped(text + "\n" + fields.text()));
}

std::string_view Infotext::find(std::string_view key) const {
  const auto found =
      std::find_if(fields.rbegin(), fields.rend(), [&](const auto& field) { return field.first == key; });
  return found == fields.rend() ? std::string_view() : found->second;
}

Infotext parse_infotext(std::string_view text) {
  Infotext info;
  std::vector<std::string_view> lines = lines_of(stripped(text));
  info.fields = fields_of(lines.back());
  if (info.fields.size() < kLeastFields)
    info.fields.clear();
  else
    lines.pop_back();

  std::string* prompt = &info.prompt;
  for (std::string_view line : lines) {
    line = stripped(line);
    if (line.starts_with(kNegativePrompt)) {
      prompt = &info.negative_prompt;
      line = stripped(line.substr(kNegativePrompt.size()));
    }
    if (!prompt->empty()) *prompt += '\n';
    *prompt += line;
  }
  return info;
}

}  // namespace limn::provenance
