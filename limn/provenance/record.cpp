// SPDX-License-Identifier: Apache-2.0
#include "limn/provenance/record.h"

#include "limn/base/error.h"

namespace limn::provenance {
namespace {

constexpr int64_t kFormat = 1;
constexpr std::string_view kWhere = "limn record";

template <typename Value>
void put_optional(json::object& object, std::string_view key, const std::optional<Value>& value) {
  if (value) object[key] = *value;
}

uint64_t read_seed(const Fields& fields, std::string_view key) {
  const json::value* value = fields.find(key);
  if (value && value->is_uint64()) return value->as_uint64();  // over INT64_MAX
  return static_cast<uint64_t>(fields.integer(key, 0, 0));
}

std::optional<std::string> optional_string(const Fields& fields, std::string_view key) {
  if (!fields.has(key)) return std::nullopt;
  return fields.string(key, "");
}

const json::object& object_of(const json::value& value, const std::string& where) {
  if (!value.is_object()) throw Error(ErrorCode::BadFile, where, "expected an object");
  return value.as_object();
}

std::vector<WeightFile> read_weights(const Fields& fields) {
  std::vector<WeightFile> weights;
  const json::value* list = fields.find("weights");
  if (!list) return weights;
  const std::string where = fields.where() + ": weights";
  if (!list->is_array()) throw Error(ErrorCode::BadFile, where, "expected a list of {file, sha256}");
  for (const json::value& item : list->as_array()) {
    const Fields file(object_of(item, where), where);
    weights.push_back({file.string("file", ""), file.string("sha256", "")});
  }
  return weights;
}

std::vector<LoraFile> read_loras(const Fields& fields) {
  std::vector<LoraFile> loras;
  const json::value* list = fields.find("loras");
  if (!list) return loras;
  const std::string where = fields.where() + ": loras";
  if (!list->is_array()) throw Error(ErrorCode::BadFile, where, "expected a list of {file, weight, sha256}");
  for (const json::value& item : list->as_array()) {
    const Fields lora(object_of(item, where), where);
    loras.push_back({lora.string("file", ""), lora.number("weight", 1), lora.string("sha256", "")});
  }
  return loras;
}

}  // namespace

json::object to_json(const GenerationRecord& record) {
  json::array weights;
  for (const WeightFile& file : record.weights)
    weights.push_back({{"file", file.file}, {"sha256", file.sha256}});
  json::array loras;
  for (const LoraFile& lora : record.loras)
    loras.push_back({{"file", lora.file}, {"weight", lora.weight}, {"sha256", lora.sha256}});
  json::object object{
      {"format", kFormat},
      {"prompt", record.prompt},
      {"negative_prompt", record.negative_prompt},
      {"steps", record.steps},
      {"scheduler", record.scheduler},
      {"scheduler_class", record.scheduler_class},
      {"schedule", record.schedule},
      {"a1111_sampler", record.a1111_sampler},
      {"a1111_schedule", record.a1111_schedule},
      {"scheduler_config", record.scheduler_config},
      {"guidance_scale", record.guidance_scale},
      {"seed", record.seed},
      {"width", record.width},
      {"height", record.height},
      {"model", record.model},
      {"model_hash", record.model_hash},
      {"dtype", record.dtype},
      {"device", record.device},
      {"limn_version", record.limn_version},
      {"weights", weights},
      {"loras", loras},
      {"compat", record.compat},
      {"request", record.request},
      {"warnings", json::array(record.warnings.begin(), record.warnings.end())},
  };
  put_optional(object, "clip_skip", record.clip_skip);
  put_optional(object, "strength", record.strength);
  put_optional(object, "eta", record.eta);
  put_optional(object, "init_image_sha256", record.init_image_sha256);
  put_optional(object, "init_latents_sha256", record.init_latents_sha256);
  put_optional(object, "variation_seed", record.variation_seed);
  put_optional(object, "batch_index", record.batch_index);
  put_optional(object, "batch_size", record.batch_size);
  put_optional(object, "created", record.created);
  return object;
}

GenerationRecord record_from_json(const json::object& object) {
  const Fields fields(object, std::string(kWhere));
  const int64_t format = fields.integer("format", kFormat, 1);
  if (format > kFormat)
    throw Error(ErrorCode::Unsupported, std::string(kWhere), "is of format " + std::to_string(format),
                "a newer limn wrote it; update to read it");
  const GenerationRecord defaults;
  GenerationRecord record;
  record.prompt = fields.string("prompt", "");
  record.negative_prompt = fields.string("negative_prompt", "");
  record.steps = fields.integer("steps", defaults.steps, 0);
  record.scheduler = fields.string("scheduler", "");
  record.scheduler_class = fields.string("scheduler_class", "");
  record.schedule = fields.string("schedule", "");
  record.a1111_sampler = fields.string("a1111_sampler", "");
  record.a1111_schedule = fields.string("a1111_schedule", "");
  if (const json::value* config = fields.find("scheduler_config"))
    record.scheduler_config = object_of(*config, std::string(kWhere) + ": scheduler_config");
  record.guidance_scale = fields.number("guidance_scale", defaults.guidance_scale);
  record.seed = read_seed(fields, "seed");
  record.width = fields.integer("width", 0, 0, kMaxSide);
  record.height = fields.integer("height", 0, 0, kMaxSide);
  record.model = fields.string("model", "");
  record.model_hash = fields.string("model_hash", "");
  record.clip_skip = fields.optional_integer("clip_skip");
  record.strength = fields.optional_number("strength");
  record.eta = fields.optional_number("eta");
  record.init_image_sha256 = optional_string(fields, "init_image_sha256");
  record.init_latents_sha256 = optional_string(fields, "init_latents_sha256");
  if (fields.find("variation_seed")) record.variation_seed = read_seed(fields, "variation_seed");
  record.batch_index = fields.optional_integer("batch_index");
  record.batch_size = fields.optional_integer("batch_size");
  record.dtype = fields.string("dtype", "");
  record.device = fields.string("device", "");
  record.limn_version = fields.string("limn_version", "");
  record.weights = read_weights(fields);
  record.loras = read_loras(fields);
  record.compat = fields.string("compat", defaults.compat);
  if (const json::value* request = fields.find("request"))
    record.request = object_of(*request, std::string(kWhere) + ": request");
  record.created = optional_string(fields, "created");
  record.warnings = fields.strings("warnings", {});
  return record;
}

std::vector<TextEntry> stamp(const GenerationRecord& record) {
  return {{"parameters", parameters_text(record)}, {"limn", to_text(to_json(record))}};
}

Provenance read_provenance(std::span<const TextEntry> texts) {
  Provenance provenance;
  for (const TextEntry& entry : texts) {
    if (entry.keyword == "parameters" && !provenance.infotext) {
      provenance.infotext = parse_infotext(entry.text);
    } else if (entry.keyword == "limn" && !provenance.record) {
      const json::value value = parse_json(entry.text, std::string(kWhere));
      provenance.record = record_from_json(object_of(value, std::string(kWhere)));
    }
  }
  return provenance;
}

}  // namespace limn::provenance
