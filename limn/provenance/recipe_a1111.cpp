// SPDX-License-Identifier: Apache-2.0
// AUTOMATIC1111's web UI and what writes like it: Forge, stable-diffusion.cpp.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <set>
#include <vector>

#include "limn/provenance/recipe.h"
#include "limn/provenance/upscalers.h"

namespace limn::provenance {
namespace {

template <typename Number>
std::optional<Number> number_of(std::string_view text) {
  Number value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

/// One field of A1111's last line and what it is here. The value is a number of the kind named, or text.
struct FieldRow {
  std::string_view label, field;
  enum class Kind { Integer, Seed, Number, Text } kind;
};
using enum FieldRow::Kind;
constexpr FieldRow kFields[] = {
    {"Steps", "steps", Integer},
    {"Sampler", "scheduler", Text},
    {"Schedule type", "schedule", Text},
    {"CFG scale", "guidance_scale", Number},
    {"Image CFG scale", "image_guidance_scale", Number},
    {"Seed", "seed", Seed},
    {"Variation seed", "variation_seed", Seed},
    {"Variation seed strength", "variation_strength", Number},
    {"Clip skip", "clip_skip", Integer},
    {"ENSD", "eta_noise_seed_delta", Seed},
    {"Eta DDIM", "eta", Number},
    {"Eta", "eta", Number},
    {"Mask blur", "mask_blur", Number},
    {"Masked area padding", "mask_padding", Integer},
    {"Hires upscale", "hires_scale", Number},
    {"Hires steps", "hires_steps", Integer},
    {"NGMS", "skip_unconditional", Number},
    {"Schedule min sigma", "sigma_min", Number},
    {"Schedule max sigma", "sigma_max", Number},
    {"Schedule rho", "rho", Number},
    {"Refiner switch at", "refiner_start", Number},
    {"CFG Rescale φ", "guidance_rescale", Number},
};
/// Read below, or of no use to a reader.
constexpr std::string_view kHandled[] = {"Size",
                                         "Model",
                                         "Model hash",
                                         "RNG",
                                         "Denoising strength",
                                         "Tiling",
                                         "Emphasis",
                                         "Hires upscaler",
                                         "Hires resize",
                                         "VAE",
                                         "VAE hash",
                                         "Lora hashes",
                                         "Version",
                                         "Masked content",
                                         "Inpaint area",
                                         "Seed resize from",
                                         "Refiner",
                                         "Old prompt editing timelines",
                                         "Downcast alphas_cumprod",
                                         "Noise Schedule"};
constexpr Choice kEmphases[] = {
    {"Original", "original"}, {"No norm", "no_norm"}, {"Ignore", "ignore"}, {"None", "none"}};
constexpr Choice kContents[] = {
    {"fill", "fill"}, {"original", "original"}, {"latent noise", "noise"}, {"latent nothing", "nothing"}};

/// The name for a label, or a note that there is none.
void put_choice(const Infotext& info, std::string_view label, const char* field,
                std::span<const Choice> table, Recipe& out) {
  const std::string_view value = info.find(label);
  if (value.empty()) return;
  for (const Choice& row : table)
    if (row.label == value) {
      out.fields[field] = json::string_view(row.name.data(), row.name.size());
      return;
    }
  out.notes.push_back(std::string(label) + ": limn has no '" + std::string(value) + "'");
}

void put_field(const FieldRow& row, std::string_view text, Recipe& out) {
  const json::string_view name(row.field.data(), row.field.size());
  std::optional<json::value> value;
  if (row.kind == Text) value = json::value(json::string_view(text.data(), text.size()));
  if (row.kind == Integer)
    if (const auto number = number_of<int64_t>(text)) value = *number;
  if (row.kind == Seed)
    if (const auto number = number_of<uint64_t>(text)) value = *number;
  if (row.kind == Number)
    if (const auto number = number_of<double>(text); number && std::isfinite(*number)) value = *number;
  if (value)
    out.fields[name] = *value;
  else
    out.notes.push_back(std::string(row.label) + ": '" + std::string(text) + "' is no number");
}

/// "512x768".
std::optional<std::pair<int64_t, int64_t>> size_of(std::string_view text) {
  const size_t x = text.find('x');
  if (x == std::string_view::npos) return {};
  const auto width = number_of<int64_t>(text.substr(0, x)), height = number_of<int64_t>(text.substr(x + 1));
  if (!width || !height || *width < 1 || *height < 1) return {};
  return std::pair(*width, *height);
}

void put_size(const Infotext& info, Recipe& out) {
  const std::string_view text = info.find("Size");
  if (const auto size = size_of(text)) {
    out.fields["width"] = size->first;
    out.fields["height"] = size->second;
  } else if (!text.empty()) {
    out.notes.push_back("Size: '" + std::string(text) + "' is no size");
  }
  const std::string_view from = info.find("Seed resize from");
  if (const auto size = size_of(from))
    out.fields["seed_resize"] = json::array{size->first, size->second};
  else if (!from.empty())
    out.notes.push_back("Seed resize from: '" + std::string(from) + "' is no size");
}

/// A second pass whose size is given and not its factor; 0 is the side that follows from the other.
void put_hires_resize(const Infotext& info, Recipe& out) {
  const std::string_view text = info.find("Hires resize");
  const size_t x = text.find('x');
  const auto first = size_of(info.find("Size"));
  if (x == std::string_view::npos || !first || out.fields.contains("hires_scale")) return;
  const double across = number_of<double>(text.substr(0, x)).value_or(0) / static_cast<double>(first->first),
               down = number_of<double>(text.substr(x + 1)).value_or(0) / static_cast<double>(first->second);
  const double scale = across > 0 ? across : down;
  if (!(scale > 0)) return;
  out.fields["hires_scale"] = scale;
  if (down > 0 && std::abs(across - down) > 1e-9)
    out.notes.push_back(
        "Hires resize: " + std::string(text) +
        " has other proportions than the first pass, and was cut; limn keeps the proportions");
}

/// Where its random numbers came from: its default is the GPU's, and no field says so.
void put_noise(const Infotext& info, Recipe& out) {
  const std::string_view rng = info.find("RNG");
  if (rng == "CPU") return;
  out.fields["noise"] = "philox";
  if (rng != "NV" && rng != "cuda")
    out.notes.push_back(
        "RNG: its random numbers came from a GPU; limn makes NVIDIA's on the CPU, and other GPUs' differ");
}

void put_strength(const Infotext& info, Recipe& out) {
  const auto strength = number_of<double>(info.find("Denoising strength"));
  if (!strength) {
    if (!info.find("Denoising strength").empty())
      out.notes.push_back("Denoising strength: '" + std::string(info.find("Denoising strength")) +
                          "' is no number");
    return;
  }
  if (out.fields.contains("hires_scale"))
    out.fields["hires_strength"] = *strength;
  else
    out.fields["strength"] = *strength,
    out.notes.push_back(
        "Denoising strength: the picture was made from another one, which has to be given as --init-image");
}

/// "ink: 1234567890ab, other: …".
void put_lora_hashes(const Infotext& info, Recipe& out) {
  const std::string text(info.find("Lora hashes"));
  for (size_t start = 0, end; start < text.size(); start = end + 1) {
    end = std::min(text.find(',', start), text.size());
    const std::string pair = text.substr(start, end - start);
    const size_t colon = pair.rfind(':'), first = pair.find_first_not_of(' ');
    if (colon == std::string::npos || first >= colon) continue;
    const size_t hash = pair.find_first_not_of(' ', colon + 1);
    for (RecipeLora& lora : out.loras)
      if (lora.name == pair.substr(first, colon - first) && hash != std::string::npos)
        lora.hash = pair.substr(hash);
  }
}

/// "v1.7.0-225-gabcdef" as 1, 7, 0, 225: the last counts commits after the tag. Empty for what is no version. Forge's
/// "f2.0.1v1.10.1" holds A1111's behind its own.
std::vector<int64_t> version_of(std::string_view text) {
  if (text.starts_with('f')) text.remove_prefix(std::min(text.find('v'), text.size()));
  if (text.starts_with('v')) text.remove_prefix(1);
  std::vector<int64_t> out;
  for (const char separator : {'.', '.', '-', '\0'}) {
    int64_t value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc()) break;
    out.push_back(value);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (!text.starts_with(separator)) break;
    text.remove_prefix(1);
  }
  return out.size() < 3 ? std::vector<int64_t>() : out;
}

/// Samplers whose schedule was uniform where their name says no other, before 1.9.0 gave each a schedule of its own.
constexpr std::string_view kOnceUniform[] = {
    "DPM2",      "DPM2 a",       "DPM++ 2S a",        "DPM++ 2M",
    "DPM++ SDE", "DPM++ 2M SDE", "DPM++ 2M SDE Heun", "DPM++ 3M SDE"};

/// What changed between A1111's versions, as its own table of them has it.
void put_versions(const Infotext& info, Recipe& out) {
  const std::vector<int64_t> version = version_of(out.version);
  const auto before = [&](std::vector<int64_t> other) { return !version.empty() && version < other; };
  const std::string_view sampler = info.find("Sampler");
  // Texts without a version are of the time before there was one, or of programs that write as then.
  const bool of_old = out.program == "a1111" && out.version.empty();
  if ((of_old || before({1, 9, 0})) && info.find("Schedule type").empty() &&
      std::ranges::find(kOnceUniform, sampler) != std::end(kOnceUniform))
    out.fields["schedule"] = "Uniform";
  if (info.find("Old prompt editing timelines") == "True" ||
      (before({1, 6, 0}) && info.prompt.find('[') != std::string::npos))
    out.fields["prompt_editing"] = "before_1.6";
  if (info.find("Downcast alphas_cumprod") == "True" || before({1, 7, 0, 225}))
    out.fields["noise_levels"] = "float16";
  if (info.find("Noise Schedule") == "Zero Terminal SNR")
    out.notes.push_back("Noise Schedule: Zero Terminal SNR goes with samplers that take --schedule zero_snr");
  if (before({1, 6, 0}) && (sampler == "DDIM" || sampler == "PLMS"))
    out.notes.push_back(
        "Version: before 1.6.0 DDIM and PLMS padded the shorter of prompt and negative prompt");
  if (before({1, 8, 0}) && out.fields.contains("refiner_start"))
    out.notes.push_back("Version: before 1.8.0 the refiner took over by steps, not by noise levels");
}

/// "name [hash]".
void put_refiner(const Infotext& info, Recipe& out) {
  const std::string text(info.find("Refiner"));
  if (text.empty()) return;
  const size_t open = text.rfind(" ["), close = text.rfind(']');
  out.refiner = text.substr(0, open);
  if (open != std::string::npos && close == text.size() - 1)
    out.refiner_hash = text.substr(open + 2, close - open - 2);
}

}  // namespace

std::optional<Recipe> read_a1111(std::span<const TextEntry> texts) {
  const TextEntry* found = nullptr;
  for (const TextEntry& entry : texts)
    if (entry.keyword == "parameters") found = found ? found : &entry;
  if (!found) return {};
  const Infotext info = parse_infotext(found->text);
  if (info.fields.empty()) return {};
  Recipe out;
  out.version = info.find("Version");
  const bool own = out.version.starts_with("limn ");
  out.program = own                                               ? "limn"
                : out.version.starts_with("stable-diffusion.cpp") ? "stable-diffusion.cpp"
                : out.version.starts_with("f") || out.version.find("forge") != std::string::npos ? "forge"
                                                                                                 : "a1111";
  out.compat = "a1111";
  out.fields["prompt"] = without_network_tags(info.prompt, out);
  if (!info.negative_prompt.empty())
    out.fields["negative_prompt"] = without_network_tags(info.negative_prompt, out);
  std::set<std::string_view> known(std::begin(kHandled), std::end(kHandled));
  for (const FieldRow& row : kFields) {
    known.insert(row.label);
    if (row.label == "Eta" &&
        out.program == "stable-diffusion.cpp") {  // there it is DDIM's, and always written
      known.erase(row.label);
      continue;
    }
    if (const std::string_view value = info.find(row.label); !value.empty()) put_field(row, value, out);
  }
  put_size(info, out);
  put_hires_resize(info, out);
  put_noise(info, out);
  put_strength(info, out);
  put_choice(info, "Hires upscaler", "hires_upscaler", upscaler_labels(), out);
  put_choice(info, "Emphasis", "emphasis", kEmphases, out);
  put_choice(info, "Masked content", "masked_content", kContents, out);
  if (info.find("Inpaint area") == "Only masked") out.fields["inpaint_area"] = "masked";
  if (info.find("Tiling") == "True") out.fields["seamless"] = "xy";
  out.model = without_ending(std::string(info.find("Model")));
  out.vae = without_ending(std::string(info.find("VAE")));
  out.vae_hash = info.find("VAE hash");
  out.model_hash = info.find("Model hash");
  for (const auto& [key, value] : info.fields)
    if (!known.contains(key)) out.unused.emplace_back(key, value);
  if (own) out.notes.push_back("limn's own record is gone; the text holds less");
  put_lora_hashes(info, out);
  put_refiner(info, out);
  put_versions(info, out);
  if (out.program == "stable-diffusion.cpp")
    out.notes.push_back(
        "stable-diffusion.cpp: its weights of prompts and its noise differ in details from A1111's");
  return out;
}

}  // namespace limn::provenance
