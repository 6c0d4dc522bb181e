// SPDX-License-Identifier: Apache-2.0
#include "limn/models/model.h"

#include "limn/base/error.h"
#include "limn/nn/load_parameters.h"

namespace limn::models {
namespace {

const Part& part_of(const Checkpoint& checkpoint, const std::string& name) {
  const auto found = checkpoint.parts.find(name);
  if (found == checkpoint.parts.end())
    throw Error(ErrorCode::BadFile, checkpoint.path.string(), "has no " + name,
                "a text-to-picture model needs unet, vae and text_encoder");
  return found->second;
}

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

/// Builds a part's module from its config and loads it.
template <typename Module, typename Config>
std::unique_ptr<const Module> build(const Checkpoint& checkpoint, const std::string& name,
                                    at::ScalarType dtype, at::Device device) {
  const Part& part = part_of(checkpoint, name);
  auto module = std::make_unique<Module>(Config::from_json(part.config, part.tensors.origin + ": config"));
  nn::load_parameters(*module, part.tensors, dtype, device, name);
  return module;
}

}  // namespace

int64_t Model::native_size() const { return unet->config().sample_size * factor(); }

std::shared_ptr<const Model> load_model(Checkpoint checkpoint, const LoadOptions& options) {
  const bool upcast = Fields(part_of(checkpoint, "vae").config, "vae: config").boolean("force_upcast", false);
  const at::ScalarType vae_dtype = upcast ? at::kFloat : options.dtype;
  auto model = std::make_shared<Model>(Model{
      .checkpoint = {},
      .defaults = read_defaults(checkpoint.path),
      .loaded_as = options,
      .tokenizer = checkpoint.tokenizer.empty() ? text::CLIPTokenizer::built_in()
                                                : text::CLIPTokenizer::from_folder(checkpoint.tokenizer),
      .text_encoder = build<text::CLIPTextModel, text::CLIPTextConfig>(checkpoint, "text_encoder",
                                                                       options.dtype, options.device),
      .unet = build<UNet2DConditionModel, UNet2DConditionConfig>(checkpoint, "unet", options.dtype,
                                                                 options.device),
      .vae = build<AutoencoderKL, AutoencoderKLConfig>(checkpoint, "vae", vae_dtype, options.device)});
  for (auto& [name, part] : checkpoint.parts)
    part.tensors.tensors.clear();  // the modules hold what is still used
  model->checkpoint = std::move(checkpoint);

  const auto context = model->unet->config().cross_attention_dim;
  if (context.front() != model->text_encoder->config().hidden_size)
    throw Error(ErrorCode::BadFile, model->checkpoint.path.string(),
                "the U-Net's cross_attention_dim is " + std::to_string(context.front()) +
                    ", the text encoder's hidden_size " +
                    std::to_string(model->text_encoder->config().hidden_size));
  if (model->tokenizer.size() > model->text_encoder->config().vocab_size ||
      model->tokenizer.max_length() > model->text_encoder->config().max_position_embeddings)
    throw Error(ErrorCode::BadFile, model->checkpoint.path.string(),
                "the tokenizer has " + std::to_string(model->tokenizer.size()) + " tokens and length " +
                    std::to_string(model->tokenizer.max_length()) + ", the text encoder only " +
                    std::to_string(model->text_encoder->config().vocab_size) + " and " +
                    std::to_string(model->text_encoder->config().max_position_embeddings));
  return model;
}

}  // namespace limn::models
