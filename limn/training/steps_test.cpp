// SPDX-License-Identifier: Apache-2.0
// One training step of each task against PyTorch, diffusers and PEFT (tools/goldens/training.py).
#include <filesystem>
#include <map>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/where.h>
#include <gtest/gtest.h>

#include "limn/base/file.h"
#include "limn/nn/load_parameters.h"
#include "limn/training/autoencoder_task.h"
#include "limn/training/denoising_task.h"
#include "limn/weights/tensor.h"

namespace limn::training {
namespace {
namespace fs = std::filesystem;

const fs::path kFolder = fs::path(LIMN_SOURCE_DIR) / "tests" / "goldens" / "training";

using Tensors = std::map<std::string, at::Tensor>;

struct Case {
  std::string name;
  json::object settings;
  Tensors tensors;  // without the case's name
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

/// Those of one task, or all others.
std::vector<Case> cases(bool autoencoder) {
  const json::object file = read_json_object(kFolder / "steps.json");
  const Tensors all = weights::load_tensors(kFolder / "steps.safetensors");
  std::vector<Case> out;
  for (const json::value& row : file.at("cases").as_array()) {
    const json::object& object = row.as_object();
    if ((object.at("task") == "autoencoder") != autoencoder) continue;
    Case& c = out.emplace_back();
    c.name = object.at("name").as_string();
    if (const json::value* settings = object.if_contains("settings")) c.settings = settings->as_object();
    c.settings["task"] = object.at("task");
    const std::string prefix = c.name + "/";
    for (auto found = all.lower_bound(prefix); found != all.end() && found->first.starts_with(prefix);
         ++found)
      c.tensors[found->first.substr(prefix.size())] = found->second;
  }
  return out;
}

double relative(const at::Tensor& a, const at::Tensor& b) {
  const double scale = at::linalg_vector_norm(b).item<double>();
  return at::linalg_vector_norm(a - b).item<double>() / std::max(scale, 1e-12);
}

/// The gradients of one case, all of them: loss within 1e-5 and gradients within 1e-4, relative (the limits).
void expect_gradients(const Case& c, const std::vector<Task::Group>& groups) {
  std::map<std::string, at::Tensor> found;
  for (const Task::Group& group : groups)
    for (const Trainable& p : group.parameters) found[p.name] = p.tensor.grad();
  double largest = 0;
  for (const auto& [key, expected] : c.tensors)
    if (key.starts_with("grad."))
      largest = std::max(largest, at::linalg_vector_norm(expected).item<double>());
  size_t compared = 0;
  for (const auto& [key, expected] : c.tensors) {
    if (!key.starts_with("grad.")) continue;
    std::string name = key.substr(5);
    if (name.ends_with(".down") || name.ends_with(".up")) name.insert(name.rfind('.') + 1, "lora_");
    ASSERT_TRUE(found.contains(name)) << c.name << " trains no " << name;
    ASSERT_TRUE(found[name].defined()) << c.name << ": no gradient reached " << name;
    ++compared;
    if (name.ends_with(
            "k_proj.bias")) {  // moves all scores of a query alike: its true gradient is 0, the rest is rounding
      EXPECT_LT(at::linalg_vector_norm(found[name]).item<double>(), 1e-4 * largest) << c.name << ": " << name;
      continue;
    }
    const double error = at::linalg_vector_norm(found[name] - expected).item<double>();
    const double scale = std::max(at::linalg_vector_norm(expected).item<double>(), 1e-4 * largest);
    EXPECT_LT(error / scale, 1e-4) << c.name << ": " << name;
  }
  EXPECT_GT(compared, 0u) << c.name;
}

Networks micro_networks(const Case& c) {
  Networks out;
  const auto load = [&]<typename Module, typename Config>(const char* part, std::shared_ptr<Module>& to,
                                                          Config*) {
    json::object& config = out.checkpoint.parts[part].config;
    config = read_json_object(kFolder / "model" / part / "config.json");
    to = std::make_shared<Module>(Config::from_json(config, part));
    nn::load_parameters(*to, weights::open_component_folder(kFolder / "model" / part), at::kFloat, at::kCPU,
                        part);
  };
  load("unet", out.unet, static_cast<models::UNet2DConditionConfig*>(nullptr));
  load("vae", out.vae, static_cast<models::AutoencoderKLConfig*>(nullptr));
  load("text_encoder", out.text_encoder, static_cast<text::CLIPTextConfig*>(nullptr));
  out.tokenizer = text::CLIPTokenizer::built_in();
  const auto zero_snr = c.settings.if_contains("rescale_betas_zero_snr");
  out.checkpoint.scheduler_config = {{"_class_name", "DDPMScheduler"},
                                     {"num_train_timesteps", 1000},
                                     {"beta_start", 0.00085},
                                     {"beta_end", 0.012},
                                     {"beta_schedule", "scaled_linear"},
                                     {"rescale_betas_zero_snr", zero_snr && zero_snr->as_bool()}};
  return out;
}

TrainConfig config_of(const Case& c) {
  const Fields fields(c.settings, c.name);
  TrainConfig config;
  config.task = fields.string("task", "");
  if (config.task == "finetune" || config.task.empty()) config.task = "diffusion";
  config.prediction = fields.string("prediction", "epsilon");
  if (config.prediction == "flow_matching") config.prediction = "flow";
  config.weighting = fields.string("weighting", "none");
  config.snr_gamma = fields.number("snr_gamma", 5);
  config.p2_k = fields.number("p2_k", 1);
  config.p2_gamma = fields.number("p2_gamma", 1);
  config.prior_weight = fields.number("prior_weight", 1);
  config.distillation_steps = fields.integer("distillation_steps", 0);
  config.distillation_guidance = fields.number("distillation_guidance", 1);
  config.train_text_encoder = fields.boolean("train_text_encoder", true);
  config.precision = "float32";
  config.channels_last = false;  // sums in the reference's order
  return config;
}

class DenoisingStep : public testing::TestWithParam<Case> {};
class AutoencoderStep : public testing::TestWithParam<Case> {};

void expect_step(const Case& c, bool recompute) {
  TrainConfig config = config_of(c);
  config.gradient_checkpointing = recompute;
  config.cache_text = recompute && !config.train_text_encoder && config.task != "textual_inversion";
  Networks networks = micro_networks(c);
  if (config.task == "lora") {
    config.rank = 4;
    config.alpha = 8;
    config.conv_rank = 4;
  }
  if (config.task == "textual_inversion") {  // the last two rows are the new word
    config.vectors = 2;
    config.token = "<new>";
    config.initializer = "!";
    networks.text_encoder->for_each_parameter("", [](const std::string& name, at::Tensor& table) {
      if (name.ends_with("token_embedding.weight")) table = table.slice(0, 0, table.size(0) - 2);
    });
  }
  const int64_t count = c.tensors.at("latents").size(0);
  const int64_t instances = config.task == "dreambooth" ? count / 2 : count;
  if (config.task == "dreambooth")
    config.task = "finetune";  // the loss alone: its data comes from the golden
  if (config.task == "finetune") networks.checkpoint.scheduler_config["prediction_type"] = config.prediction;
  const bool distills = config.distillation_steps > 0;
  DenoisingTask task(config, std::move(networks), {}, distills ? micro_networks(c).unet : nullptr);

  const at::NoGradGuard setting_up;
  for (const Task::Group& group : task.groups())
    for (const Trainable& p : group.parameters) {
      std::string key = "lora." + p.name;
      if (const size_t at = key.rfind(".lora_"); at != std::string::npos) key.erase(at + 1, 5);
      if (c.tensors.contains(key)) p.tensor.copy_(c.tensors.at(key));
      if (p.name == "word") p.tensor.copy_(c.tensors.at("word"));
    }
  at::Tensor noise = c.tensors.at("noise");
  if (c.tensors.contains("offset"))
    noise = noise + Fields(c.settings, c.name).number("offset_noise", 0.1) * c.tensors.at("offset");
  const at::Tensor levels =
      (c.tensors.contains("sigmas") ? c.tensors.at("sigmas") : c.tensors.at("timesteps")).to(at::kFloat);

  const at::AutoGradMode gradients(true);
  const at::Tensor &latents = c.tensors.at("latents"), &ids = c.tensors.at("input_ids");
  const at::Tensor loss = distills
                              ? task.distillation_loss(latents, noise, levels, ids, c.tensors.at("empty_ids"))
                              : task.loss_of(latents, noise, levels, ids, instances);
  loss.backward();
  EXPECT_LT(relative(loss.detach(), c.tensors.at("loss")), 1e-5) << c.name;
  expect_gradients(c, task.groups());
}

TEST_P(DenoisingStep, EqualsTheReference) { expect_step(GetParam(), false); }
TEST_P(DenoisingStep, RecomputingEqualsTheReference) { expect_step(GetParam(), true); }

TEST_P(AutoencoderStep, EqualsTheReference) {
  const Case& c = GetParam();
  const Fields fields(c.settings, c.name);
  TrainConfig config;
  config.task = "autoencoder";
  config.precision = "float32";
  config.gradient_weight = fields.number("gradient_weight", 0.5);
  config.frequency_weight = fields.number("frequency_weight", 0.1);
  config.kl_weight = fields.number("kl_weight", 1e-6);
  const bool adversarial = c.tensors.contains("adaptive");
  config.adversarial_weight = adversarial ? fields.number("adversarial_weight", 0.5) : 0;
  config.discriminator_channels = 8;
  AutoencoderTask task(config, micro_networks(c));
  if (adversarial) {
    const at::NoGradGuard no_grad;
    for (const Trainable& p : task.adversary()->parameters) p.tensor.copy_(c.tensors.at(p.name));
  }
  const at::Tensor loss = task.loss_of(c.tensors.at("pixels"), c.tensors.at("noise"), 0);
  loss.backward();
  EXPECT_LT(relative(loss.detach(), c.tensors.at("loss")), 1e-5);
  Case generator = c, discriminator = c;
  std::erase_if(generator.tensors,
                [](const auto& row) { return row.first.starts_with("grad.discriminator."); });
  std::erase_if(discriminator.tensors, [](const auto& row) { return row.first.starts_with("grad.vae."); });
  expect_gradients(generator, task.groups());
  if (!adversarial) return;
  for (const Scalar& term : task.terms())
    if (term.name == "adaptive_weight")
      EXPECT_NEAR(term.value / c.tensors.at("adaptive").item<double>(), 1, 1e-4);
  for (const Trainable& p : task.adversary()->parameters) p.tensor.mutable_grad().reset();
  const at::Tensor theirs = task.adversary_loss();
  theirs.backward();
  EXPECT_LT(relative(theirs.detach(), c.tensors.at("discriminator_loss")), 1e-5);
  expect_gradients(discriminator, {*task.adversary()});
}

std::string name_of(const testing::TestParamInfo<Case>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Goldens, DenoisingStep, testing::ValuesIn(cases(false)), name_of);
INSTANTIATE_TEST_SUITE_P(Goldens, AutoencoderStep, testing::ValuesIn(cases(true)), name_of);

}  // namespace
}  // namespace limn::training
