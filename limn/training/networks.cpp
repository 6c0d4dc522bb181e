// SPDX-License-Identifier: Apache-2.0
#include "limn/training/networks.h"

#include <cmath>

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/models/convert.h"
#include "limn/nn/load_parameters.h"
#include "limn/training/random.h"
#include "limn/weights/safetensors.h"
#include "limn/weights/tensor.h"

namespace limn::training {
namespace fs = std::filesystem;
namespace {

weights::DType dtype_named(const std::string& name) {
  for (const weights::DTypeInfo& info : weights::all_dtypes())
    if (info.long_name == name) return info.dtype;
  throw Error(ErrorCode::InvalidArgument, "model.save_dtype", "no '" + name + "'");
}

std::map<std::string, weights::TensorEntry> entries_of(nn::Module& module, weights::DType dtype) {
  std::map<std::string, weights::TensorEntry> out;
  module.for_each_parameter("", [&](const std::string& name, at::Tensor& tensor) {
    out[name] = weights::to_entry(tensor.detach().to(weights::scalar_type_of(dtype)));
  });
  return out;
}

template <typename Module, typename Config>
std::shared_ptr<Module> load_part(const models::Checkpoint& checkpoint, const std::string& name,
                                  at::Device device) {
  const auto part = checkpoint.parts.find(name);
  if (part == checkpoint.parts.end())
    throw Error(ErrorCode::BadFile, checkpoint.path.string(), "has no " + name);
  auto module = std::make_shared<Module>(
      Config::from_json(part->second.config, part->second.tensors.origin + ": config"));
  nn::load_parameters(*module, part->second.tensors, at::kFloat, device, name);
  return module;
}

std::shared_ptr<models::AutoencoderKL> load_autoencoder(const fs::path& folder, json::object& config,
                                                        at::Device device) {
  config = read_json_object(folder / "config.json");
  auto module = std::make_shared<models::AutoencoderKL>(
      models::AutoencoderKLConfig::from_json(config, (folder / "config.json").string()));
  nn::load_parameters(*module, weights::open_component_folder(folder), at::kFloat, device, "vae");
  return module;
}

void write_json_file(const fs::path& path, const json::object& object) {
  const std::string text = to_pretty_text(object) + "\n";
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

/// CLIP's tokenizer with prompts of at most `max_tokens`.
fs::path make_tokenizer(const fs::path& scratch, int64_t max_tokens) {
  const fs::path folder = scratch / "tokenizer";
  text::write_built_in_tokenizer(folder);
  json::object config = read_json_object(folder / "tokenizer_config.json");
  config["model_max_length"] = max_tokens;
  write_json_file(folder / "tokenizer_config.json", config);
  return folder;
}

/// Uniform as He et al. 2015 with a = √5, which is what PyTorch's layers begin with: ±1/√fan_in.
void fill_uniform(at::Tensor& tensor, at::IntArrayRef shape, int64_t fan_in, at::Generator generator) {
  const double bound = 1 / std::sqrt(static_cast<double>(fan_in));
  tensor = at::empty(shape, at::kFloat).uniform_(-bound, bound, std::move(generator));
}

int64_t product(at::IntArrayRef sizes) {
  int64_t out = 1;
  for (const int64_t size : sizes) out *= size;
  return out;
}

}  // namespace

std::shared_ptr<const models::Model> Networks::model() const {
  return std::make_shared<models::Model>(models::Model{.checkpoint = checkpoint,
                                                       .defaults = {},
                                                       .loaded_as = {},
                                                       .tokenizer = *tokenizer,
                                                       .text_encoder = text_encoder,
                                                       .unet = unet,
                                                       .vae = vae,
                                                       .tokenizer_2 = {},
                                                       .text_encoder_2 = {}});
}

void Networks::write(const fs::path& folder, const std::string& dtype) const {
  models::Checkpoint out = checkpoint;
  const weights::DType type = dtype_named(dtype);
  out.parts["unet"].tensors.tensors = entries_of(*unet, type);
  out.parts["vae"].tensors.tensors = entries_of(*vae, type);
  out.parts["text_encoder"].tensors.tensors = entries_of(*text_encoder, type);
  models::write_model_folder(out, folder);
}

Networks load_networks(const fs::path& model, at::Device device) {
  Networks out;
  out.checkpoint = models::open_checkpoint(model);
  out.unet =
      load_part<models::UNet2DConditionModel, models::UNet2DConditionConfig>(out.checkpoint, "unet", device);
  out.text_encoder =
      load_part<text::CLIPTextModel, text::CLIPTextConfig>(out.checkpoint, "text_encoder", device);
  out.vae = load_part<models::AutoencoderKL, models::AutoencoderKLConfig>(out.checkpoint, "vae", device);
  out.tokenizer = out.checkpoint.tokenizer.empty()
                      ? text::CLIPTokenizer::built_in()
                      : text::CLIPTokenizer::from_folder(out.checkpoint.tokenizer);
  for (auto& [name, part] : out.checkpoint.parts) part.tensors.tensors.clear();
  return out;
}

Networks new_networks(const TrainConfig& c, const fs::path& scratch, at::Device device) {
  Networks out;
  models::Checkpoint& checkpoint = out.checkpoint;
  checkpoint.family = "sd1";
  checkpoint.path = scratch;
  checkpoint.tokenizer = make_tokenizer(scratch, c.max_tokens);
  checkpoint.scheduler_config = {{"_class_name", "DDIMScheduler"},
                                 {"_diffusers_version", "0.42.1"},
                                 {"num_train_timesteps", 1000},
                                 {"beta_start", 0.00085},
                                 {"beta_end", 0.012},
                                 {"beta_schedule", "scaled_linear"},
                                 {"prediction_type", c.prediction},
                                 {"rescale_betas_zero_snr", c.zero_terminal_snr},
                                 {"timestep_spacing", "trailing"},
                                 {"clip_sample", false},
                                 {"set_alpha_to_one", true},
                                 {"steps_offset", 1}};
  const fs::path unet = c.resolve(c.unet), text = c.resolve(c.text_encoder);
  checkpoint.parts["unet"].config = read_json_object(unet);
  checkpoint.parts["text_encoder"].config = read_json_object(text);
  checkpoint.parts["text_encoder"].config["max_position_embeddings"] = c.max_tokens;
  out.vae = load_autoencoder(c.resolve(c.autoencoder), checkpoint.parts["vae"].config, device);
  out.unet = std::make_shared<models::UNet2DConditionModel>(
      models::UNet2DConditionConfig::from_json(checkpoint.parts["unet"].config, unet.string()));
  out.text_encoder = std::make_shared<text::CLIPTextModel>(
      text::CLIPTextConfig::from_json(checkpoint.parts["text_encoder"].config, text.string()));
  out.tokenizer = text::CLIPTokenizer::from_folder(checkpoint.tokenizer);
  if (out.unet->config().in_channels != out.vae->config().latent_channels)
    throw Error(ErrorCode::InvalidArgument, unet.string() + ": in_channels",
                "is " + std::to_string(out.unet->config().in_channels) + ", the autoencoder's latents have " +
                    std::to_string(out.vae->config().latent_channels) + " channels");
  if (out.unet->config().cross_attention_dim.front() != out.text_encoder->config().hidden_size)
    throw Error(
        ErrorCode::InvalidArgument, unet.string() + ": cross_attention_dim",
        "is not the text encoder's hidden_size, " + std::to_string(out.text_encoder->config().hidden_size));
  initialise(*out.unet, "unet", static_cast<uint64_t>(c.seed));
  initialise(*out.text_encoder, "text_encoder", static_cast<uint64_t>(c.seed));
  for (nn::Module* module :
       {static_cast<nn::Module*>(out.unet.get()), static_cast<nn::Module*>(out.text_encoder.get())})
    module->for_each_parameter("",
                               [&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(device); });
  return out;
}

Networks autoencoder_networks(const TrainConfig& c, at::Device device) {
  Networks out;
  json::object& config = out.checkpoint.parts["vae"].config;
  const fs::path place = c.resolve(c.base.empty() ? c.autoencoder : c.base);
  if (fs::is_directory(place)) {
    out.vae = load_autoencoder(fs::exists(place / "vae") ? place / "vae" : place, config, device);
    return out;
  }
  config = read_json_object(place);
  out.vae =
      std::make_shared<models::AutoencoderKL>(models::AutoencoderKLConfig::from_json(config, place.string()));
  initialise(*out.vae, "vae", static_cast<uint64_t>(c.seed));
  out.vae->for_each_parameter("",
                              [&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(device); });
  return out;
}

void initialise(nn::Module& module, const std::string& part, uint64_t seed) {
  module.for_each_module(part, [&](const std::string& name, nn::Module& layer) {
    const auto generator = [&](const char* parameter) {
      return generator_for(seed, Stream::Initialisation, hash_of(name + "." + parameter));
    };
    const auto fill = [&](at::Tensor& weight, at::Tensor& bias) {
      const int64_t fan_in = product(weight.sizes().slice(1));
      const auto outputs = weight.size(0);
      const auto shape = weight.sizes().vec();
      fill_uniform(weight, shape, fan_in, generator("weight"));
      if (bias.defined()) fill_uniform(bias, {outputs}, fan_in, generator("bias"));
    };
    if (auto* linear = dynamic_cast<nn::Linear*>(&layer)) {
      fill(linear->weight, linear->bias);
    } else if (auto* conv = dynamic_cast<nn::Conv2d*>(&layer)) {
      fill(conv->weight, conv->bias);
    } else if (auto* embedding = dynamic_cast<nn::Embedding*>(&layer)) {
      const auto shape = embedding->weight.sizes().vec();
      embedding->weight = at::empty(shape, at::kFloat).normal_(0, 0.02, generator("weight"));
    } else {
      const auto identity = [](at::Tensor& weight, at::Tensor& bias) {
        const auto shape = weight.sizes().vec();
        weight = at::ones(shape);
        bias = at::zeros(shape);
      };
      if (auto* norm = dynamic_cast<nn::GroupNorm*>(&layer)) identity(norm->weight, norm->bias);
      if (auto* norm = dynamic_cast<nn::LayerNorm*>(&layer)) identity(norm->weight, norm->bias);
    }
  });
}

std::vector<Trainable> make_trainable(nn::Module& module, const std::string& part, bool channels_last) {
  std::vector<Trainable> out;
  module.for_each_parameter(part, [&](const std::string& name, at::Tensor& tensor) {
    const bool kernel = channels_last && tensor.dim() == 4;
    tensor = tensor.detach()
                 .clone(kernel ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous)
                 .requires_grad_(true);
    out.push_back({name, tensor});
  });
  return out;
}

void write_component(const fs::path& folder, const json::object& config, nn::Module& module,
                     const std::string& dtype) {
  write_json_file(folder / "config.json", config);
  weights::write_safetensors(folder / "diffusion_pytorch_model.safetensors",
                             entries_of(module, dtype_named(dtype)), {{"format", "pt"}});
}

std::vector<Trainable> attach_low_rank(nn::Module& module, const std::string& part, uint64_t seed,
                                       double alpha,
                                       const std::function<int64_t(const std::string&, bool)>& rank_of) {
  std::vector<Trainable> out;
  module.for_each_module("", [&](const std::string& name, nn::Module& layer) {
    auto* linear = dynamic_cast<nn::Linear*>(&layer);
    auto* conv = dynamic_cast<nn::Conv2d*>(&layer);
    const int64_t rank = linear || conv ? rank_of(name, conv != nullptr) : 0;
    if (rank == 0) return;
    const at::Tensor& weight = linear ? linear->weight : conv->weight;
    auto down_shape = weight.sizes().vec(), up_shape = down_shape;
    down_shape[0] = rank;
    up_shape[1] = rank;
    for (size_t d = 2; d < up_shape.size(); ++d) up_shape[d] = 1;
    nn::LowRank low_rank{.scale =
                             (alpha > 0 ? alpha : static_cast<double>(rank)) / static_cast<double>(rank)};
    fill_uniform(low_rank.down, down_shape, product(at::IntArrayRef(down_shape).slice(1)),
                 generator_for(seed, Stream::Initialisation, hash_of(part + "." + name + ".lora_down")));
    low_rank.down = low_rank.down.to(weight.device()).requires_grad_(true);
    low_rank.up = at::zeros(up_shape, weight.options()).requires_grad_(true);
    out.push_back({part + "." + name + ".lora_down", low_rank.down});
    out.push_back({part + "." + name + ".lora_up", low_rank.up});
    (linear ? linear->low_rank : conv->low_rank) = std::move(low_rank);
  });
  return out;
}

}  // namespace limn::training
