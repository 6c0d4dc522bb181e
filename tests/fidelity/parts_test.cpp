// SPDX-License-Identifier: Apache-2.0
// Each model alone against diffusers 0.42.1, and how far its result moves when one of its modules is
// silenced.
#include <ATen/ops/zeros_like.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/models/autoencoder_kl/autoencoder_kl.h"
#include "limn/models/checkpoint.h"
#include "limn/models/model.h"
#include "limn/nn/load_parameters.h"
#include "tests/fidelity/goldens.h"

namespace limn {
namespace {

constexpr double kPart = 2e-5;         // float32, some hundred layers, sums in another order
constexpr double kSensitivity = 1e-3;  // what a silenced module must move at least: fifty times the tolerance

const models::Checkpoint& tiny() {
  static const models::Checkpoint checkpoint = models::open_checkpoint(goldens() / "tiny_sd1");
  return checkpoint;
}

template <typename Module, typename Config>
std::unique_ptr<Module> load(const std::string& part) {
  auto module = std::make_unique<Module>(Config::from_json(tiny().parts.at(part).config, part));
  nn::load_parameters(*module, tiny().parts.at(part).tensors, at::kFloat, at::kCPU, part);
  return module;
}

at::Tensor run_unet(const models::UNet2DConditionModel& unet) {
  return unet.forward(golden("unet.sample"), golden("unet.timestep"),
                      {.encoder_hidden_states = golden("text.last")});
}

TEST(UNet2DConditionModel, MatchesDiffusers) {
  const c10::InferenceMode inference;
  const auto unet = load<models::UNet2DConditionModel, models::UNet2DConditionConfig>("unet");
  EXPECT_LT(relative_l2(run_unet(*unet), golden("unet.output")), kPart);
}

TEST(AutoencoderKL, MatchesDiffusersBothWays) {
  const c10::InferenceMode inference;
  const auto vae = load<models::AutoencoderKL, models::AutoencoderKLConfig>("vae");
  const auto posterior = vae->encode(golden("vae.pixels").to(at::kFloat));
  EXPECT_LT(relative_l2(posterior.mean, golden("vae.mean")), kPart);
  EXPECT_LT(relative_l2(posterior.logvar, golden("vae.logvar")), kPart);
  EXPECT_LT(relative_l2(vae->decode(golden("vae.mean")), golden("vae.decoded")), kPart);
}

TEST(CLIPTextModel, MatchesTransformers) {
  const c10::InferenceMode inference;
  const auto text = load<text::CLIPTextModel, text::CLIPTextConfig>("text_encoder");
  EXPECT_LT(relative_l2(text->forward(golden("text.ids")), golden("text.last")), kPart);
}

/// Silences every leaf module in turn and reports those that do not move the result.
template <typename Module, typename Run>
std::vector<std::string> deaf_modules(Module& module, const at::Tensor& expected, Run run) {
  std::map<std::string, std::vector<at::Tensor*>> leaves;
  for (const auto& [name, tensor] : module.parameters())
    leaves[name.substr(0, name.rfind('.'))].push_back(tensor);
  std::vector<std::string> deaf;
  for (const auto& [name, parameters] : leaves) {
    std::vector<at::Tensor> kept;
    for (at::Tensor* p : parameters) {
      kept.push_back(*p);
      *p = at::zeros_like(*p);
    }
    if (!(relative_l2(run(), expected) > kSensitivity)) deaf.push_back(name);
    for (size_t i = 0; i < parameters.size(); ++i) *parameters[i] = kept[i];
  }
  EXPECT_GT(leaves.size(), 20u);
  return deaf;
}

TEST(Goldens, NoticeEverySilencedModuleOfTheUNet) {
  const c10::InferenceMode inference;
  const auto unet = load<models::UNet2DConditionModel, models::UNet2DConditionConfig>("unet");
  EXPECT_EQ(deaf_modules(*unet, golden("unet.output"), [&] { return run_unet(*unet); }),
            std::vector<std::string>{});
}

TEST(Goldens, NoticeEverySilencedModuleOfTheAutoencoder) {
  const c10::InferenceMode inference;
  const auto vae = load<models::AutoencoderKL, models::AutoencoderKLConfig>("vae");
  EXPECT_EQ(deaf_modules(*vae, golden("vae.decoded"),
                         [&] { return vae->decode(vae->encode(golden("vae.pixels").to(at::kFloat)).mean); }),
            std::vector<std::string>{});
}

TEST(Goldens, NoticeEverySilencedModuleOfTheTextEncoder) {
  const c10::InferenceMode inference;
  const auto text = load<text::CLIPTextModel, text::CLIPTextConfig>("text_encoder");
  EXPECT_EQ(deaf_modules(*text, golden("text.last"), [&] { return text->forward(golden("text.ids")); }),
            std::vector<std::string>{});
}

TEST(Loading, ListsMissingUnexpectedAndMisshapenTensors) {
  models::Checkpoint checkpoint = tiny();
  auto& tensors = checkpoint.parts.at("unet").tensors.tensors;
  const auto taken = tensors.extract("conv_in.bias");
  tensors["conv_inn.bias"] = taken.mapped();
  tensors["conv_out.bias"] = tensors["conv_norm_out.bias"];
  try {
    models::load_model(checkpoint, {});
    FAIL() << "was loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::BadFile);
    const std::string what = error.what();
    EXPECT_NE(what.find("1 missing:\n    conv_in.bias"), std::string::npos) << what;
    EXPECT_NE(what.find("1 unexpected:\n    conv_inn.bias"), std::string::npos) << what;
    EXPECT_NE(what.find("conv_out.bias: expected [4], found [32]"), std::string::npos) << what;
  }
}

}  // namespace
}  // namespace limn
