// SPDX-License-Identifier: Apache-2.0
#include "limn/models/model.h"

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/models/autoencoder_kl/autoencoder_kl.h"
#include "limn/models/autoencoder_tiny/autoencoder_tiny.h"
#include "limn/models/family.h"
#include "limn/nn/fast_path.h"
#include "limn/nn/load_parameters.h"

namespace limn::models {
namespace {

const Part& part_of(const Checkpoint& checkpoint, const std::string& name) {
  const auto found = checkpoint.parts.find(name);
  if (found == checkpoint.parts.end())
    throw Error(ErrorCode::BadFile, checkpoint.path.string(), "has no " + name,
                "a text-to-picture model needs unet, vae and a text encoder");
  return found->second;
}

template <typename Module, typename Config>
std::shared_ptr<const Module> loaded(const Part& part, const std::string& name, Config config,
                                     at::ScalarType dtype, at::Device device,
                                     nn::Widening widening = nn::Widening::AtLoad) {
  auto module = std::make_shared<Module>(config);
  nn::load_parameters(*module, part.tensors, dtype, device, name, widening);
  return module;
}

/// Whether limn's kernels will read the weights, from whatever type they lie in.
bool is_read_by_kernels(at::ScalarType dtype, at::Device device) {
  return device.is_cpu() && (dtype == at::kFloat || dtype == at::kBFloat16) && nn::has_kernels();
}

int64_t parameters_of(const Part& part) {
  int64_t count = 0;
  for (const auto& [key, entry] : part.tensors.tensors) count += entry.elements();
  return count;
}

int64_t parameters_of(const Checkpoint& checkpoint) {
  int64_t count = 0;
  for (const auto& [name, part] : checkpoint.parts) count += parameters_of(part);
  return count;
}

std::string where_of(const Part& part) { return part.tensors.origin + ": config"; }

/// Null when the checkpoint has no such part.
std::shared_ptr<const text::CLIPTextModel> load_text_encoder(const Checkpoint& checkpoint,
                                                             const std::string& name,
                                                             const LoadOptions& options,
                                                             nn::Widening widening) {
  const auto found = checkpoint.parts.find(name);
  if (found == checkpoint.parts.end()) return nullptr;
  const Part& part = found->second;
  auto config = text::CLIPTextConfig::from_json(part.config, where_of(part));
  config.with_projection = part.tensors.has("text_projection.weight");
  if (name == "text_encoder_2" && !config.with_projection)
    throw Error(ErrorCode::BadFile, part.tensors.origin, "has no text_projection.weight",
                "text_encoder_2 must be a CLIPTextModelWithProjection");
  return loaded<text::CLIPTextModel>(part, name, config, options.dtype, options.device, widening);
}

text::CLIPTokenizer load_tokenizer(const std::filesystem::path& folder, text::Padding padding) {
  return folder.empty() ? text::CLIPTokenizer::built_in(padding) : text::CLIPTokenizer::from_folder(folder);
}

void check_tokenizer(const text::CLIPTokenizer& tokenizer, const text::CLIPTextModel& encoder,
                     const std::string& where) {
  const text::CLIPTextConfig& config = encoder.config();
  if (tokenizer.size() > config.vocab_size || tokenizer.max_length() > config.max_position_embeddings)
    throw Error(ErrorCode::BadFile, where,
                "the tokenizer has " + std::to_string(tokenizer.size()) + " tokens and length " +
                    std::to_string(tokenizer.max_length()) + ", the text encoder only " +
                    std::to_string(config.vocab_size) + " and " +
                    std::to_string(config.max_position_embeddings));
}

/// The parts must be made for one another.
void check_sizes(const Model& model) {
  const std::string where = model.checkpoint.path.string();
  int64_t width = 0;
  if (model.text_encoder) {
    width += model.text_encoder->config().hidden_size;
    check_tokenizer(model.tokenizer, *model.text_encoder, where);
  }
  if (model.text_encoder_2) {
    width += model.text_encoder_2->config().hidden_size;
    check_tokenizer(*model.tokenizer_2, *model.text_encoder_2, where);
  }
  const UNet2DConditionConfig& unet = model.unet->config();
  if (unet.cross_attention_dim.front() != width)
    throw Error(ErrorCode::BadFile, where,
                "the U-Net's cross_attention_dim is " + std::to_string(unet.cross_attention_dim.front()) +
                    ", the text encoders' hidden_size " + std::to_string(width));
  if (model.is_xl() != (unet.addition_embed == AdditionEmbedding::TextTime))
    throw Error(ErrorCode::BadFile, where,
                model.is_xl() ? "the U-Net has no place for text_encoder_2's vector"
                              : "the U-Net needs the vector of a text_encoder_2, which is missing");
  if (unet.class_projection_dim || unet.num_class_embeds)
    throw Error(ErrorCode::Unsupported, where, "the U-Net asks for class labels",
                "limn makes pictures from text; unCLIP and upscaling models are not supported");
}

}  // namespace

RequestDefaults read_defaults(const std::filesystem::path& folder) {
  RequestDefaults defaults;
  const std::filesystem::path path = folder / "limn.json";
  if (!std::filesystem::exists(path)) return defaults;
  const json::object object = read_json_object(path);
  const Fields fields(object, path.string());
  defaults.num_inference_steps = fields.integer("steps", defaults.num_inference_steps, 1, 1000);
  defaults.guidance_scale = fields.number("guidance_scale", defaults.guidance_scale);
  return defaults;
}

nn::Widening widening_of(int64_t parameters, at::ScalarType dtype, const LoadOptions& options) {
  constexpr int64_t kMostWidened = int64_t{6} << 30;
  const int64_t most =
      options.most_widened.value_or(is_read_by_kernels(dtype, options.device) ? 0 : kMostWidened);
  return parameters * static_cast<int64_t>(c10::elementSize(dtype)) > most ? nn::Widening::AtUse
                                                                           : nn::Widening::AtLoad;
}

std::shared_ptr<const Autoencoder> load_vae(const Part& part, const LoadOptions& options) {
  const Fields fields(part.config, where_of(part));
  const at::ScalarType dtype = fields.boolean("force_upcast", false) ? at::kFloat : options.dtype;
  const nn::Widening widening = widening_of(parameters_of(part), dtype, options);
  if (fields.string("_class_name", "AutoencoderKL") == "AutoencoderTiny")
    return loaded<AutoencoderTiny>(part, "vae", AutoencoderTinyConfig::from_json(part.config, where_of(part)),
                                   dtype, options.device, widening);
  return loaded<AutoencoderKL>(part, "vae", AutoencoderKLConfig::from_json(part.config, where_of(part)),
                               dtype, options.device, widening);
}

bool Model::edits_in_latent_scale() const {
  if (const json::value* told = checkpoint.model_index.if_contains("is_cosxl_edit"); told && told->is_bool())
    return told->as_bool();
  return checkpoint.scheduler_config.contains("sigma_data");
}

int64_t Model::native_size() const { return unet->config().sample_size * factor(); }

std::shared_ptr<const Model> load_model(Checkpoint checkpoint, const LoadOptions& options) {
  const Part& unet = part_of(checkpoint, "unet");
  const Family* family = try_find_named(families(), checkpoint.family);
  const nn::Widening widening = widening_of(parameters_of(checkpoint), options.dtype, options);
  auto model = std::make_shared<Model>(Model{
      .checkpoint = {},
      .defaults = read_defaults(checkpoint.path),
      .loaded_as = options,
      .tokenizer = load_tokenizer(checkpoint.tokenizer, family ? family->padding : text::Padding::EndToken),
      .text_encoder = load_text_encoder(checkpoint, "text_encoder", options, widening),
      .unet = loaded<UNet2DConditionModel>(unet, "unet",
                                           UNet2DConditionConfig::from_json(unet.config, where_of(unet)),
                                           options.dtype, options.device, widening),
      .vae = load_vae(part_of(checkpoint, "vae"), options),
      .tokenizer_2 = {},
      .text_encoder_2 = load_text_encoder(checkpoint, "text_encoder_2", options, widening),
      .vocabulary = {}});
  if (const auto words = checkpoint.path / "vocabulary.json"; std::filesystem::exists(words))
    model->vocabulary = text::Vocabulary::read(words);
  if (model->text_encoder_2) model->tokenizer_2 = load_tokenizer(checkpoint.tokenizer_2, text::Padding::Zero);
  for (auto& [name, part] : checkpoint.parts)
    part.tensors.tensors.clear();  // the modules hold what is still used
  model->checkpoint = std::move(checkpoint);
  check_sizes(*model);
  return model;
}

}  // namespace limn::models
