// SPDX-License-Identifier: Apache-2.0
// ComfyUI: the graph that made the picture, as its API takes it.
#include <algorithm>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "limn/base/error.h"
#include "limn/provenance/recipe.h"

namespace limn::provenance {
namespace {

constexpr std::string_view kSamplers[] = {"KSampler", "KSamplerAdvanced", "SamplerCustom",
                                          "SamplerCustomAdvanced"};
constexpr std::string_view kOutputs[] = {"SaveImage", "PreviewImage", "SaveImageWebsocket"};
constexpr std::string_view kKnown[] = {"CLIPTextEncode",      "CLIPTextEncodeSDXL", "CheckpointLoaderSimple",
                                       "EmptyLatentImage",    "CLIPSetLastLayer",   "LoraLoader",
                                       "LoraLoaderModelOnly", "VAEDecode",          "VAELoader",
                                       "VAEEncode",           "LoadImage",          "Reroute",
                                       "PrimitiveNode",       "VAEDecodeTiled",     "KSamplerSelect",
                                       "BasicScheduler",      "KarrasScheduler",    "ExponentialScheduler",
                                       "RandomNoise",         "CFGGuider",          "BasicGuider",
                                       "LatentUpscale",       "LatentUpscaleBy"};
/// Samplers that draw noise at their steps, on the device that they run on.
constexpr std::string_view kDrawing[] = {"euler_ancestral",
                                         "euler_ancestral_cfg_pp",
                                         "dpm_2_ancestral",
                                         "dpmpp_2s_ancestral",
                                         "dpmpp_sde_gpu",
                                         "dpmpp_2m_sde_gpu",
                                         "dpmpp_3m_sde_gpu",
                                         "dpmpp_2m_sde_heun_gpu",
                                         "lcm",
                                         "ddpm"};
constexpr size_t kLongestPath = 1000;

template <size_t size>
bool is_one(const std::string_view (&table)[size], std::string_view name) {
  return std::ranges::find(table, name) != std::end(table);
}

/// Nodes by their ids, with helpers that take anything and never fail.
class Graph {
 public:
  explicit Graph(const json::object& nodes) : nodes_(nodes) {}

  const json::object* node(std::string_view id) const {
    const json::value* found = nodes_.if_contains(json::string_view(id.data(), id.size()));
    return found ? found->if_object() : nullptr;
  }
  static std::string class_of(const json::object& node) {
    const json::value* name = node.if_contains("class_type");
    return name && name->is_string() ? std::string(name->get_string()) : "";
  }
  static const json::value* input(const json::object& node, std::string_view name) {
    const json::value* inputs = node.if_contains("inputs");
    return inputs && inputs->is_object()
               ? inputs->get_object().if_contains(json::string_view(name.data(), name.size()))
               : nullptr;
  }
  /// The node an input is linked to, ["4", 0]; null for values and dead links.
  const json::object* linked(const json::value* value) const {
    const json::array* link = value ? value->if_array() : nullptr;
    if (!link || link->size() != 2 || !(*link)[0].is_string()) return nullptr;
    return node(std::string_view((*link)[0].get_string().data(), (*link)[0].get_string().size()));
  }
  /// A value, directly or behind links to nodes that hold one (primitives, string and seed nodes).
  const json::value* value_of(const json::value* value) const {
    for (size_t i = 0; value && i < kLongestPath; ++i) {
      const json::object* source = linked(value);
      if (!source) return value->is_array() ? nullptr : value;
      const json::value* next = nullptr;
      for (const char* name : {"value", "string", "text", "seed", "noise_seed", "int", "float"})
        if (const json::value* held = input(*source, name)) next = next ? next : held;
      value = next;
    }
    return nullptr;
  }
  /// The first node of one of `classes` on the way back from an input.
  const json::object* back(const json::value* value, std::span<const std::string_view> classes) const {
    std::vector<const json::value*> open{value};
    std::set<const json::object*> seen;
    while (!open.empty() && seen.size() < kLongestPath) {
      const json::object* source = linked(open.back());
      open.pop_back();
      if (!source || !seen.insert(source).second) continue;
      if (std::ranges::find(classes, class_of(*source)) != classes.end()) return source;
      const json::value* inputs = source->if_contains("inputs");
      if (!inputs || !inputs->is_object()) continue;
      for (const auto& [key, more] : inputs->get_object()) open.push_back(&more);
    }
    return nullptr;
  }
  const json::object* back(const json::value* value, std::initializer_list<std::string_view> classes) const {
    return back(value, std::span(classes.begin(), classes.size()));
  }
  const json::object& nodes() const { return nodes_; }

 private:
  const json::object& nodes_;
};

void put(const Graph& graph, const json::object& node, std::string_view name, const char* field,
         Recipe& out) {
  if (const json::value* value = graph.value_of(Graph::input(node, name)); value && !value->is_object())
    out.fields[field] = *value;
}

/// The node that an input's conditioning comes from: through nodes that change conditionings, by the output that is linked.
const json::object* encoder_behind(const Graph& graph, const json::value* input, const char* field,
                                   Recipe& out) {
  for (size_t i = 0; i < kLongestPath; ++i) {
    const json::object* node = graph.linked(input);
    if (!node) return nullptr;
    const std::string name = Graph::class_of(*node);
    if (name == "CLIPTextEncode" || name == "CLIPTextEncodeSDXL") return node;
    if (name == "ConditioningZeroOut") {
      out.notes.push_back(
          std::string(field) +
          ": zeros (ConditioningZeroOut); limn takes the empty prompt as the encoders have it");
      return nullptr;
    }
    const json::value& place = input->get_array()[1];
    const bool second = place.is_int64() && place.get_int64() == 1;
    const json::value* next = Graph::input(*node, second ? "negative" : "positive");
    for (const char* key : {"conditioning", "conditioning_1", "conditioning_to", ""})
      if (!next) next = Graph::input(*node, key);
    if (name == "ConditioningCombine" || name == "ConditioningConcat" || name == "ConditioningAverage")
      out.notes.push_back(std::string(field) + ": " + name + ": only its first text is read");
    input = next;
  }
  return nullptr;
}

/// Two numbers of a node as a list; nothing where one is missing.
void put_pair(const Graph& graph, const json::object& node, const char* first, const char* second,
              const std::string& field, Recipe& out) {
  const json::value *a = graph.value_of(Graph::input(node, first)),
                    *b = graph.value_of(Graph::input(node, second));
  if (a && b && a->is_int64() && b->is_int64()) out.fields[field] = json::array{*a, *b};
}

/// The text that an input's conditioning comes from, and the sizes that an XL model was told with it.
void put_prompt(const Graph& graph, const json::value* input, const std::string& field, Recipe& out) {
  const json::object* encoder = encoder_behind(graph, input, field.c_str(), out);
  if (!encoder) return;
  const bool xl = Graph::class_of(*encoder) == "CLIPTextEncodeSDXL";
  const json::value* text = graph.value_of(Graph::input(*encoder, xl ? "text_l" : "text"));
  if (text && text->is_string())
    out.fields[field] = *text;
  else
    out.notes.push_back(field + ": its text was not found in the graph");
  if (!xl) return;
  const json::value* second = graph.value_of(Graph::input(*encoder, "text_g"));
  if (second && second->is_string() && text && *second != *text) out.fields[field + "_2"] = *second;
  const std::string sign = field == "prompt" ? "" : "negative_";
  put_pair(graph, *encoder, "width", "height", sign + "original_size", out);
  put_pair(graph, *encoder, "target_width", "target_height", sign + "target_size", out);
  put_pair(graph, *encoder, "crop_h", "crop_w", sign + "crop", out);
}

/// A prompt whose sizes were not told has the picture's, whatever the other one was told.
void put_negative_sizes(Recipe& out) {
  const json::value *width = out.fields.if_contains("width"), *height = out.fields.if_contains("height");
  if (!out.fields.contains("original_size") || out.fields.contains("negative_original_size") || !width ||
      !height)
    return;
  out.fields["negative_original_size"] = json::array{*width, *height};
  out.fields["negative_target_size"] = json::array{*width, *height};
  out.fields["negative_crop"] = json::array{0, 0};
}

/// A file's name without folder and ending.
std::string name_of_file(const Graph& graph, const json::object& node, std::string_view input) {
  const json::value* found = graph.value_of(Graph::input(node, input));
  std::string file = found && found->is_string() ? std::string(found->get_string()) : "";
  return without_ending(file.substr(file.find_last_of("/\\") + 1));
}

double number_of(const Graph& graph, const json::object& node, std::string_view input, double otherwise) {
  const json::value* found = graph.value_of(Graph::input(node, input));
  return found && found->is_number() ? found->to_number<double>() : otherwise;
}

void put_lora(const Graph& graph, const json::object& node, Recipe& out) {
  const std::string name = name_of_file(graph, node, "lora_name");
  const double weight = number_of(graph, node, "strength_model", 1);
  const bool alone = Graph::class_of(node) == "LoraLoaderModelOnly";
  if (alone || number_of(graph, node, "strength_clip", weight) != weight)
    out.notes.push_back("lora " + name + ": its weight for the text encoders was " +
                        (alone ? "0" : "another") + "; limn has one weight, the U-Net's");
  out.loras.insert(out.loras.begin(), {name, weight, ""});
}

/// The VAE that an output's picture was decoded with, where it is not the model's own.
void put_vae(const Graph& graph, Recipe& out) {
  for (const auto& [id, value] : graph.nodes()) {
    const json::object* node = value.if_object();
    if (!node || !is_one(kOutputs, Graph::class_of(*node))) continue;
    const json::object* decoder = graph.back(Graph::input(*node, "images"), {"VAEDecode", "VAEDecodeTiled"});
    const json::object* vae = decoder ? graph.back(Graph::input(*decoder, "vae"), {"VAELoader"}) : nullptr;
    if (vae) out.vae = name_of_file(graph, *vae, "vae_name");
  }
}

/// The model that a sampler's input leads back to, and the LoRAs on the way.
void put_model(const Graph& graph, const json::value* value, Recipe& out) {
  std::set<const json::object*> seen;
  for (const json::object* node; (node = graph.linked(value)) && seen.insert(node).second;) {
    const std::string name = Graph::class_of(*node);
    if (name == "CheckpointLoaderSimple" || name == "CheckpointLoader")
      out.model = name_of_file(graph, *node, "ckpt_name");
    if (name == "UNETLoader") out.model = name_of_file(graph, *node, "unet_name");
    if (name.starts_with("LoraLoader")) put_lora(graph, *node, out);
    value = Graph::input(*node, "model");
  }
}

/// Between two samplers: the nodes that the latents or the picture of the first went through.
struct Between {
  std::vector<const json::object*> nodes;
  const json::object* first = nullptr;  // the sampler before; null where there is none
};
Between before(const Graph& graph, const json::object& sampler) {
  Between out;
  const json::value* input = Graph::input(sampler, "latent_image");
  for (const json::object* node; (node = graph.linked(input)) && out.nodes.size() < kLongestPath;) {
    if (is_one(kSamplers, Graph::class_of(*node))) {
      out.first = node;
      break;
    }
    out.nodes.push_back(node);
    input = nullptr;
    for (const char* key : {"samples", "latent", "latents", "pixels", "image", "images"})
      if (!input) input = Graph::input(*node, key);
  }
  return out;
}

/// What a picture was enlarged by between two samplers; 0 where that cannot be told.
double enlarged_by(const Graph& graph, const Between& between, Recipe& out) {
  struct Method {
    std::string_view name;
    const char* ours;
  };
  static constexpr Method kMethods[] = {
      {"bilinear", "latent"}, {"bicubic", "latent_bicubic"}, {"nearest-exact", "latent_nearest"}};
  double scale = 0;
  for (const json::object* node : between.nodes) {
    const std::string name = Graph::class_of(*node);
    if (name != "LatentUpscaleBy" && name != "LatentUpscale") continue;
    const json::value* width = out.fields.if_contains("width");
    if (name == "LatentUpscaleBy")
      scale = number_of(graph, *node, "scale_by", 0);
    else if (width && width->is_int64() && width->get_int64() > 0)
      scale = number_of(graph, *node, "width", 0) / static_cast<double>(width->get_int64());
    const json::value* method = graph.value_of(Graph::input(*node, "upscale_method"));
    const std::string asked = method && method->is_string() ? std::string(method->get_string()) : "";
    const auto* known = std::ranges::find(kMethods, std::string_view(asked), &Method::name);
    out.fields["hires_upscaler"] = known == std::end(kMethods) ? "latent" : known->ours;
    if (asked != "bilinear" && asked != "bicubic")
      out.notes.push_back(name + ": upscale_method " + asked + " is only come near to");
  }
  return scale;
}

/// A second sampler as a second pass. Its sampler, guidance and prompts count for both.
void put_second_pass(const Graph& graph, const Between& between, const json::object& levels, Recipe& out) {
  const double scale = enlarged_by(graph, between, out);
  if (!(scale > 1)) {
    out.fields.erase("hires_upscaler");
    out.notes.push_back(
        "the picture went through two samplers, and how it was enlarged between them is not known: the "
        "second's "
        "settings and the first's size are read, as one pass");
    return;
  }
  out.notes.push_back(
      "the picture went through two samplers: steps and seed are read from the first, all else from the "
      "second");
  out.fields["hires_scale"] = scale;
  put(graph, levels, "denoise", "hires_strength", out);
  put(graph, levels, "steps", "hires_steps", out);
  put(graph, *between.first, "steps", "steps", out);
  const json::value second = out.fields.contains("seed") ? out.fields.at("seed") : json::value();
  put(graph, *between.first, "seed", "seed", out);
  put(graph, *between.first, "noise_seed", "seed", out);
  if (out.fields.contains("seed") && out.fields.at("seed") != second)
    out.notes.push_back("seed: the second sampler's was " + to_text(second) +
                        "; limn's second pass has the first's");
}

void put_latents(const Graph& graph, const json::object& sampler, const json::object& levels, Recipe& out) {
  const json::value* input = Graph::input(sampler, "latent_image");
  if (const json::object* empty = graph.back(input, {"EmptyLatentImage"})) {
    put(graph, *empty, "width", "width", out);
    put(graph, *empty, "height", "height", out);
    if (const json::value* batch = graph.value_of(Graph::input(*empty, "batch_size"));
        batch && batch->is_int64() && batch->get_int64() > 1) {
      out.fields["count"] = *batch;
      out.notes.push_back("batch_size: the picture is one of " + to_text(*batch) +
                          " of one seed, and does not say which: all are made");
    }
  } else if (graph.back(input, {"VAEEncode", "VAEEncodeForInpaint", "LoadImage"})) {
    put(graph, levels, "denoise", "strength", out);
    out.notes.push_back("the picture was made from another one, which has to be given as --init-image");
  } else {
    out.notes.push_back("width, height: not found in the graph");
  }
  if (const Between between = before(graph, sampler); between.first)
    put_second_pass(graph, between, levels, out);
}

/// Where the sampler's own noise came from: not from the CPU, unlike the first.
void note_noise(Recipe& out) {
  const json::value* name = out.fields.if_contains("scheduler");
  if (!name || !name->is_string()) return;
  const std::string sampler(name->get_string());
  if (is_one(kDrawing, sampler))
    out.notes.push_back(
        "scheduler: " + sampler +
        " draws noise at each step on the device that it runs on; limn makes the CPU's, and a GPU's "
        "differs");
}

/// The sampler nearest to an output, and how many there are.
const json::object* find_sampler(const Graph& graph, Recipe& out) {
  const json::object* found = nullptr;
  int64_t samplers = 0;
  for (const auto& [id, value] : graph.nodes()) {
    const json::object* node = value.if_object();
    if (!node) continue;
    const std::string name = Graph::class_of(*node);
    if (is_one(kSamplers, name)) {
      ++samplers;
      if (!found) found = node;
    }
    if (is_one(kOutputs, name))
      if (const json::object* nearest = graph.back(Graph::input(*node, "images"), kSamplers)) found = nearest;
  }
  if (samplers > 1)
    out.notes.push_back("the graph has " + std::to_string(samplers) +
                        " samplers; the last before the picture is read");
  return found;
}

/// The nodes that a sampler's settings are in: itself, or what SamplerCustom and SamplerCustomAdvanced are put together
/// from.
struct Parts {
  const json::object &sampler, *guider, *levels, *select, *noise;
};
Parts parts_of(const Graph& graph, const json::object& sampler) {
  const auto behind = [&](const char* input) {
    const json::object* node = graph.linked(Graph::input(sampler, input));
    return node ? node : &sampler;
  };
  return {sampler, behind("guider"), behind("sigmas"), behind("sampler"), behind("noise")};
}

void put_levels(const Graph& graph, const json::object& node, Recipe& out) {
  const std::string name = Graph::class_of(node);
  put(graph, node, "steps", "steps", out);
  put(graph, node, "scheduler", "schedule", out);
  if (name != "KarrasScheduler" && name != "ExponentialScheduler") return;
  out.fields["schedule"] = name == "KarrasScheduler" ? "karras" : "exponential";
  for (const char* field : {"sigma_min", "sigma_max", "rho"}) put(graph, node, field, field, out);
}

/// Settings of the sampler that have no place here.
void keep_unused(const Graph& graph, const json::object& sampler, Recipe& out) {
  static const std::set<std::string_view> used{
      "steps",    "cfg",          "sampler_name", "scheduler", "seed",   "noise_seed", "positive",
      "negative", "latent_image", "model",        "sampler",   "sigmas", "noise",      "guider"};
  const json::value* inputs = sampler.if_contains("inputs");
  if (!inputs || !inputs->is_object()) return;
  for (const auto& [key, value] : inputs->get_object()) {
    const std::string name(key);
    const bool denoised =
        name == "denoise" && (out.fields.contains("strength") || out.fields.contains("hires_strength") ||
                              value == json::value(1) || value == json::value(1.0));
    if (!used.contains(name) && !denoised)
      if (const json::value* held = graph.value_of(&value)) out.unused.emplace_back(name, to_text(*held));
  }
}

void note_unknown_nodes(const Graph& graph, Recipe& out) {
  std::set<std::string> classes;
  for (const auto& [id, value] : graph.nodes())
    if (const json::object* node = value.if_object()) {
      const std::string name = Graph::class_of(*node);
      if (!name.empty() && !is_one(kSamplers, name) && !is_one(kOutputs, name) && !is_one(kKnown, name))
        classes.insert(name);
    }
  for (const std::string& name : classes)
    out.notes.push_back("node " + name + ": limn does not know what it did");
}

/// ComfyUI writes NaN, which is no JSON, where a node is always run again.
std::string without_nan(const std::string& text) {
  std::string out;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\' && i + 1 < text.size()) {
      out += text[i++];
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && text.compare(i, 3, "NaN") == 0) {
      out += "null";
      i += 2;
      continue;
    }
    out += text[i];
  }
  return out;
}

}  // namespace

std::optional<Recipe> read_comfyui(std::span<const TextEntry> texts) {
  const TextEntry* found = nullptr;
  for (const TextEntry& entry : texts)
    if (entry.keyword == "prompt" && entry.text.starts_with('{')) found = &entry;
  if (!found) return {};
  const json::value parsed = parse_json(without_nan(found->text), "prompt");
  if (!parsed.is_object()) return {};
  const Graph graph(parsed.get_object());
  Recipe out;
  out.program = "comfyui";
  out.compat = "comfy";
  const json::object* sampler = find_sampler(graph, out);
  note_unknown_nodes(graph, out);
  if (!sampler) {
    out.notes.push_back("the graph has no KSampler: its settings cannot be read");
    return out;
  }
  const Parts parts = parts_of(graph, *sampler);
  put_levels(graph, *parts.levels, out);
  put(graph, *parts.guider, "cfg", "guidance_scale", out);
  put(graph, *parts.select, "sampler_name", "scheduler", out);
  put(graph, *sampler, "seed", "seed", out);
  put(graph, *parts.noise, "noise_seed", "seed", out);
  const bool unguided = Graph::class_of(*parts.guider) == "BasicGuider";
  if (unguided) out.fields["guidance_scale"] = 1.0;
  Recipe said_already;
  const json::value* positive = Graph::input(*parts.guider, unguided ? "conditioning" : "positive");
  put_prompt(graph, positive, "prompt", out);
  if (!out.fields.contains("prompt") && !encoder_behind(graph, positive, "prompt", said_already))
    out.notes.push_back("prompt: its text was not found in the graph");
  put_prompt(graph, Graph::input(*parts.guider, "negative"), "negative_prompt", out);
  put_vae(graph, out);
  put_model(graph, Graph::input(*parts.guider, "model"), out);
  put_latents(graph, *sampler, *parts.levels, out);
  put_negative_sizes(out);
  note_noise(out);
  keep_unused(graph, *sampler, out);
  const json::object* encoder = encoder_behind(graph, positive, "prompt", said_already);
  if (const json::object* last =
          encoder ? graph.back(Graph::input(*encoder, "clip"), {"CLIPSetLastLayer"}) : nullptr)
    if (const json::value* layer = graph.value_of(Graph::input(*last, "stop_at_clip_layer"));
        layer && layer->is_int64() && layer->get_int64() < 0)
      out.fields["clip_skip"] = -layer->get_int64();
  return out;
}

}  // namespace limn::provenance
