// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "limn/base/json.h"
#include "limn/image/image.h"

namespace limn::provenance {

/// A weight file that took part, by its name without folders.
struct WeightFile {
  std::string file;
  std::string sha256;  // 64 hexadecimal digits
  bool operator==(const WeightFile&) const = default;
};

/// A LoRA that changed the weights, by its file's name without folders.
struct LoraFile {
  std::string file;
  double weight = 1;
  std::string sha256;  // of the file
  bool operator==(const LoraFile&) const = default;
};

/// Everything needed to make one picture again. A plain value.
struct GenerationRecord {
  std::string prompt;
  std::string negative_prompt;
  int64_t steps = 50;             // num_inference_steps
  std::string scheduler;          // limn's name: "euler_ancestral"
  std::string scheduler_class;    // diffusers' name: "EulerAncestralDiscreteScheduler"
  std::string schedule;           // limn's name: "karras"; empty: as the model's configuration says
  json::object scheduler_config;  // as it was used, after overrides; may be empty
  std::string a1111_sampler,
      a1111_schedule;  // their labels in A1111's text, where it has them
  double guidance_scale = 7.5;
  uint64_t seed = 0;  // of this picture's own CPU generator
  int64_t width = 0;  // pixels
  int64_t height = 0;
  std::string model;                             // name, without folders
  std::string model_hash;                        // SHA-256 of the single file or the denoiser's weights
  std::optional<int64_t> clip_skip;              // counted as diffusers does: 1 leaves out one layer
  std::optional<double> strength;                // image to image, 0 to 1
  std::optional<double> eta;                     // DDIM's η
  std::optional<std::string> init_image_sha256;  // of the file's bytes
  std::optional<std::string> init_latents_sha256;
  std::optional<uint64_t> variation_seed;  // of this picture, where its noise was mixed in
  std::optional<int64_t> batch_index,
      batch_size;      // where one generator drew for a batch: which of its pictures, of how many
  std::string dtype;   // "float32"
  std::string device;  // "cpu"
  std::string limn_version;
  std::vector<WeightFile> weights;
  std::vector<LoraFile> loras;  // in the order in which they were added
  std::string compat = "diffusers";
  json::object request;                // the settings as they were asked for, without the folders of files
  std::optional<std::string> created;  // ISO 8601, UTC
  std::vector<std::string> warnings;
  bool operator==(const GenerationRecord&) const = default;
};

/// The record as JSON; optional fields that are empty are left out.
json::object to_json(const GenerationRecord& record);

/// The inverse of to_json; fields it does not know are ignored, absent ones get their defaults.
/// @throws Error{BadFile} on a wrong type or range, Error{Unsupported} for a record of a later format
GenerationRecord record_from_json(const json::object& object);

/// A1111's text for the record: prompt, "Negative prompt: …", and one line of "Key: value" pairs. Samplers
/// and schedules have A1111's names where it has one, Clip skip counts as A1111 does (ours plus one). Source:
/// the `parameters` text that AUTOMATIC1111's web UI 1.10 writes.
std::string parameters_text(const GenerationRecord& record);

/// A1111's text taken apart. The prompts keep their line breaks; values are unquoted.
struct Infotext {
  std::string prompt;
  std::string negative_prompt;
  std::vector<std::pair<std::string, std::string>> fields;  // in order of the text
  /// The value of a field, empty when there is none; of several the last, as A1111 does.
  std::string_view find(std::string_view key) const;
};

/// Takes apart what A1111 and programs like it write. Never fails: a last line without three "Key: value"
/// pairs belongs to the prompt, as in A1111.
Infotext parse_infotext(std::string_view text);

/// What to put into the picture: "parameters" (A1111's text) and "limn" (the JSON record).
std::vector<TextEntry> stamp(const GenerationRecord& record);

/// What a picture's texts say about how it was made.
struct Provenance {
  std::optional<Infotext> infotext;        // from "parameters"
  std::optional<GenerationRecord> record;  // from "limn"; to be believed where both are there
};

/// @throws Error{BadFile} when limn's own record is there but damaged
Provenance read_provenance(std::span<const TextEntry> texts);

}  // namespace limn::provenance
