// SPDX-License-Identifier: Apache-2.0
// InvokeAI: CoreMetadata of versions 3 and on.
#include <set>

#include "limn/provenance/recipe.h"

namespace limn::provenance {
namespace {

struct FieldRow {
  std::string_view key;
  const char* field;
};
constexpr FieldRow kFields[] = {
    {"positive_prompt", "prompt"},
    {"negative_prompt", "negative_prompt"},
    {"width", "width"},
    {"height", "height"},
    {"seed", "seed"},
    {"steps", "steps"},
    {"cfg_scale", "guidance_scale"},
    {"cfg_rescale_multiplier", "guidance_rescale"},
    {"scheduler", "scheduler"},
    {"clip_skip", "clip_skip"},
    {"strength", "strength"},
    {"positive_style_prompt", "prompt_2"},
    {"negative_style_prompt", "negative_prompt_2"},
    {"refiner_start", "refiner_start"},
};
/// Read below.
constexpr std::string_view kHandled[] = {"app_version", "generation_mode", "rand_device", "model",
                                         "loras",       "seamless_x",      "seamless_y",  "init_image"};

std::string text_at(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  return value && value->is_string() ? std::string(value->get_string()) : "";
}

bool flag(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  return value && value->is_bool() && value->get_bool();
}

/// {"name": …} or, before version 4, {"model_name": …}.
std::string model_name(const json::object& model) {
  const std::string name = text_at(model, "name");
  return name.empty() ? text_at(model, "model_name") : name;
}

/// "sha256:…"; InvokeAI's usual "blake3:…" says nothing to limn.
void put_hash(const std::string& text, Recipe& out) {
  const size_t colon = text.find(':');
  const std::string kind = colon == std::string::npos ? "sha256" : text.substr(0, colon);
  if (kind == "sha256")
    out.model_hash = text.substr(colon == std::string::npos ? 0 : colon + 1);
  else
    out.notes.push_back("model: its hash is " + text + ", which limn cannot check: its name alone counts");
}

void read_loras(const json::object& metadata, Recipe& out) {
  const json::value* list = metadata.if_contains("loras");
  if (!list || !list->is_array()) return;
  for (const json::value& item : list->get_array()) {
    const json::object* lora = item.if_object();
    if (!lora) continue;
    const json::value* model = lora->if_contains("model");
    if (!model) model = lora->if_contains("lora");
    const json::value* weight = lora->if_contains("weight");
    out.loras.push_back({model && model->is_object() ? model_name(model->get_object()) : "",
                         weight && weight->is_number() ? weight->to_number<double>() : 1.0, ""});
  }
}

}  // namespace

std::optional<Recipe> read_invokeai(std::span<const TextEntry> texts) {
  const TextEntry* found = nullptr;
  for (const TextEntry& entry : texts)
    if (entry.keyword == "invokeai_metadata") found = &entry;
  if (!found) return {};
  const json::value parsed = parse_json(found->text, "invokeai_metadata");
  if (!parsed.is_object()) return {};
  const json::object& metadata = parsed.get_object();
  Recipe out;
  out.program = "invokeai";
  out.version = text_at(metadata, "app_version");
  out.compat = "diffusers";
  out.fields["prompt_syntax"] = "compel";
  std::set<std::string_view> known(std::begin(kHandled), std::end(kHandled));
  for (const FieldRow& row : kFields) {
    known.insert(row.key);
    const json::value* value = metadata.if_contains(json::string_view(row.key.data(), row.key.size()));
    if (!value || value->is_null()) continue;
    if (value->is_string() || value->is_number())
      out.fields[row.field] = *value;
    else
      out.notes.push_back(std::string(row.key) + ": expected a text or a number, found " + to_text(*value));
  }
  if (out.fields.contains("strength")) {
    out.notes.push_back(
        "strength: the picture was made from another one, which has to be given as --init-image");
  }
  const bool x = flag(metadata, "seamless_x"), y = flag(metadata, "seamless_y");
  if (x || y) out.fields["seamless"] = x && y ? "xy" : x ? "x" : "y";
  if (text_at(metadata, "rand_device") != "cpu")
    out.notes.push_back("rand_device: its random numbers did not come from the CPU; the picture will differ");
  if (const json::value* model = metadata.if_contains("model"); model && model->is_object()) {
    out.model = model_name(model->get_object());
    put_hash(text_at(model->get_object(), "hash"), out);
  }
  read_loras(metadata, out);
  for (const auto& [key, value] : metadata)
    if (!known.contains(std::string_view(key.data(), key.size())) && !value.is_null())
      out.unused.emplace_back(std::string(key), to_text(value));
  return out;
}

}  // namespace limn::provenance
