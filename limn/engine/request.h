// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limn/base/json.h"

namespace limn::engine {

/// A LoRA file and how strongly it counts.
struct LoraChoice {
  std::filesystem::path file;
  double weight = 1.0;
};

/// Every setting of a request for pictures; what is absent is decided by the model. A plain value.
/// The ranges, units and help texts are in request_fields(); command line and servers read that table.
struct GenerateRequest {
  std::string prompt;
  std::string negative_prompt;
  std::filesystem::path model;    // empty: the embedded model
  std::vector<LoraChoice> loras;  // in the order in which they are added
  std::optional<int64_t> width, height, steps;
  std::optional<double> guidance_scale;
  std::string scheduler, schedule;  // empty: as the model's own configuration says
  double eta = 0;
  std::optional<uint64_t> seed;  // absent: drawn at random, and told in the record
  int64_t count = 1;
  int64_t clip_skip = 0;
  std::filesystem::path init_image, init_latents;
  double strength = 0.8;
  std::string compat = "diffusers", device = "cpu", dtype = "auto";
};

enum class FieldKind { Text, Path, Integer, Seed, Number, Loras };

/// One setting: how it is named, said and checked.
struct RequestField {
  std::string_view name;  // "guidance_scale"; on the command line "--guidance-scale"
  FieldKind kind;
  std::string_view help;               // with unit and default
  double least = 0, most = 0;          // of a number, inclusive
  std::string (*choices)() = nullptr;  // of a text from a list: the known names, for the help
  void (*set)(GenerateRequest& request, const json::value& value);
};
std::span<const RequestField> request_fields();

/// Sets one field. @throws Error{InvalidArgument} at the field's name: wrong type, out of range, not finite
void set_field(GenerateRequest& request, const RequestField& field, const json::value& value);

/// Sets one field from a command line's text; a list's gets one entry more.
void set_field_from_text(GenerateRequest& request, const RequestField& field, const std::string& text);

/// A request from a JSON object of fields. @throws Error{InvalidArgument}, also for names it does not know
GenerateRequest request_from_json(const json::object& object);

}  // namespace limn::engine
