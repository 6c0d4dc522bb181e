// SPDX-License-Identifier: Apache-2.0
#include "limn/provenance/recipe.h"

#include <charconv>
#include <cmath>

#include "limn/base/error.h"

namespace limn::provenance {
namespace {

using Reader = std::optional<Recipe> (*)(std::span<const TextEntry>);
/// The first that knows the texts counts: limn writes A1111's text too.
constexpr Reader kReaders[] = {read_limn, read_invokeai, read_comfyui, read_a1111};

std::optional<double> number_of(const std::string& text) {
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> out;
  for (size_t start = 0, end; start <= text.size(); start = end + 1) {
    end = std::min(text.find(separator, start), text.size());
    out.push_back(text.substr(start, end - start));
  }
  return out;
}

void add_network(const std::string& tag, Recipe& recipe) {
  const std::vector<std::string> parts = split(tag, ':');
  const std::string note = "<" + tag + ">";
  if (parts[0] != "lora" && parts[0] != "lyco") {
    recipe.notes.push_back(note + ": limn has no " + parts[0]);
    return;
  }
  RecipeLora lora{parts.size() > 1 ? parts[1] : "", 1, ""};
  std::vector<double> weights;
  for (size_t i = 2; i < parts.size(); ++i)
    if (const auto weight = number_of(parts[i])) weights.push_back(*weight);
  if (!weights.empty()) lora.weight = weights[0];
  if (weights.size() > 1 && weights[1] != weights[0]) {
    lora.weight = weights[1];
    recipe.notes.push_back(note + ": one weight for text encoder and U-Net, the U-Net's");
  }
  if (weights.size() + 2 != parts.size()) recipe.notes.push_back(note + ": its other settings are not used");
  recipe.loras.push_back(std::move(lora));
}

}  // namespace

std::optional<Recipe> read_recipe(std::span<const TextEntry> texts) {
  for (const Reader reader : kReaders)
    if (auto recipe = reader(texts)) return recipe;
  return {};
}

std::optional<Recipe> read_limn(std::span<const TextEntry> texts) {
  const Provenance provenance = read_provenance(texts);
  if (!provenance.record) return {};
  const GenerationRecord& record = *provenance.record;
  Recipe out{.program = "limn",
             .version = record.limn_version,
             .compat = record.compat,
             .fields = record.request,
             .model = record.model,
             .model_hash = record.model_hash,
             .loras = {},
             .unused = {},
             .notes = {}};
  // What is found anew, and what the words and the latents no longer need.
  for (const char* field : {"model", "lora", "compat", "preview_vae", "wildcards", "styles_file", "style"})
    out.fields.erase(field);
  if (record.request.empty()) {  // written before records held their request
    out.fields = {{"prompt", record.prompt},       {"steps", record.steps},
                  {"scheduler", record.scheduler}, {"guidance_scale", record.guidance_scale},
                  {"width", record.width},         {"height", record.height}};
    if (!record.negative_prompt.empty()) out.fields["negative_prompt"] = record.negative_prompt;
    if (!record.schedule.empty()) out.fields["schedule"] = record.schedule;
    if (record.clip_skip) out.fields["clip_skip"] = *record.clip_skip;
    if (record.eta) out.fields["eta"] = *record.eta;
    if (record.strength) out.fields["strength"] = *record.strength;
  }
  out.fields["seed"] = record.seed;
  out.fields.erase("count");
  if (record.variation_seed) out.fields["variation_seed"] = *record.variation_seed;
  if (record.batch_size && record.batch_index) {
    out.fields["batch_index"] = *record.batch_index;
    out.fields["batch_size"] = *record.batch_size;
  }
  for (const LoraFile& lora : record.loras)
    out.loras.push_back({lora.file.substr(0, lora.file.rfind('.')), lora.weight, lora.sha256});
  for (const auto& [field, name] : {std::pair("vae", &out.vae), std::pair("refiner", &out.refiner)})
    if (const json::value* file = out.fields.if_contains(field)) {
      *name = without_ending(file->is_string() ? std::string(file->get_string()) : "");
      out.fields.erase(field);
    }
  for (const char* field : {"init_image", "mask", "init_latents"})
    if (const json::value* file = out.fields.if_contains(field)) {
      out.notes.push_back(std::string(field) + ": the picture was made with the file " + to_text(*file) +
                          ", which has to be given again");
      out.fields.erase(field);
    }
  return out;
}

std::string without_ending(const std::string& file) {
  for (const std::string_view ending : {".safetensors", ".ckpt", ".pt", ".gguf"})
    if (file.ends_with(ending)) return file.substr(0, file.size() - ending.size());
  return file;
}

std::string without_network_tags(const std::string& prompt, Recipe& recipe) {
  std::string out;
  for (size_t i = 0; i < prompt.size();) {
    const size_t end = prompt[i] == '<' ? prompt.find('>', i) : std::string::npos;
    const size_t colon = prompt[i] == '<' ? prompt.find(':', i) : std::string::npos;
    if (end == std::string::npos || colon == std::string::npos || colon > end || colon == i + 1) {
      out += prompt[i++];
      continue;
    }
    add_network(prompt.substr(i + 1, end - i - 1), recipe);
    i = end + 1;
  }
  return out;
}

json::object to_json(const Recipe& recipe) {
  json::array loras, unused;
  for (const RecipeLora& lora : recipe.loras)
    loras.push_back({{"name", lora.name}, {"weight", lora.weight}, {"hash", lora.hash}});
  for (const auto& [key, value] : recipe.unused) unused.push_back({key, value});
  return {{"program", recipe.program},
          {"version", recipe.version},
          {"compat", recipe.compat},
          {"fields", recipe.fields},
          {"model", recipe.model},
          {"model_hash", recipe.model_hash},
          {"refiner", recipe.refiner},
          {"vae", recipe.vae},
          {"loras", loras},
          {"unused", unused},
          {"notes", json::array(recipe.notes.begin(), recipe.notes.end())}};
}

}  // namespace limn::provenance
