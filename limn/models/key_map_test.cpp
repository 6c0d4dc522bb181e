// SPDX-License-Identifier: Apache-2.0
#include "limn/models/key_map.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/models/test_tensors.h"

namespace limn::models {
namespace {

using ::testing::ElementsAre;
using testing::golden_tensors;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::make_shape;

json::object config_of(const char* text) { return parse_json(text, "config").as_object(); }

constexpr const char* kTinyUNet = R"({"block_out_channels": [32, 64], "layers_per_block": 1,
  "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]})";
constexpr const char* kTinyVae = R"({"block_out_channels": [32, 64], "layers_per_block": 1})";
constexpr const char* kSdxlUNet = R"({"block_out_channels": [320, 640, 1280], "layers_per_block": 2,
  "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
  "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "addition_embed_type": "text_time"})";

struct Architecture {
  const char* file;
  const char* part;
  KeyMap map;
};

std::vector<Architecture> architectures() {
  return {{"sd15_keys.json", "unet", unet_key_map({}, "unet")},
          {"sd15_keys.json", "vae", vae_key_map({}, "vae")},
          {"sd15_keys.json", "text_encoder", clip_text_key_map()},
          {"tiny_sd1_keys.json", "unet", unet_key_map(config_of(kTinyUNet), "unet")},
          {"tiny_sd1_keys.json", "vae", vae_key_map(config_of(kTinyVae), "vae")},
          {"tiny_sd1_keys.json", "text_encoder", clip_text_key_map()}};
}

// The goldens' names come from diffusers' own converters (tools/goldens/keys.py).
TEST(KeyMap, NamesEveryTensorAsDiffusersDoesAndBack) {
  for (const Architecture& a : architectures()) {
    std::set<std::string> ldm, ours;
    for (const auto& tensor : golden_tensors(a.file, a.part)) {
      const auto name = a.map.to_diffusers(tensor.ldm);
      ASSERT_TRUE(name) << a.file << " " << tensor.ldm;
      EXPECT_EQ(name->key, tensor.diffusers);
      const auto back = a.map.to_ldm(name->key);
      ASSERT_TRUE(back) << tensor.diffusers;
      EXPECT_EQ(back->key, tensor.ldm);
      ldm.insert(tensor.ldm);
      ours.insert(name->key);
    }
    EXPECT_GE(ldm.size(), 36u);
    EXPECT_EQ(ldm.size(), ours.size()) << "two tensors got one name";
  }
}

TEST(KeyMap, KnowsTheCountsOfStableDiffusion15) {
  EXPECT_EQ(golden_tensors("sd15_keys.json", "unet").size(), 686u);
  EXPECT_EQ(golden_tensors("sd15_keys.json", "vae").size(), 248u);
  EXPECT_EQ(golden_tensors("sd15_keys.json", "text_encoder").size(), 196u);
}

TEST(KeyMap, NamesSdxlsUNetFromItsConfigurationAlone) {
  const json::value golden = testing::read_golden("sdxl_unet_keys.json");
  const KeyMap map = unet_key_map(config_of(kSdxlUNet), "unet");
  std::string lines;
  for (const json::value& module : golden.at("modules").as_array()) {
    const std::string ldm(module.as_string());
    const auto name = map.to_diffusers(ldm + ".weight");
    ASSERT_TRUE(name) << ldm;
    EXPECT_EQ(map.to_ldm(name->key)->key, ldm + ".weight");
    lines += ldm + "\t" + name->key.substr(0, name->key.size() - 7) + "\n";
  }
  EXPECT_EQ(sha256(std::as_bytes(std::span(lines))), golden.at("sha256").as_string());
}

TEST(KeyMap, TurnsTheVaesAttentionBetweenConvolutionAndLinearLayer) {
  const KeyMap map = vae_key_map({}, "vae");
  std::vector<std::string> unexpected;
  const KeyMap::Tensors ldm{{"decoder.mid.attn_1.q.weight", make_shape({512, 512, 1, 1})},
                            {"decoder.mid.attn_1.q.bias", make_shape({512})},
                            {"encoder.mid.attn_1.proj_out.weight", make_shape({512, 512, 1})},
                            {"post_quant_conv.weight", make_shape({4, 4, 1, 1})}};
  const auto ours = map.to_diffusers(ldm, unexpected);
  EXPECT_THAT(ours.at("decoder.mid_block.attentions.0.to_q.weight").shape, ElementsAre(512, 512));
  EXPECT_THAT(ours.at("decoder.mid_block.attentions.0.to_q.bias").shape, ElementsAre(512));
  EXPECT_THAT(ours.at("encoder.mid_block.attentions.0.to_out.0.weight").shape, ElementsAre(512, 512));
  EXPECT_THAT(ours.at("post_quant_conv.weight").shape, ElementsAre(4, 4, 1, 1))
      << "a true convolution stays one";
  EXPECT_EQ(map.to_ldm(ours, unexpected).at("decoder.mid.attn_1.q.weight").shape,
            (std::vector<int64_t>{512, 512, 1, 1}));
  EXPECT_THAT(unexpected, IsEmpty());
}

TEST(KeyMap, ListsWhatNoRuleMaps) {
  std::vector<std::string> unexpected;
  const KeyMap map = unet_key_map({}, "unet");
  map.to_diffusers({{"input_blocks.99.0.in_layers.0.weight", make_shape({1})},
                    {"input_blocks.1.0.in_layers.1.weight", make_shape({1})},
                    {"input_blocks.1.0.in_layers.0.", make_shape({1})},
                    {"", make_shape({1})}},
                   unexpected);
  EXPECT_EQ(unexpected.size(), 4u);
  try {
    refuse_unexpected("file", unexpected);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::BadFile);
    EXPECT_THAT(error.problem(), HasSubstr("input_blocks.99.0.in_layers.0.weight"));
  }
}

TEST(KeyMap, ReadsTextModelsWithAndWithoutTheirOldPrefix) {
  for (const char* key : {"encoder.layers.3.mlp.fc1.weight", "text_model.encoder.layers.3.mlp.fc1.weight"})
    EXPECT_EQ(clip_text_key_map().to_diffusers(key)->key, "text_model.encoder.layers.3.mlp.fc1.weight");
  EXPECT_FALSE(clip_text_key_map().to_diffusers("vision_model.encoder.layers.0.mlp.fc1.weight"));
}

TEST(KeyMap, ModernisesTheNamesOfOldDiffusersFolders) {
  auto vae = testing::make_index({{"encoder.mid_block.attentions.0.query.weight", {8, 8}},
                                  {"encoder.mid_block.attentions.0.proj_attn.bias", {8}},
                                  {"encoder.conv_in.weight", {8, 3, 3, 3}}});
  modernise_keys("AutoencoderKL", vae);
  EXPECT_TRUE(vae.has("encoder.mid_block.attentions.0.to_q.weight"));
  EXPECT_TRUE(vae.has("encoder.mid_block.attentions.0.to_out.0.bias"));
  EXPECT_TRUE(vae.has("encoder.conv_in.weight"));
  auto text = testing::make_index({{"embeddings.token_embedding.weight", {9, 4}}});
  modernise_keys("CLIPTextModel", text);
  EXPECT_TRUE(text.has("text_model.embeddings.token_embedding.weight"));
  auto twice = testing::make_index({{"encoder.x", {1}}, {"text_model.encoder.x", {1}}});
  EXPECT_THROW(modernise_keys("CLIPTextModel", twice), Error);
}

TEST(KeyMap, RefusesConfigurationsThatDoNotAddUp) {
  for (const char* config : {R"({"block_out_channels": []})", R"({"block_out_channels": [32, 64]})",
                             R"({"layers_per_block": 0})", R"({"layers_per_block": 1000000000})",
                             R"({"layers_per_block": "two"})", R"({"down_block_types": 7})"}) {
    try {
      unet_key_map(config_of(config), "config.json");
      FAIL() << "accepted " << config;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadFile) << config;
    }
  }
  EXPECT_THROW(vae_key_map(config_of(R"({"block_out_channels": []})"), "config.json"), Error);
}

TEST(KeyMap, KnowsWhichBuffersAreNoParameters) {
  for (const char* key :
       {"betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_recipm1_alphas_cumprod",
        "posterior_mean_coef1", "log_one_minus_alphas_cumprod", "logvar", "model_ema.decay",
        "cond_stage_model.transformer.text_model.embeddings.position_ids", "cond_stage_model.logit_scale"})
    EXPECT_TRUE(is_harmless_buffer(key)) << key;
  for (const char* key :
       {"model.diffusion_model.out.0.weight", "model_ema.diffusion_modelout0weight", "betas.weight"})
    EXPECT_FALSE(is_harmless_buffer(key)) << key;
}

}  // namespace
}  // namespace limn::models
