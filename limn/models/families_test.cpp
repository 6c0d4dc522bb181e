// SPDX-License-Identifier: Apache-2.0
// Single files of Stable Diffusion 2 and XL: OpenCLIP's text models against diffusers' own converter
// (tools/goldens/open_clip.py), parts, markers and separate VAEs.
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/models/autoencoder_tiny/autoencoder_tiny.h"
#include "limn/models/convert.h"
#include "limn/models/family.h"
#include "limn/models/model.h"
#include "limn/models/open_clip.h"
#include "limn/models/test_tensors.h"
#include "limn/models/vae_file.h"
#include "limn/nn/load_parameters.h"
#include "limn/weights/safetensors.h"
#include "limn/weights/tensor.h"

namespace limn::models {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::make_tensor;
using testing::make_values;

fs::path families_folder() { return fs::path(LIMN_SOURCE_DIR) / "tests" / "goldens" / "families"; }

class FamiliesTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  const fs::path folder_ =
      fs::path(::testing::TempDir()) / ::testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST(OpenClip, BecomesWhatDiffusersMakesOfIt) {
  const weights::Index golden =
      weights::open_tensor_file(fs::path(LIMN_SOURCE_DIR) / "limn/models/testdata/open_clip.safetensors");
  KeyMap::Tensors file, expected;
  for (const auto& [key, entry] : golden.tensors)
    (key.starts_with("open_clip.") ? file : expected)[key.substr(key.find('.') + 1)] = entry;
  std::vector<std::string> unexpected;
  const auto found = open_clip_to_diffusers(file, 0, true, unexpected);
  EXPECT_THAT(unexpected, IsEmpty());
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [key, entry] : expected) {
    ASSERT_TRUE(found.contains(key)) << key;
    EXPECT_TRUE(at::equal(weights::to_tensor(found.at(key)), weights::to_tensor(entry))) << key;
  }
  const auto back = diffusers_to_open_clip(found, unexpected);
  EXPECT_THAT(unexpected, IsEmpty());
  ASSERT_EQ(back.size(), file.size());
  for (const auto& [key, entry] : file)
    EXPECT_TRUE(at::equal(weights::to_tensor(back.at(key)), weights::to_tensor(entry))) << key;
}

TEST(OpenClip, LeavesOutTheLayerThatStableDiffusion2DoesNotUse) {
  const weights::Index golden =
      weights::open_tensor_file(fs::path(LIMN_SOURCE_DIR) / "limn/models/testdata/open_clip.safetensors");
  KeyMap::Tensors file;
  for (const auto& [key, entry] : golden.tensors)
    if (key.starts_with("open_clip.")) file[key.substr(key.find('.') + 1)] = entry;
  file["transformer.resblocks.0.attn.other"] = make_tensor({2});
  std::vector<std::string> unexpected;
  const auto found = open_clip_to_diffusers(file, 1, false, unexpected);
  EXPECT_EQ(unexpected, std::vector<std::string>{"transformer.resblocks.0.attn.other"});
  EXPECT_TRUE(found.contains("text_model.encoder.layers.0.mlp.fc1.weight"));
  EXPECT_FALSE(found.contains("text_model.encoder.layers.1.mlp.fc1.weight"));
  EXPECT_FALSE(found.contains("text_projection.weight"));
}

/// A tiny XL model as a single file and as a folder again: the same tensors, bit for bit.
TEST_F(FamiliesTest, GoToASingleFileAndBackToTheSameTensors) {
  for (const char* name : {"sdxl", "sdxl_refiner", "ssd", "koala"}) {
    const fs::path file = folder_ / (std::string(name) + ".safetensors"), folder = folder_ / name;
    convert(families_folder() / name, file);
    const Checkpoint before = open_checkpoint(families_folder() / name), single = open_checkpoint(file);
    convert(file, folder);
    const Checkpoint after = open_checkpoint(folder);
    EXPECT_EQ(after.requires_aesthetics_score, before.requires_aesthetics_score) << name;
    for (const Checkpoint* found : {&single, &after}) {
      ASSERT_EQ(found->parts.size(), before.parts.size()) << name;
      for (const auto& [part, content] : before.parts) {
        const auto& tensors = found->parts.at(part).tensors.tensors;
        ASSERT_EQ(tensors.size(), content.tensors.tensors.size()) << name << " " << part;
        for (const auto& [key, entry] : content.tensors.tensors)
          EXPECT_TRUE(at::equal(weights::to_tensor(tensors.at(key)), weights::to_tensor(entry))) << key;
      }
    }
  }
}

TEST_F(FamiliesTest, DeriveDepthsOfAsymmetricUNetsFromTheirShapes) {
  convert(families_folder() / "ssd", folder_ / "ssd.safetensors");
  const weights::Index file = weights::open_tensor_file(folder_ / "ssd.safetensors");
  const Family& family = find_named(families(), "sdxl", "family");
  std::vector<std::string> warnings;
  const json::object unet = split_single_file(family, file, warnings).at("unet").config;
  EXPECT_EQ(to_text(unet.at("mid_block_type")), "\"UNetMidBlock2D\"");
  EXPECT_EQ(to_text(unet.at("reverse_transformer_layers_per_block")), "[[1,1,2],[2,1,1],1]");
  EXPECT_EQ(to_text(unet.at("transformer_layers_per_block")), "[1,2,1]");
}

/// The marker tensors of ComfyUI's and Playground's files.
TEST_F(FamiliesTest, ReadMarkersOfPredictionAndPreconditioning) {
  convert(families_folder() / "sdxl", folder_ / "plain.safetensors");
  const weights::Index plain = weights::open_tensor_file(folder_ / "plain.safetensors");
  const auto with = [&](const std::map<std::string, weights::TensorEntry>& markers) {
    auto tensors = plain.tensors;
    tensors.insert(markers.begin(), markers.end());
    weights::write_safetensors(folder_ / "marked.safetensors", tensors, {});
    return open_checkpoint(folder_ / "marked.safetensors");
  };
  const Checkpoint v = with({{"v_pred", make_tensor({0})}, {"ztsnr", make_tensor({0})}});
  EXPECT_EQ(v.scheduler_config.at("prediction_type").as_string(), "v_prediction");
  EXPECT_TRUE(v.scheduler_config.at("rescale_betas_zero_snr").as_bool());
  EXPECT_EQ(v.scheduler_config.at("timestep_spacing").as_string(), "trailing");
  const Checkpoint cos = with({{"edm_vpred.sigma_max", make_values({1}, {120})},
                               {"edm_vpred.sigma_min", make_values({1}, {0.002f})}});
  EXPECT_EQ(cos.scheduler_config.at("_class_name").as_string(), "EDMEulerScheduler");
  EXPECT_EQ(cos.scheduler_config.at("sigma_max").as_double(), 120);
  EXPECT_EQ(cos.scheduler_config.at("prediction_type").as_string(), "v_prediction");
  const Checkpoint playground = with({{"edm_mean", make_values({1, 4, 1, 1}, {-1.6f, 1.4f, -0.4f, 0.9f})},
                                      {"edm_std", make_values({1, 4, 1, 1}, {8.4f, 5.9f, 6.2f, 5.6f})}});
  EXPECT_EQ(playground.scheduler_config.at("_class_name").as_string(), "EDMDPMSolverMultistepScheduler");
  EXPECT_EQ(playground.parts.at("vae").config.at("scaling_factor").as_double(), 0.5);
  EXPECT_EQ(playground.parts.at("vae").config.at("latents_std").as_array().size(), 4u);
}

TEST(AutoencoderTiny, EncodesAndDecodesAsDiffusersDoes) {
  const auto golden = weights::load_tensors(families_folder() / "latents.safetensors");
  const fs::path folder = families_folder() / "taesd";
  const json::object config = read_json_object(folder / "config.json");
  AutoencoderTiny vae(AutoencoderTinyConfig::from_json(config, "config"));
  nn::load_parameters(vae, weights::open_component_folder(folder), at::kFloat, at::kCPU, "vae");
  const auto error = [](const at::Tensor& found, const at::Tensor& expected) {
    return ((found - expected).norm() / expected.norm()).item<double>();
  };
  EXPECT_LT(error(vae.encode(golden.at("taesd.pixels")).mean, golden.at("taesd.latents")), 1e-5);
  EXPECT_LT(error(vae.decode(golden.at("taesd.latents")), golden.at("taesd.decoded")), 1e-5);
  EXPECT_EQ(vae.factor(), 8);
}

TEST_F(FamiliesTest, TakeAnotherVaeInEachOfItsLayouts) {
  const Checkpoint model = open_checkpoint(families_folder() / "sd1");
  const auto tensors_of = [&](const fs::path& vae) {
    Checkpoint changed = model;
    use_vae(changed, vae);
    return changed.parts.at("vae");
  };
  const Part own = model.parts.at("vae");
  // diffusers' file, LDM's with and without a prefix.
  weights::write_safetensors(folder_ / "diffusers.safetensors", own.tensors.tensors, {});
  std::vector<std::string> unexpected;
  const auto ldm = vae_key_map(own.config, "vae").to_ldm(own.tensors.tensors, unexpected);
  weights::write_safetensors(folder_ / "ldm.safetensors", ldm, {});
  KeyMap::Tensors prefixed;
  for (const auto& [key, entry] : ldm) prefixed["first_stage_model." + key] = entry;
  weights::write_safetensors(folder_ / "prefixed.safetensors", prefixed, {});
  for (const char* file : {"diffusers.safetensors", "ldm.safetensors", "prefixed.safetensors"}) {
    const Part part = tensors_of(folder_ / file);
    ASSERT_EQ(part.tensors.tensors.size(), own.tensors.tensors.size()) << file;
    for (const auto& [key, entry] : own.tensors.tensors)
      EXPECT_TRUE(at::equal(weights::to_tensor(part.tensors.tensors.at(key)), weights::to_tensor(entry)))
          << key;
    EXPECT_EQ(part.config.at("scaling_factor"), own.config.at("scaling_factor")) << file;
  }
  // TAESD with ComfyUI's names: the decoder's first layer has no tensors there.
  KeyMap::Tensors comfy;
  const weights::Index taesd = weights::open_component_folder(families_folder() / "taesd");
  for (const auto& [key, entry] : taesd.tensors) {
    const size_t dot = key.find('.', std::string("encoder.layers.").size());
    const bool decoder = key.starts_with("decoder.");
    const int64_t layer = std::stoll(key.substr(15, dot - 15));
    comfy[(decoder ? "taesd_decoder." : "taesd_encoder.") + std::to_string(layer + decoder) +
          key.substr(dot)] = entry;
  }
  weights::write_safetensors(folder_ / "comfy.safetensors", comfy, {});
  const Part tiny = tensors_of(folder_ / "comfy.safetensors");
  EXPECT_EQ(tiny.config.at("_class_name").as_string(), "AutoencoderTiny");
  for (const auto& [key, entry] : taesd.tensors) EXPECT_TRUE(tiny.tensors.has(key)) << key;
}

// As its author publishes it: taesd_decoder.safetensors and taesd_encoder.safetensors, layers by their numbers.
TEST_F(FamiliesTest, TakeTheDecoderOfTaesdAlone) {
  const Checkpoint model = open_checkpoint(families_folder() / "sd1");
  KeyMap::Tensors decoder, encoder;
  for (const auto& [key, entry] : weights::open_component_folder(families_folder() / "taesd").tensors) {
    const std::string rest = key.substr(std::string("decoder.layers.").size());
    const size_t dot = rest.find('.');
    if (key.starts_with("decoder."))
      decoder[std::to_string(std::stoll(rest.substr(0, dot)) + 1) + rest.substr(dot)] = entry;
    else
      encoder[rest] = entry;
  }
  weights::write_safetensors(folder_ / "taesd_decoder.safetensors", decoder, {});
  weights::write_safetensors(folder_ / "taesd_encoder.safetensors", encoder, {});
  const auto vae = load_vae(open_vae(model, folder_ / "taesd_decoder.safetensors"), {});
  const auto golden = weights::load_tensors(families_folder() / "latents.safetensors");
  const at::Tensor made = vae->decode(golden.at("taesd.latents")), expected = golden.at("taesd.decoded");
  EXPECT_LT(((made - expected).norm() / expected.norm()).item<double>(), 1e-5);
  EXPECT_FALSE(vae->encodes());
  EXPECT_EQ(vae->factor(), 8);
  try {
    vae->encode(golden.at("taesd.pixels"));
    ADD_FAILURE() << "encoded";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("decoder alone"));
  }
  try {
    open_vae(model, folder_ / "taesd_encoder.safetensors");
    ADD_FAILURE() << "opened";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("encoder alone"));
  }
}

TEST_F(FamiliesTest, RefuseAVaeThatDoesNotFit) {
  const Checkpoint model = open_checkpoint(families_folder() / "sd1");
  const auto problem_of = [&](const fs::path& vae) -> std::string {
    Checkpoint changed = model;
    try {
      use_vae(changed, vae);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  EXPECT_THAT(problem_of(folder_ / "missing.safetensors"), HasSubstr("no such file"));
  weights::write_safetensors(folder_ / "other.safetensors", {{"weight", make_tensor({2, 2})}}, {});
  EXPECT_THAT(problem_of(folder_ / "other.safetensors"), HasSubstr("no VAE that limn knows"));
  auto wide = weights::open_component_folder(families_folder() / "taesd").tensors;
  wide["decoder.layers.0.weight"] = make_tensor({16, 16, 3, 3});
  weights::write_safetensors(folder_ / "wide.safetensors", wide, {});
  EXPECT_THAT(problem_of(folder_ / "wide.safetensors"), HasSubstr("16 latent channels"));
}

}  // namespace
}  // namespace limn::models
