// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/resolve.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <random>
#include <set>

#include <ATen/Context.h>

#include "limn/base/file.h"
#include "limn/base/named_table.h"
#include "limn/engine/compat.h"
#include "limn/engine/engine.h"
#include "limn/engine/resolve_edit.h"
#include "limn/nn/fast_path.h"
#include "limn/schedulers/aliases.h"
#include "limn/schedulers/noise_schedule.h"
#include "limn/weights/tensor.h"

namespace limn::engine {
namespace {

constexpr int64_t kMostPixelsPerBatch = int64_t{1} << 28;

std::string now_utc() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

uint64_t random_seed() { return std::random_device{}(); }

void resolve_sizes(const GenerateRequest& request, const models::Model& model, Run& run) {
  const int64_t factor = model.factor(), native = model.native_size();
  int64_t width = native, height = native;
  const bool masked_part = run.edit && request.inpaint_area == "masked";
  if (run.args.init_image && !masked_part) {  // the picture's own size, as diffusers takes it
    const Image& picture = run.edit ? run.edit->canvas : *run.args.init_image;
    width = std::max(picture.width / factor, int64_t{1}) * factor;
    height = std::max(picture.height / factor, int64_t{1}) * factor;
  }
  run.args.width = side_of(request.width, width, factor, "width");
  run.args.height = side_of(request.height, height, factor, "height");
  if (run.args.width * run.args.height > kMostPixelsPerBatch)
    throw Error(ErrorCode::InvalidArgument, "width, height",
                "a picture of that many pixels is over the limit");
}

void resolve_inputs(const GenerateRequest& request, Run& run) {
  if (!request.init_image.empty()) {
    const auto file = MappedFile::open(request.init_image);
    run.args.init_image = decode_image(file->bytes(), request.init_image.string());
    run.args.strength = request.strength;
    run.record.strength = request.strength;
    run.record.init_image_sha256 = sha256(file->bytes());
  }
  if (is_edit(request)) {
    if (!run.args.init_image)
      throw Error(ErrorCode::InvalidArgument, request.mask.empty() ? "outpaint" : "mask",
                  "needs a picture to repaint", "give init_image");
    run.edit = open_edit(request, *run.args.init_image);
  }
  if (!request.init_latents.empty()) {
    const auto tensors = weights::load_tensors(request.init_latents);
    const auto found = tensors.find("latents");
    if (found == tensors.end())
      throw Error(ErrorCode::BadFile, request.init_latents.string(), "has no tensor 'latents'");
    if (!found->second.is_floating_point())
      throw Error(ErrorCode::BadFile, request.init_latents.string() + ": latents", "expected floating point");
    run.args.init_latents = found->second.to(at::kFloat).contiguous();
    run.record.init_latents_sha256 = sha256_of_file(request.init_latents);
  }
}

/// Whether a run's noise levels are those of the betas that the model was trained with.
bool has_trained_levels(const SchedulerChoice& scheduler) {
  return !scheduler.entry->class_name.starts_with("FlowMatch") && !scheduler.config.contains("sigma_data");
}

/// "mid, up.0" as a set of known names.
std::set<std::string> blocks_of(const std::string& text, const models::UNet2DConditionModel& unet) {
  std::set<std::string> known{"mid", "down", "up"}, out;
  for (size_t i = 0; i < unet.config().block_out_channels.size(); ++i) {
    known.insert("down." + std::to_string(i));
    known.insert("up." + std::to_string(i));
  }
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  for (size_t start = 0, end; start <= text.size(); start = end + 1) {
    end = std::min(text.find(',', start), text.size());
    std::string name = text.substr(start, end - start);
    std::erase(name, ' ');
    if (!known.contains(name))
      throw Error(ErrorCode::InvalidArgument, "pag_blocks", "no block '" + name + "'", "known: " + list);
    out.insert(name);
  }
  return out;
}

std::optional<models::FreeU> freeu_of(const std::string& text) {
  if (text.empty()) return {};
  models::FreeU out;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%lf,%lf,%lf,%lf%c", &out.s1, &out.s2, &out.b1, &out.b2, &rest) != 4 ||
      std::ranges::any_of(std::array{out.s1, out.s2, out.b1, out.b2},
                          [](double x) { return !(x >= 0 && x <= 10); }))
    throw Error(ErrorCode::InvalidArgument, "freeu",
                "expected S1,S2,B1,B2, four numbers from 0 to 10, found '" + text + "'",
                "usual for Stable Diffusion 1: 0.9,0.2,1.5,1.6; XL: 0.9,0.2,1.3,1.4");
  return out;
}

pipelines::Guidance guidance_of(const GenerateRequest& request, const models::Model& model) {
  return {.scale = request.guidance_scale.value_or(model.defaults.guidance_scale),
          .rescale = request.guidance_rescale,
          .image_scale = request.image_guidance_scale,
          .start = request.guidance_start,
          .end = request.guidance_end,
          .skip_below_sigma = request.skip_unconditional,
          .pag_scale = request.pag_scale,
          .pag_adaptive_scale = request.pag_adaptive_scale,
          .pag_blocks = blocks_of(request.pag_blocks, *model.unet),
          .sag_scale = request.sag_scale,
          .freeu = freeu_of(request.freeu)};
}

/// Self-attention guidance blurs the clean picture at one of the training's noise levels.
void check_guidance(const pipelines::Guidance& guidance, const SchedulerChoice& scheduler) {
  if (guidance.sag_scale > 0 && !has_trained_levels(scheduler))
    throw Error(ErrorCode::InvalidArgument, "sag_scale",
                "does not go with a model that has Karras' preconditioning or flow matching",
                "use pag_scale");
}

pipelines::MicroConditioning sizes_of(const GenerateRequest& request) {
  using S = pipelines::MicroConditioning::Size;
  const auto size = [](const Size& s) {
    return s.given() ? std::optional(S{s.height, s.width}) : std::nullopt;
  };
  const auto corner = [](const std::vector<int64_t>& c) { return c.empty() ? S{0, 0} : S{c[0], c[1]}; };
  return {.original_size = size(request.original_size),
          .target_size = size(request.target_size),
          .negative_original_size = size(request.negative_original_size),
          .negative_target_size = size(request.negative_target_size),
          .crops_coords_top_left = corner(request.crop),
          .negative_crops_coords_top_left = corner(request.negative_crop),
          .aesthetic_score = request.aesthetic_score,
          .negative_aesthetic_score = request.negative_aesthetic_score};
}

/// Noise levels of the checkpoint, as its scheduler's configuration gives them.
pipelines::NoiseLevels levels_of(const SchedulerChoice& scheduler) {
  const Fields config(scheduler.config, scheduler.where);
  pipelines::NoiseLevels out;
  out.alphas_cumprod = schedulers::read_noise_schedule(config, {}).alphas_cumprod;
  const std::string prediction = config.string("prediction_type", "epsilon");
  if (prediction == "v_prediction" || prediction == "sample")
    out.prediction = schedulers::prediction_of(prediction);
  return out;
}

/// Layers of the text encoder to leave out, as diffusers counts them. A1111 leaves XL and SD 2 models alone; ComfyUI counts
/// from the last layer there, too, though the one before it is the usual one.
int64_t layers_left_out(const GenerateRequest& request, const Compat& compat, const models::Model& model) {
  const text::CLIPTextModel& encoder = model.text_encoder ? *model.text_encoder : *model.text_encoder_2;
  const int64_t layers = encoder.config().num_hidden_layers - (model.is_xl() ? 1 : 0);
  const int64_t from = compat.clip_skip_from_one ? 1 : 0;
  if (request.clip_skip > layers + from)
    throw Error(ErrorCode::InvalidArgument, "clip_skip",
                "expected 0 to " + std::to_string(layers + from) + ", the text encoder's layers, found " +
                    std::to_string(request.clip_skip));
  // All but the last layer are used by XL and by SD 2, which of the others alone has linear projections.
  const bool is_cut = model.is_xl() || model.unet->config().use_linear_projection;
  if (!compat.clip_skip_from_one || !is_cut) return std::max<int64_t>(request.clip_skip - from, 0);
  if (compat.dialect == "a1111" || request.clip_skip == 0) return 0;
  constexpr int64_t kUsual = 2;
  return std::max<int64_t>(request.clip_skip - kUsual, model.is_xl() ? -1 : 0);
}

pipelines::NoiseRules noise_of(const GenerateRequest& request, const Compat& compat,
                               const models::Model& model) {
  pipelines::NoiseRules out;
  out.generator = request.noise.empty()
                      ? compat.generator
                      : find_named(schedulers::noise_generators(), request.noise, "noise").generator;
  out.seed_delta = request.eta_noise_seed_delta;
  out.variation = {.seed = request.variation_seed, .strength = request.variation_strength};
  out.part = {.first = request.batch_index, .whole = request.batch_size.value_or(request.count)};
  if (out.part.first + request.count > out.part.whole)
    throw Error(ErrorCode::InvalidArgument, "batch_index",
                "with count passes batch_size, " + std::to_string(out.part.whole));
  if (request.seed_resize.given())
    out.variation.resize_from = {request.seed_resize.height / model.factor(),
                                 request.seed_resize.width / model.factor()};
  if (out.generator == schedulers::NoiseGenerator::Shared &&
      (out.variation.strength > 0 || out.variation.resize_from))
    throw Error(ErrorCode::InvalidArgument, "variation_strength, seed_resize", "need a generator a picture",
                "use --noise cpu or philox");
  return out;
}

/// Settings of XL models, given to another one.
void warn_of_xl_settings(const GenerateRequest& request, Run& run) {
  for (const char* field : {"prompt_2", "negative_prompt_2", "original_size", "target_size", "crop",
                            "negative_original_size", "negative_target_size", "negative_crop"})
    if (request.given.contains(field))
      run.warnings.push_back(std::string(field) + ": has no effect, for the model is not of the XL family");
}

/// Words that a small model was not trained with, and subjects of its that are near.
void warn_of_unknown_words(const std::string& prompt, const text::Vocabulary& vocabulary, Run& run) {
  std::string words;
  for (const auto& [word, nearest] : vocabulary.unknown(prompt)) {
    words += (words.empty() ? "" : "; ") + word;
    for (const std::string& subject : nearest)
      words += (&subject == &nearest.front() ? " (it knows " : ", ") + subject;
    if (!nearest.empty()) words += ")";
  }
  if (!words.empty()) run.warnings.push_back("prompt: not in this model's subjects: " + words);
}

void check_choice(const char* field, const std::string& value,
                  std::initializer_list<std::string_view> known) {
  if (std::ranges::find(known, value) != known.end()) return;
  std::string list;
  for (std::string_view name : known) list.append(list.empty() ? "" : ", ").append(name);
  throw Error(ErrorCode::InvalidArgument, field, "no '" + value + "'", "known: " + list);
}

void check_choices(const GenerateRequest& request) {
  find_named(pipelines::mask_modes(), request.mask_mode, "mask_mode");
  check_choice("inpaint_area", request.inpaint_area, {"whole", "masked"});
  check_choice("noise_levels", request.noise_levels, {"float32", "float16"});
  check_choice("prompt_editing", request.prompt_editing, {"current", "before_1.6"});
  find_named(pipelines::masked_contents(), request.masked_content, "masked_content");
  find_named(pipelines::upscalers(), request.hires_upscaler, "hires_upscaler");
}

/// Steps of a schedule of which the last `wanted` are the share `strength`.
int64_t steps_for(int64_t wanted, double strength) {
  constexpr double kMostOfA1111 = 0.999;
  if (strength <= 0) return wanted;
  const auto steps = static_cast<int64_t>(static_cast<double>(wanted) / std::min(strength, kMostOfA1111));
  return std::max(steps, wanted);
}

/// Steps that are asked for; with a list of levels, those between them.
int64_t steps_of(const GenerateRequest& request, const models::Model& model) {
  if (request.sigmas.empty()) return request.steps.value_or(model.defaults.num_inference_steps);
  const auto levels = std::ranges::count_if(request.sigmas, [](double sigma) { return sigma > 0; });
  if (request.steps && *request.steps != levels)
    throw Error(ErrorCode::InvalidArgument, "steps",
                "is " + std::to_string(*request.steps) + ", but sigmas has " + std::to_string(levels) +
                    " levels above 0",
                "leave steps out");
  return levels;
}

void resolve_hires(const GenerateRequest& request, const models::Model& model, Run& run) {
  if (request.hires_scale <= 1) return;
  if (run.args.init_image || !request.refiner.empty() || !request.sigmas.empty())
    throw Error(ErrorCode::InvalidArgument, "hires_scale",
                run.args.init_image        ? "does not go with init_image"
                : !request.refiner.empty() ? "does not go with a refiner"
                                           : "does not go with sigmas, whose levels are one pass's");
  const int64_t factor = model.factor();
  const auto side = [&](int64_t side) {
    return static_cast<int64_t>(
               std::lround(static_cast<double>(side) * request.hires_scale / static_cast<double>(factor))) *
           factor;
  };
  const int64_t steps =
      request.hires_steps.value_or(request.steps.value_or(model.defaults.num_inference_steps));
  const bool fixes = find_named(compats(), request.compat, "compat").fixes_hires_steps;
  run.hires = Hires{.width = side(run.args.width),
                    .height = side(run.args.height),
                    .strength = request.hires_strength,
                    .last_steps = fixes ? std::optional(steps) : std::nullopt,
                    .upscaler = &find_named(pipelines::upscalers(), request.hires_upscaler, "hires_upscaler"),
                    .scheduler = choose_scheduler(request, model,
                                                  fixes ? steps_for(steps, request.hires_strength) : steps)};
  if (run.hires->width * run.hires->height > kMostPixelsPerBatch)
    throw Error(ErrorCode::InvalidArgument, "hires_scale", "a picture of that many pixels is over the limit");
}

pipelines::TiledDiffusion tiling_of(const GenerateRequest& request, const models::Model& model) {
  constexpr int64_t kUsualOverlap = 128;
  if (request.tile == 0) return {};
  const int64_t overlap = request.tile_overlap.value_or(std::min(kUsualOverlap, request.tile / 2));
  const pipelines::TiledDiffusion out{.tile = request.tile / model.factor(),
                                      .overlap = overlap / model.factor()};
  if (out.tile == 0)
    throw Error(ErrorCode::InvalidArgument, "tile",
                "expected 0 or at least " + std::to_string(model.factor()) + " pixels, found " +
                    std::to_string(request.tile));
  if (out.overlap >= out.tile)
    throw Error(
        ErrorCode::InvalidArgument, "tile_overlap",
        "expected less than tile, " + std::to_string(request.tile) + ", found " + std::to_string(overlap));
  if (request.seamless != "none")
    throw Error(ErrorCode::InvalidArgument, "seamless",
                "does not go with tile: each part would fit its own edges, not the picture's");
  return out;
}

pipelines::Tiling decoding_of(const GenerateRequest& request, const models::Model& model) {
  constexpr int64_t kSmallest = 64;
  const bool x = request.seamless.find('x') != std::string::npos,
             y = request.seamless.find('y') != std::string::npos;
  if (request.vae_tile == 0) return {.wraps_x = x, .wraps_y = y};
  if (request.vae_tile < kSmallest)
    throw Error(ErrorCode::InvalidArgument, "vae_tile",
                "expected 0 or at least 64 pixels, found " + std::to_string(request.vae_tile));
  const int64_t tile = request.vae_tile / model.factor();
  return {.largest_untiled = tile, .tile = tile, .overlap = tile / 4, .wraps_x = x, .wraps_y = y};
}

/// The fields as they were given, without the folders of files.
json::object portable(const json::object& given) {
  json::object out = given;
  for (const RequestField& field : request_fields()) {
    json::value* value = out.if_contains(json::string_view(field.name.data(), field.name.size()));
    if (value && field.kind == FieldKind::Path)
      *value = std::filesystem::path(std::string(value->as_string())).filename().string();
    if (value && field.kind == FieldKind::Loras)
      for (json::value& item : value->as_array())
        item = std::filesystem::path(std::string(item.as_string())).filename().string();
  }
  return out;
}

struct Arithmetic {
  std::string_view name;
  at::ScalarType type;
};
constexpr Arithmetic kArithmetics[] = {{"auto", at::ScalarType::Undefined},
                                       {"float32", at::kFloat},
                                       {"bfloat16", at::kBFloat16},
                                       {"float16", at::kHalf}};

at::ScalarType fastest_dtype(at::Device device) {
  if (device.is_cuda()) return at::kHalf;
  return nn::multiplies_bfloat16() ? at::kBFloat16 : at::kFloat;
}

}  // namespace

int64_t side_of(std::optional<int64_t> asked, int64_t fallback, int64_t factor, const char* field) {
  const int64_t side = asked.value_or(fallback);
  if (side % factor != 0)
    throw Error(ErrorCode::InvalidArgument, field,
                "expected a multiple of " + std::to_string(factor) + ", found " + std::to_string(side),
                "nearest: " + std::to_string(std::max(side / factor, int64_t{1}) * factor));
  return side;
}

ModelChoice model_choice_of(const GenerateRequest& request) {
  check_choice("seamless", request.seamless, {"none", "x", "y", "xy"});
  return {.model = request.model,
          .vae = request.vae,
          .preview_vae = request.preview_vae,
          .loras = request.loras,
          .seamless_x = request.seamless.find('x') != std::string::npos,
          .seamless_y = request.seamless.find('y') != std::string::npos,
          .quantize = request.quantize};
}

std::string dtype_name(at::ScalarType type) {
  return std::string(weights::info_of(weights::dtype_of(type)).long_name);
}

models::LoadOptions load_options_of(const GenerateRequest& request) {
  find_named(compats(), request.compat, "compat");
  models::LoadOptions options;
  try {
    options.device = at::Device(request.device);
  } catch (const c10::Error&) {
    throw Error(ErrorCode::InvalidArgument, "device", "no '" + request.device + "'",
                "known: cpu, cuda, cuda:N");
  }
  if (!options.device.is_cpu() && !options.device.is_cuda())
    throw Error(ErrorCode::InvalidArgument, "device", "no '" + request.device + "'",
                "known: cpu, cuda, cuda:N");
  if (options.device.is_cuda() && !at::hasCUDA())
    throw Error(ErrorCode::Unsupported, "device", "this LibTorch sees no CUDA device", "use --device cpu");
  options.dtype = find_named(std::span<const Arithmetic>(kArithmetics), request.dtype, "dtype").type;
  if (options.dtype == at::ScalarType::Undefined) options.dtype = fastest_dtype(options.device);
  return options;
}

Run resolve(const GenerateRequest& request, const LoadedModel& loaded) {
  const models::Model& model = *loaded.model;
  Run run;
  run.count = request.count;
  run.hashes = loaded.hashes;
  run.warnings = model.checkpoint.warnings;
  check_choices(request);
  resolve_inputs(request, run);
  resolve_sizes(request, model, run);
  if (run.edit)
    place_edit(request, find_named(compats(), request.compat, "compat").blurs_mask_first, *run.edit,
               run.args);
  if (!model.is_xl()) warn_of_xl_settings(request, run);
  if (model.vocabulary) warn_of_unknown_words(request.prompt, *model.vocabulary, run);

  pipelines::GenerateArgs& args = run.args;
  const Compat& compat = find_named(compats(), request.compat, "compat");
  const int64_t steps = steps_of(request, model);
  args.num_inference_steps = steps;
  if (compat.fixes_steps && request.sigmas.empty() && args.init_image && request.strength > 0 &&
      request.strength < 1) {
    args.num_inference_steps =
        std::max(static_cast<int64_t>(static_cast<double>(steps) / request.strength), steps);
    args.last_steps = steps;
  }
  run.scheduler = choose_scheduler(request, model, args.num_inference_steps);
  const schedulers::SamplerAlias* alias = run.scheduler.alias;
  if (alias && !compat.dialect.empty() && alias->dialect != compat.dialect)
    run.warnings.push_back("scheduler: " + request.scheduler + " is none of " + std::string(compat.name) +
                           "'s; taken as " + std::string(alias->dialect) + "'s");
  if (alias && !alias->note.empty()) run.warnings.push_back("scheduler: " + std::string(alias->note));
  if (request.eta.value_or(0) > 0 && !run.scheduler.entry->takes_eta)
    run.warnings.push_back("eta: has no effect with the scheduler " + std::string(run.scheduler.entry->name));
  args.prompts = {
      .prompt = request.prompt,
      .negative_prompt = request.negative_prompt,
      .prompt_2 = request.prompt_2,
      .negative_prompt_2 = request.negative_prompt_2,
      .clip_skip = layers_left_out(request, compat, model),
      .syntax = request.prompt_syntax.empty()
                    ? compat.syntax
                    : find_named(text::prompt_syntaxes(), request.prompt_syntax, "prompt_syntax").syntax,
      .old_editing = request.prompt_editing == "before_1.6",
      .emphasis = find_named(text::emphases(), request.emphasis, "emphasis").emphasis,
      .skips_negative = compat.skips_negative,
      .empty_negative = compat.empty_negative};
  args.noise = noise_of(request, compat, model);
  args.start_rule = compat.start_rule;
  args.encodes_mean = compat.encodes_mean;
  args.sizes = sizes_of(request);
  args.guidance = guidance_of(request, model);
  check_guidance(args.guidance, run.scheduler);
  args.levels = levels_of(run.scheduler);
  if (args.inpainting) {
    args.inpainting->blend = has_trained_levels(run.scheduler) ? compat.blend : pipelines::BlendRule::Samples;
  }
  args.tiling = tiling_of(request, model);
  args.shortcuts = {.step_cache = request.step_cache,
                    .step_cache_branch = request.step_cache_branch,
                    .token_merging = request.token_merging};
  if (request.step_cache_branch > 0 && request.step_cache == 1)
    run.warnings.push_back("step_cache_branch: has no effect without step_cache");
  run.decoding = decoding_of(request, model);
  if (!request.refiner.empty()) args.denoising_end = request.refiner_start;
  resolve_hires(request, model, run);
  const uint64_t seed = request.seed ? *request.seed : random_seed();
  if (seed > UINT64_MAX - static_cast<uint64_t>(request.count - 1))
    throw Error(ErrorCode::InvalidArgument, "seed", "seed + count passes 18446744073709551615");
  const bool one_seed = compat.one_seed || request.variation_strength > 0;
  for (int64_t i = 0; i < request.count; ++i)
    args.seeds.push_back(one_seed ? seed : seed + static_cast<uint64_t>(i));
  if (args.init_latents.defined() && args.init_latents.dim() == 4 &&
      args.init_latents.size(0) != request.count)
    throw Error(ErrorCode::InvalidArgument, "init_latents",
                "has " + std::to_string(args.init_latents.size(0)) + " pictures, count is " +
                    std::to_string(request.count));

  provenance::GenerationRecord& record = run.record;
  record.request = portable(request.given);
  record.prompt = request.prompt;
  record.negative_prompt = request.negative_prompt.value_or("");
  record.steps = steps;
  record.scheduler = run.scheduler.entry->name;
  record.scheduler_class = run.scheduler.entry->class_name;
  record.scheduler_config = run.scheduler.config;
  record.schedule = request.schedule;
  record.a1111_sampler = alias && alias->dialect == "a1111"
                             ? alias->label
                             : schedulers::label_of_sampler("a1111", record.scheduler);
  std::string_view levels = record.schedule;
  if (const json::value* own = run.scheduler.config.if_contains("sigma_schedule"))
    levels = std::string_view(own->as_string());
  record.a1111_schedule = schedulers::label_of_schedule("a1111", levels);
  record.guidance_scale = args.guidance.scale;
  if (alias) args.guidance.scale *= alias->guidance;
  record.width = run.edit ? run.edit->canvas.width : run.hires ? run.hires->width : args.width;
  record.height = run.edit ? run.edit->canvas.height : run.hires ? run.hires->height : args.height;
  record.model = loaded.name;
  record.loras = loaded.loras;
  for (const provenance::LoraFile& lora : loaded.loras)
    if (lora.weight == 0) run.warnings.push_back("lora: " + lora.file + " has weight 0 and changes nothing");
  if (args.prompts.clip_skip > 0) record.clip_skip = args.prompts.clip_skip;
  if (run.scheduler.entry->takes_eta) record.eta = request.eta;
  record.dtype = dtype_name(model.loaded_as.dtype);
  if (request.dtype == "auto")
    run.warnings.push_back("dtype: auto is " + dtype_name(load_options_of(request).dtype) +
                           " on this machine");
  record.device = model.loaded_as.device.str();
  record.limn_version = version();
  record.compat = request.compat;
  return run;
}

pipelines::GenerateArgs Run::args_of(int64_t first, int64_t batch) const {
  pipelines::GenerateArgs out = args;
  out.seeds.assign(args.seeds.begin() + first, args.seeds.begin() + first + batch);
  out.noise.variation.seed += static_cast<uint64_t>(first);
  out.noise.part.first += first;
  if (args.init_latents.defined() && args.init_latents.dim() == 4)
    out.init_latents = args.init_latents.slice(0, first, first + batch);
  return out;
}

provenance::GenerationRecord Run::record_of(int64_t picture,
                                            const std::vector<std::string>& more_warnings) const {
  provenance::GenerationRecord out = record;
  out.seed = args.seeds[static_cast<size_t>(picture)];
  if (args.noise.variation.strength > 0)
    out.variation_seed = args.noise.variation.seed + static_cast<uint64_t>(picture);
  if (args.noise.generator == schedulers::NoiseGenerator::Shared && args.noise.part.whole > 1) {
    out.batch_index = args.noise.part.first + picture;
    out.batch_size = args.noise.part.whole;
  }
  out.created = now_utc();
  out.model_hash = hashes.get().model;
  out.weights = hashes.get().files;
  out.warnings = warnings;
  out.warnings.insert(out.warnings.end(), more_warnings.begin(), more_warnings.end());
  return out;
}

}  // namespace limn::engine
