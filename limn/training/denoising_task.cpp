// SPDX-License-Identifier: Apache-2.0
#include "limn/training/denoising_task.h"

#include <algorithm>
#include <cstdio>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/floor_divide.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include "limn/adapters/lora.h"
#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/training/random.h"
#include "limn/weights/safetensors.h"
#include "limn/weights/tensor.h"

namespace limn::training {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kClassSamples = uint64_t{1} << 40;  // numbers of class samples, apart from the others
constexpr int64_t kBands = 10;
constexpr double kSigmaData = 0.5, kTimestepScaling = 10;  // of LCMScheduler
constexpr double kHuber = 0.001;
constexpr std::string_view kTextTargets[] = {"q_proj", "k_proj", "v_proj", "out_proj"};
constexpr char kTokenTable[] = "text_model.embeddings.token_embedding.weight";

ObjectiveConfig objective_of(const TrainConfig& c) {
  return {.prediction = c.prediction,
          .weighting = c.weighting,
          .snr_gamma = c.snr_gamma,
          .p2_k = c.p2_k,
          .p2_gamma = c.p2_gamma,
          .timesteps = c.timesteps,
          .logit_mean = c.logit_mean,
          .logit_std = c.logit_std,
          .offset_noise = c.offset_noise};
}

void freeze(nn::Module& module, bool channels_last) {
  module.for_each_parameter("", [&](const std::string&, at::Tensor& tensor) {
    if (channels_last && tensor.dim() == 4) tensor = tensor.contiguous(at::MemoryFormat::ChannelsLast);
  });
}

bool ends_with_any(const std::string& name, auto&& endings) {
  return std::ranges::any_of(
      endings, [&](const auto& ending) { return name.ends_with(std::string(".").append(ending)); });
}

/// The consistency function of Song et al. 2023, §3, with the boundary of Luo et al. 2023, appendix D: at level 0 the sample
/// itself.
at::Tensor consistent(const Objective& objective, const at::Tensor& output, const at::Tensor& sample,
                      const at::Tensor& levels) {
  const at::Tensor scaled = (levels * kTimestepScaling).view({-1, 1, 1, 1}),
                   variance = scaled.square() + kSigmaData * kSigmaData;
  return kSigmaData * kSigmaData / variance * sample +
         scaled / variance.sqrt() * objective.meaning_of(output, sample, levels).latents;
}

std::string three_digits(int64_t number) {
  const std::string text = std::to_string(number);
  return std::string(text.size() < 3 ? 3 - text.size() : 0, '0') + text;
}

}  // namespace

DenoisingTask::DenoisingTask(const TrainConfig& config, Networks networks, const fs::path& output,
                             std::shared_ptr<const models::UNet2DConditionModel> teacher)
    : config_(config),
      networks_(std::move(networks)),
      teacher_(std::move(teacher)),
      output_(output),
      device_(device_of(config)),
      bfloat16_(wants_bfloat16(config)) {
  const json::object& scheduler = networks_.checkpoint.scheduler_config;
  const std::string trained = Fields(scheduler, "scheduler_config.json").string("prediction_type", "epsilon");
  if (config_.task != "diffusion" && config_.prediction != trained && config_.prediction != "flow")
    throw Error(ErrorCode::InvalidArgument, config_.file.string() + ": objective.prediction",
                "is " + config_.prediction + ", but the model predicts " + trained,
                "set objective.prediction = \"" + trained + "\"");
  objective_.emplace(objective_of(config_), scheduler, "scheduler_config.json");
  if (objective_->is_flow())
    networks_.checkpoint.scheduler_config = {{"_class_name", "FlowMatchEulerDiscreteScheduler"},
                                             {"_diffusers_version", "0.42.1"},
                                             {"num_train_timesteps", 1000},
                                             {"shift", 1.0}};
  if (teacher_) {
    networks_.checkpoint.scheduler_config["_class_name"] = "LCMScheduler";
    networks_.checkpoint.scheduler_config["original_inference_steps"] = config_.distillation_steps;
  }
  networks_.unet->set_gradient_checkpointing(config_.gradient_checkpointing);
  choose_parameters();
  if (config_.task != "textual_inversion") captions_.emplace(*networks_.tokenizer);
  if (!config_.data.empty()) data_.emplace(datasets::Dataset::open(config_.resolve(config_.data), "train"));
  if (config_.task == "dreambooth" && config_.prior_weight > 0) {
    class_data_.emplace(datasets::Dataset::open(config_.resolve(config_.class_data), "train"));
    class_order_.emplace(class_data_->buckets(), static_cast<uint64_t>(config_.seed), config_.batch_size);
  }
}

void DenoisingTask::choose_parameters() {
  const bool channels_last = config_.channels_last;
  const double text_rate =
      config_.text_encoder_learning_rate < 0 ? config_.learning_rate : config_.text_encoder_learning_rate;
  freeze(*networks_.vae, channels_last);
  freeze(*networks_.unet, channels_last);
  train_text_ = config_.train_text_encoder;
  if (config_.task == "textual_inversion") return add_word();
  if (config_.task == "lora") {
    const auto seed = static_cast<uint64_t>(config_.seed);
    groups_.push_back(
        {"unet", config_.learning_rate,
         attach_low_rank(*networks_.unet, "unet", seed, config_.alpha,
                         [&](const std::string& name, bool convolution) -> int64_t {
                           if (!convolution)
                             return ends_with_any(name, config_.lora_targets) ? config_.rank : 0;
                           return name == "conv_in" || name == "conv_out" ? 0 : config_.conv_rank;
                         })});
    if (groups_[0].parameters.empty())
      throw Error(ErrorCode::InvalidArgument, config_.file.string() + ": lora.targets",
                  "match no layer of the U-Net");
    if (train_text_)
      groups_.push_back({"text_encoder", text_rate,
                         attach_low_rank(*networks_.text_encoder, "text_encoder", seed, config_.alpha,
                                         [&](const std::string& name, bool) -> int64_t {
                                           return ends_with_any(name, kTextTargets) ? config_.rank : 0;
                                         })});
    return;
  }
  groups_.push_back({"unet", config_.learning_rate, make_trainable(*networks_.unet, "unet", channels_last)});
  if (train_text_)
    groups_.push_back(
        {"text_encoder", text_rate, make_trainable(*networks_.text_encoder, "text_encoder", false)});
}

void DenoisingTask::add_word() {
  networks_.text_encoder->for_each_parameter("", [&](const std::string& name, at::Tensor& tensor) {
    if (name == kTokenTable) vocabulary_ = tensor;
  });
  const std::string initializer = config_.initializer.empty() ? "picture" : config_.initializer;
  const auto ids = networks_.tokenizer->encode(initializer);
  if (ids.empty())
    throw Error(ErrorCode::InvalidArgument, config_.file.string() + ": textual_inversion.initializer",
                "'" + initializer + "' has no token");
  const at::Tensor start = vocabulary_[ids.front()];
  word_ = start.unsqueeze(0).repeat({config_.vectors, 1}).detach().clone().requires_grad_(true);
  groups_ = {{"word", config_.learning_rate, {{"word", word_}}}};
  captions_.emplace(*networks_.tokenizer, config_.token, vocabulary_.size(0), config_.vectors);
  train_text_ = true;
}

void DenoisingTask::join_word() {
  networks_.text_encoder->for_each_parameter("", [&](const std::string& name, at::Tensor& tensor) {
    if (name == kTokenTable) tensor = at::cat({vocabulary_, word_});
  });
}

LoadOptions DenoisingTask::load_options(int64_t) const {
  return {.seed = static_cast<uint64_t>(config_.seed),
          .caption_dropout = config_.caption_dropout,
          .horizontal_flip = config_.horizontal_flip,
          .pixels = !config_.cache_latents};
}

at::Tensor DenoisingTask::latents_of(const datasets::Dataset& data, const Batch& batch) const {
  const at::NoGradGuard no_grad;
  models::DiagonalGaussian posterior;
  if (!batch.pixels.defined()) {
    if (!cache_) {
      std::string key = to_text(data.summary()) + config_.autoencoder + config_.base;
      cache_ = std::make_unique<LatentCache>(
          output_ / "cache" / "latents.safetensors", sha256(std::as_bytes(std::span(key))), data,
          *networks_.vae, bfloat16_, [&](int64_t done) {
            if (done % 3200 == 0 || done == data.size())
              std::fprintf(stderr, "limn: encoded %lld of %lld pictures\n", static_cast<long long>(done),
                           static_cast<long long>(data.size()));
          });
    }
    posterior = cache_->at(batch.examples);
    posterior = {posterior.mean.to(device_), posterior.logvar.to(device_)};
  } else {
    const Autocast autocast(bfloat16_, device_.type());
    posterior = networks_.vae->encode(to_unit_pixels(batch.pixels, device_));
    posterior = {posterior.mean.to(at::kFloat), posterior.logvar.to(at::kFloat)};
  }
  const at::Tensor draw = normal_rows(static_cast<uint64_t>(config_.seed), Stream::Posterior, batch.first,
                                      posterior.mean.size(0), posterior.mean.sizes().slice(1));
  return networks_.vae->scale(posterior.sample(draw.to(device_)));
}

at::Tensor DenoisingTask::loss(const Batch& batch, int64_t) {
  const auto seed = static_cast<uint64_t>(config_.seed);
  at::Tensor latents = latents_of(*data_, batch), ids = batch.input_ids;
  const auto count = latents.size(0);
  const auto shape = latents.sizes().slice(1).vec();
  at::Tensor noise = objective_->draw_noise(seed, batch.first, count, shape);
  at::Tensor levels = objective_->draw_levels(seed, batch.first, count, batch.global_batch);
  if (class_data_) {
    const auto number = static_cast<int64_t>(batch.first / static_cast<uint64_t>(count));
    LoadOptions options = load_options(0);
    options.pixels = true;
    const Batch others = load_batch(*class_data_, class_order_->at(number), batch.first + kClassSamples,
                                    batch.global_batch, &*captions_, options);
    const at::Tensor more = latents_of(*class_data_, others);
    if (more.sizes().slice(1) != latents.sizes().slice(1))
      throw Error(ErrorCode::InvalidArgument, config_.file.string() + ": dreambooth.class_data",
                  "has pictures of another size than data.path",
                  "build both with the same resolution and one bucket");
    latents = at::cat({latents, more});
    ids = at::cat({ids, others.input_ids});
    noise = at::cat({noise, objective_->draw_noise(seed, others.first, count, shape)});
    levels = at::cat({levels, objective_->draw_levels(seed, others.first, count, batch.global_batch)});
  }
  if (teacher_)
    return distillation_loss(latents, noise.to(device_), levels.to(device_), ids.to(device_),
                             at::tensor(captions_->encode(""), ids.options()).to(device_));
  return loss_of(latents, noise.to(device_), levels.to(device_), ids.to(device_), count);
}

at::Tensor DenoisingTask::encode_text(const at::Tensor& input_ids) {
  if (!config_.cache_text) return networks_.text_encoder->forward(input_ids);
  std::vector<at::Tensor> states;
  const at::Tensor ids = input_ids.to(at::kCPU).contiguous();
  for (int64_t i = 0; i < ids.size(0); ++i) {
    const auto* row = ids[i].const_data_ptr<int64_t>();
    at::Tensor& kept = texts_[{row, row + ids.size(1)}];
    if (!kept.defined()) kept = networks_.text_encoder->forward(input_ids.slice(0, i, i + 1))[0].clone();
    states.push_back(kept);
  }
  return at::stack(states);
}

at::Tensor DenoisingTask::predict(const NoisedBatch& batch, const at::Tensor& input_ids) {
  if (word_.defined()) join_word();
  const Autocast autocast(bfloat16_, device_.type());
  at::Tensor states;
  {
    const at::AutoGradMode text_gradients(at::GradMode::is_enabled() && train_text_);
    states = encode_text(input_ids);
  }
  return answer(*networks_.unet, batch.sample, batch.timesteps, states);
}

at::Tensor DenoisingTask::answer(const models::UNet2DConditionModel& unet, const at::Tensor& sample,
                                 const at::Tensor& timesteps, const at::Tensor& states) const {
  return unet
      .forward(config_.channels_last ? sample.contiguous(at::MemoryFormat::ChannelsLast) : sample, timesteps,
               {.encoder_hidden_states = states})
      .to(at::kFloat);
}

at::Tensor DenoisingTask::distillation_loss(const at::Tensor& latents, const at::Tensor& noise,
                                            const at::Tensor& levels, const at::Tensor& input_ids,
                                            const at::Tensor& empty_ids) {
  const int64_t stride = objective_->num_train_timesteps() / config_.distillation_steps;
  const at::Tensor jump = at::floor_divide(levels, stride).clamp_max(config_.distillation_steps - 1);
  const at::Tensor start = (jump + 1) * stride - 1, end = (start - stride).clamp_min(0);
  const at::Tensor sample = objective_->mixed_at({latents, noise}, start);
  const Autocast autocast(bfloat16_, device_.type());
  at::Tensor states;
  {
    const at::AutoGradMode text_gradients(at::GradMode::is_enabled() && train_text_);
    states = encode_text(input_ids);
  }
  const at::Tensor said =
      consistent(*objective_, answer(*networks_.unet, sample, start, states), sample, start);
  at::Tensor target;
  {
    const at::NoGradGuard no_grad;
    const at::Tensor asked = answer(*teacher_, sample, start, states.detach());
    const at::Tensor unasked = answer(*teacher_, sample, start, encode_text(empty_ids.expand_as(input_ids)));
    const at::Tensor guided = unasked + config_.distillation_guidance * (asked - unasked);
    const at::Tensor next = objective_->mixed_at(objective_->meaning_of(guided, sample, start), end);
    target = consistent(*objective_, answer(*networks_.unet, next, end, states.detach()), next, end);
  }
  return ((said - target).square() + kHuber * kHuber).sqrt().sub(kHuber).mean();
}

at::Tensor DenoisingTask::loss_of(const at::Tensor& latents, const at::Tensor& noise,
                                  const at::Tensor& levels, const at::Tensor& input_ids, int64_t instances) {
  const NoisedBatch batch = objective_->noised(latents, noise, levels);
  const at::Tensor output = predict(batch, input_ids);
  const auto part = [&](int64_t from, int64_t to) {
    return weighted_mse(output.slice(0, from, to), {.target = batch.target.slice(0, from, to),
                                                    .weights = batch.weights.slice(0, from, to)});
  };
  const int64_t count = latents.size(0);
  if (instances == count) return part(0, count);
  return part(0, instances) + config_.prior_weight * part(instances, count);  // Ruiz et al. 2023, eq. 2
}

std::vector<Scalar> DenoisingTask::validate(const datasets::Dataset& held_out, int64_t samples) {
  const at::NoGradGuard no_grad;
  const auto seed = mixed(static_cast<uint64_t>(config_.seed), Stream::Validation, 0);
  const int64_t count = std::min(samples, held_out.size());
  std::vector<double> sum(kBands), seen(kBands);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t example = i * held_out.size() / count;
    const Batch batch =
        load_batch(held_out, {example}, static_cast<uint64_t>(i), 1, &*captions_, {.seed = seed});
    const at::Tensor latents = latents_of(held_out, batch);
    const at::Tensor noise =
        objective_->draw_noise(seed, static_cast<uint64_t>(i), 1, latents.sizes().slice(1).vec());
    const double share =
        (static_cast<double>(i * 37 % count) + 0.5) / static_cast<double>(count);  // bands mix subjects
    const double level = objective_->is_flow()
                             ? share
                             : std::floor(share * static_cast<double>(objective_->num_train_timesteps()));
    const NoisedBatch noised =
        objective_->noised(latents, noise.to(device_), at::full({1}, level, latents.options()));
    const at::Tensor output = predict(noised, batch.input_ids.to(device_));
    const auto band = static_cast<size_t>(share * kBands);
    sum[band] += (output - noised.target).square().mean().item<double>();
    seen[band] += 1;
  }
  std::vector<Scalar> out;
  double total = 0, number = 0;
  for (int64_t band = 0; band < kBands; ++band) {
    const auto b = static_cast<size_t>(band);
    if (seen[b] == 0) continue;
    const int64_t width = objective_->num_train_timesteps() / kBands;
    const std::string name =
        "validation/t" + three_digits(band * width) + "-" + three_digits((band + 1) * width - 1);
    out.push_back({name, sum[b] / seen[b]});
    total += sum[b];
    number += seen[b];
  }
  if (number > 0) out.push_back({"validation/loss", total / number});
  return out;
}

fs::path DenoisingTask::write(const fs::path& folder) {
  if (config_.task == "textual_inversion") {
    const fs::path file = folder / "embedding.safetensors";
    weights::write_safetensors(file, {{config_.token, weights::to_entry(word_.detach())}});
    return file;
  }
  if (config_.task == "lora") {
    std::vector<adapters::LoraLayer> layers;
    for (const Group& group : groups_)
      for (size_t i = 0; i + 1 < group.parameters.size(); i += 2) {
        const at::Tensor down = group.parameters[i].tensor.detach(),
                         up = group.parameters[i + 1].tensor.detach();
        const std::string name = group.parameters[i].name;
        const size_t dot = name.find('.');
        layers.push_back({.part = name.substr(0, dot),
                          .module = name.substr(dot + 1, name.rfind('.') - dot - 1),
                          .down = down,
                          .up = up,
                          .alpha = config_.alpha > 0 ? config_.alpha : static_cast<double>(down.size(0))});
      }
    const fs::path file = folder / "lora.safetensors";
    adapters::write_lora(file, layers, config_.lora_layout);
    return file;
  }
  networks_.write(folder / "model", config_.save_dtype);
  if (config_.task == "diffusion" || teacher_) {
    const std::string text = to_text(json::object{{"steps", config_.preview_steps},
                                                  {"guidance_scale", config_.preview_guidance}}) +
                             "\n";
    write_file_atomically(folder / "model" / "limn.json", std::as_bytes(std::span(text)));
    if (!config_.vocabulary.empty())
      write_file_atomically(folder / "model" / "vocabulary.json",
                            MappedFile::open(config_.resolve(config_.vocabulary))->bytes());
  }
  return folder / "model";
}

std::unique_ptr<Task> make_denoising_task(const TrainConfig& config, const fs::path& output) {
  const at::Device device = device_of(config);
  std::shared_ptr<const models::UNet2DConditionModel> teacher;
  if (config.distillation_steps > 0) teacher = load_networks(config.resolve(config.base), device).unet;
  return std::make_unique<DenoisingTask>(config,
                                         config.task == "diffusion"
                                             ? new_networks(config, output, device)
                                             : load_networks(config.resolve(config.base), device),
                                         output, std::move(teacher));
}

}  // namespace limn::training
