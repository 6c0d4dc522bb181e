// SPDX-License-Identifier: Apache-2.0
#include "limn/models/identify.h"

#include <filesystem>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/models/family.h"
#include "limn/models/identify_rules.h"
#include "limn/models/test_tensors.h"
#include "limn/weights/safetensors.h"

namespace limn::models {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make_index;
using testing::make_values;

using Shapes = std::vector<std::pair<std::string, std::vector<int64_t>>>;

/// A file by its decisive tensors, and what it is. Shapes as published models have them.
struct Case {
  const char* kind;
  const char* family;
  const char* detail;  // part of it
  Shapes shapes;
};

constexpr const char* kUNet = "model.diffusion_model.";

Shapes ldm(Shapes shapes, const std::string& prefix = kUNet) {
  for (auto& [key, shape] : shapes) key = prefix + key;
  return shapes;
}

/// With the text encoder and VAE that make a checkpoint of it.
Shapes whole(Shapes shapes) {
  shapes.push_back({"first_stage_model.decoder.conv_in.weight", {512, 4, 3, 3}});
  shapes.push_back(
      {"cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", {49408, 768}});
  return shapes;
}

const Shapes kSd1{{"input_blocks.0.0.weight", {320, 4, 3, 3}},
                  {"input_blocks.1.1.proj_in.weight", {320, 320, 1, 1}},
                  {"input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight", {320, 768}}};
const Shapes kSd2{{"input_blocks.0.0.weight", {320, 4, 3, 3}},
                  {"input_blocks.1.1.proj_in.weight", {320, 320}},
                  {"input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight", {320, 1024}}};
const Shapes kSdxl{{"input_blocks.0.0.weight", {320, 4, 3, 3}},
                   {"label_emb.0.0.weight", {1280, 2816}},
                   {"input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", {640, 2048}},
                   {"input_blocks.7.1.transformer_blocks.9.norm1.weight", {1280}},
                   {"middle_block.1.norm.weight", {1280}}};
const Shapes kControl{{"input_hint_block.0.weight", {16, 3, 3, 3}},
                      {"zero_convs.0.0.weight", {320, 320, 1, 1}},
                      {"input_blocks.0.0.weight", {320, 4, 3, 3}},
                      {"input_blocks.1.1.proj_in.weight", {320, 320, 1, 1}},
                      {"input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", {320, 768}}};
const Shapes kFlux{{"double_blocks.0.img_attn.norm.key_norm.scale", {128}}, {"img_in.weight", {3072, 64}}};

Shapes plus(Shapes shapes, const Shapes& more) {
  for (const auto& added : more) {
    std::erase_if(shapes, [&](const auto& shape) { return shape.first == added.first; });
    shapes.push_back(added);
  }
  return shapes;
}

std::vector<Case> unet_cases() {
  const auto tall = [](int64_t depth) {
    Shapes shapes{{"label_emb.0.0.weight", {1280, 2816}}};
    for (int64_t d = 0; d < depth; ++d)
      shapes.push_back(
          {"input_blocks.7.1.transformer_blocks." + std::to_string(d) + ".norm1.weight", {1280}});
    return ldm(shapes);
  };
  const auto koala = [](int64_t depth) {
    Shapes shapes{{"label_emb.0.0.weight", {1280, 2816}}};
    for (int64_t d = 0; d < depth; ++d)
      shapes.push_back(
          {"input_blocks.5.1.transformer_blocks." + std::to_string(d) + ".norm1.weight", {1280}});
    return ldm(shapes);
  };
  return {
      {"checkpoint", "sd1", "LDM", whole(ldm(kSd1))},
      {"denoiser", "sd1", "LDM", ldm(kSd1)},
      {"denoiser", "sd1", "LDM", kSd1},
      {"denoiser", "sd1", "LDM", ldm(kSd1, "model.model.")},
      {"checkpoint", "sd2", "LDM", whole(ldm(kSd2))},
      {"checkpoint", "sdxl", "LDM", whole(ldm(kSdxl))},
      {"denoiser", "sdxl-refiner", "LDM",
       ldm({{"input_blocks.0.0.weight", {384, 4, 3, 3}}, {"label_emb.0.0.weight", {1536, 2560}}})},
      {"denoiser", "ssd-1b", "LDM", tall(4)},
      {"denoiser", "segmind-vega", "LDM", tall(2)},
      {"denoiser", "koala-700m", "LDM", koala(5)},
      {"denoiser", "koala-1b", "LDM", koala(6)},
      {"denoiser", "sd-x4-upscaler", "LDM",
       ldm({{"input_blocks.0.0.weight", {256, 7, 3, 3}},
            {"input_blocks.10.0.skip_connection.bias", {1024}}})},
      {"denoiser", "sd21-unclip-l", "LDM", ldm(plus(kSd2, {{"label_emb.0.0.weight", {1280, 1536}}}))},
      {"denoiser", "sd21-unclip-h", "LDM", ldm(plus(kSd2, {{"label_emb.0.0.weight", {1280, 2048}}}))},
      {"denoiser", "svd", "LDM",
       ldm({{"input_blocks.0.0.weight", {320, 8, 3, 3}},
            {"input_blocks.1.0.time_stack.in_layers.0.weight", {320}}})},
      {"denoiser",
       "sd1",
       "diffusers",
       {{"conv_in.weight", {320, 4, 3, 3}},
        {"down_blocks.0.attentions.0.proj_in.weight", {320, 320, 1, 1}},
        {"mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", {1280, 768}}}},
      {"denoiser",
       "sd2",
       "diffusers",
       {{"conv_in.weight", {320, 4, 3, 3}},
        {"mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", {1280, 1024}}}},
      {"denoiser",
       "sdxl",
       "diffusers",
       {{"conv_in.weight", {320, 4, 3, 3}},
        {"add_embedding.linear_1.weight", {1280, 2816}},
        {"mid_block.attentions.0.norm.weight", {1280}}}},
      {"denoiser",
       "sdxl-refiner",
       "diffusers",
       {{"conv_in.weight", {384, 4, 3, 3}}, {"add_embedding.linear_1.weight", {1536, 2560}}}},
  };
}

std::vector<Case> transformer_cases() {
  return {
      {"denoiser", "sd3", "",
       ldm({{"joint_blocks.0.context_block.adaLN_modulation.1.bias", {9216}},
            {"pos_embed", {1, 36864, 1536}}})},
      {"denoiser", "sd3.5-medium", "",
       ldm({{"joint_blocks.0.context_block.adaLN_modulation.1.bias", {9216}},
            {"pos_embed", {1, 147456, 1536}},
            {"joint_blocks.0.x_block.attn2.qkv.weight", {4608, 1536}}})},
      {"denoiser", "sd3.5-large", "",
       ldm({{"joint_blocks.37.x_block.mlp.fc1.weight", {9728, 2432}},
            {"joint_blocks.0.context_block.adaLN_modulation.1.bias", {14592}}})},
      {"denoiser", "flux-schnell", "", kFlux},
      {"denoiser", "flux-dev", "", ldm(plus(kFlux, {{"guidance_in.in_layer.bias", {3072}}}))},
      {"denoiser", "flux-fill", "",
       plus(kFlux, {{"guidance_in.in_layer.bias", {3072}}, {"img_in.weight", {3072, 384}}})},
      {"denoiser", "flux-control", "",
       plus(kFlux, {{"guidance_in.in_layer.bias", {3072}}, {"img_in.weight", {3072, 128}}})},
      {"denoiser", "chroma", "", plus(kFlux, {{"distilled_guidance_layer.in_proj.bias", {5120}}})},
      {"denoiser", "flux2", "", plus(kFlux, {{"single_stream_modulation.lin.weight", {18432, 6144}}})},
      {"denoiser", "flux3", "", {{"early_stream_modulations.image.lin.weight", {1, 1}}}},
      {"denoiser", "auraflow", "", {{"double_layers.0.attn.w1q.weight", {3072, 3072}}}},
      {"denoiser",
       "pixart",
       "",
       {{"t_block.1.weight", {6912, 1152}}, {"y_embedder.y_proj.fc1.weight", {1152, 4096}}}},
      {"denoiser", "wan", "", {{"head.modulation", {1, 2, 1536}}}},
      {"denoiser",
       "qwen-image",
       "",
       {{"txt_norm.weight", {3584}}, {"transformer_blocks.0.img_mlp.net.0.proj.weight", {1, 1}}}},
      {"denoiser",
       "z-image",
       "",
       {{"cap_embedder.0.weight", {2560}}, {"layers.0.adaLN_modulation.0.weight", {1, 256}}}},
      {"denoiser", "lumina2", "", {{"cap_embedder.0.weight", {2304}}}},
      {"denoiser",
       "flux-dev",
       "diffusers",
       {{"single_transformer_blocks.0.attn.norm_k.weight", {128}},
        {"x_embedder.weight", {3072, 64}},
        {"time_text_embed.guidance_embedder.linear_1.weight", {3072, 256}}}},
      {"denoiser",
       "sd3",
       "diffusers",
       {{"transformer_blocks.0.attn.add_k_proj.weight", {1536, 1536}},
        {"pos_embed.pos_embed", {1, 36864, 1536}}}},
  };
}

std::vector<Case> lora_cases() {
  const std::string kohya = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k";
  const std::string sgm = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k";
  const std::string peft = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k";
  return {
      {"lora",
       "sd1",
       "kohya",
       {{kohya + ".lora_down.weight", {8, 768}}, {kohya + ".lora_up.weight", {320, 8}}}},
      {"lora", "sd2", "kohya", {{kohya + ".lora_down.weight", {8, 1024}}}},
      {"lora", "sdxl", "kohya", {{sgm + ".lora_down.weight", {8, 2048}}}},
      {"lora", "sdxl-refiner", "kohya", {{sgm + ".lora_down.weight", {8, 1280}}}},
      {"lora",
       "sd1",
       "kohya",
       {{"lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight", {4, 768}}}},
      {"lora",
       "sdxl",
       "kohya",
       {{"lora_te2_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight", {4, 1280}}}},
      {"lora",
       "sd1",
       "LoCon",
       {{kohya + ".lora_down.weight", {8, 768}},
        {"lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight", {8, 320, 3, 3}}}},
      {"lora",
       "sd1",
       "LoCon",
       {{kohya + ".lora_down.weight", {8, 768}},
        {"lora_unet_down_blocks_0_resnets_0_conv1.lora_mid.weight", {8, 8, 3, 3}}}},
      {"lora", "sd1", "DoRA", {{kohya + ".lora_down.weight", {8, 768}}, {kohya + ".dora_scale", {1, 768}}}},
      {"lora", "sdxl", "LoHa", {{sgm + ".hada_w1_a", {640, 4}}, {sgm + ".hada_w1_b", {4, 2048}}}},
      {"lora",
       "sdxl",
       "LoKr",
       {{"lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k.lokr_w1", {8, 8}}}},
      {"lora", "", "LoKr", {{"lycoris_down_blocks_0_attn2_to_k.lokr_w1_a", {8, 2}}}},
      {"lora", "", "GLoRA", {{kohya + ".a1.weight", {4, 320}}, {kohya + ".b1.weight", {4, 320}}}},
      {"lora", "", "BOFT", {{"oft_unet_down_blocks_0_attn1_to_q.oft_blocks", {3, 4, 8, 8}}}},
      {"lora", "", "OFT", {{"oft_unet_down_blocks_0_attn1_to_q.oft_blocks", {4, 8, 8}}}},
      {"lora", "", "IA3", {{kohya + ".weight", {320}}, {kohya + ".on_input", {}}}},
      {"lora", "sd1", "full difference", {{kohya + ".diff", {320, 768}}}},
      {"lora", "", "norms", {{"lora_unet_norm.w_norm", {320}}}},
      {"lora", "sd1", "PEFT", {{peft + ".lora_A.weight", {4, 768}}, {peft + ".lora_B.weight", {320, 4}}}},
      {"lora",
       "sd1",
       "DoRA, PEFT",
       {{peft + ".lora_A.weight", {4, 768}}, {peft + ".lora_magnitude_vector", {320}}}},
      {"lora",
       "sdxl",
       "PEFT",
       {{"base_model.model.down_blocks.1.attn2.to_k.lora_A.default.weight", {4, 2048}}}},
      {"lora",
       "sd1",
       "old diffusers",
       {{"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight",
         {4, 768}}}},
      {"lora",
       "",
       "old diffusers",
       {{"text_encoder.text_model.encoder.layers.0.self_attn.k_proj.lora_linear_layer.down.weight",
         {4, 768}}}},
      {"lora", "flux", "kohya", {{"lora_unet_double_blocks_0_img_attn_proj.lora_down.weight", {16, 3072}}}},
      {"lora",
       "flux",
       "PEFT",
       {{"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", {16, 3072}}}},
      {"lora",
       "sd3",
       "PEFT",
       {{"transformer.transformer_blocks.0.attn.add_k_proj.lora_A.weight", {16, 1536}}}},
      {"lora", "wan", "ComfyUI", {{"diffusion_model.blocks.0.cross_attn.k.lora_down.weight", {16, 1536}}}},
      {"hypernetwork", "sd1", "", {{"768.0.linear.0.weight", {1536, 768}}}},
  };
}

std::vector<Case> other_cases() {
  const Shapes control_diffusers{
      {"controlnet_cond_embedding.conv_in.weight", {16, 3, 3, 3}},
      {"conv_in.weight", {320, 4, 3, 3}},
      {"down_blocks.0.attentions.0.proj_in.weight", {320, 320, 1, 1}},
      {"mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", {1280, 768}}};
  return {
      {"controlnet", "sd1", "LDM", ldm(kControl, "control_model.")},
      {"controlnet", "sd1", "LDM", kControl},
      {"controlnet", "sd1", "difference", plus(kControl, {{"difference", {}}})},
      {"controlnet", "sd1", "diffusers", control_diffusers},
      {"controlnet", "sdxl", "diffusers",
       plus(control_diffusers,
            {{"mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", {1280, 2048}},
             {"add_embedding.linear_1.weight", {1280, 2816}}})},
      {"controlnet", "sdxl", "union",
       plus(control_diffusers,
            {{"mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", {1280, 2048}},
             {"control_add_embedding.linear_1.bias", {1280}},
             {"task_embedding", {6, 320}}})},
      {"controlnet",
       "",
       "Control-LoRA",
       {{"lora_controlnet", {}}, {"input_blocks.1.0.in_layers.2.up", {320, 128}}}},
      {"controlnet",
       "sdxl",
       "LLLite",
       {{"lllite_unet_input_blocks_4_1_attn1_to_q.conditioning1.0.weight", {16, 3, 4, 4}}}},
      {"controlnet",
       "flux",
       "",
       {{"controlnet_x_embedder.weight", {3072, 64}}, {"controlnet_blocks.0.weight", {3072, 3072}}}},
      {"controlnet", "sd3", "", {{"controlnet_blocks.0.weight", {1536, 1536}}}},
      {"t2i-adapter",
       "sd1",
       "full",
       {{"conv_in.weight", {320, 192, 3, 3}}, {"body.0.block1.weight", {320, 320, 3, 3}}}},
      {"t2i-adapter", "sdxl", "full",
       ldm({{"conv_in.weight", {320, 768, 3, 3}}, {"body.0.block1.weight", {320, 320, 3, 3}}}, "adapter.")},
      {"t2i-adapter", "sd1", "light", {{"body.0.in_conv.weight", {320, 64, 1, 1}}}},
      {"ip-adapter",
       "sd1",
       "base",
       {{"image_proj.proj.weight", {3072, 1024}}, {"ip_adapter.1.to_k_ip.weight", {320, 768}}}},
      {"ip-adapter",
       "sdxl",
       "Plus",
       {{"image_proj.latents", {1, 16, 1280}}, {"ip_adapter.1.to_k_ip.weight", {640, 2048}}}},
      {"ip-adapter",
       "sd1",
       "FaceID Plus",
       {{"image_proj.perceiver_resampler.proj_in.weight", {768, 1280}},
        {"ip_adapter.0.to_q_lora.down.weight", {128, 320}},
        {"ip_adapter.1.to_k_ip.weight", {320, 768}}}},
      {"ip-adapter",
       "sd1",
       "FaceID",
       {{"image_proj.norm.weight", {768}},
        {"ip_adapter.0.to_q_lora.down.weight", {128, 320}},
        {"ip_adapter.1.to_k_ip.weight", {320, 768}}}},
      {"ip-adapter",
       "sd1",
       "Full",
       {{"image_proj.norm.weight", {768}}, {"ip_adapter.1.to_k_ip.weight", {320, 768}}}},
      {"motion module",
       "sd1",
       "AnimateDiff",
       {{"down_blocks.0.motion_modules.0.temporal_transformer.norm.weight", {320}}}},
      {"textual inversion", "sd1", "A1111", {{"string_to_param.*", {2, 768}}}},
      {"textual inversion", "sd2", "A1111", {{"string_to_param.*", {2, 1024}}}},
      {"textual inversion", "sd1", "one tensor", {{"<cat-toy>", {768}}}},
      {"textual inversion", "sd2", "emb_params", {{"emb_params", {4, 1024}}}},
      {"textual inversion", "sdxl", "two encoders", {{"clip_l", {3, 768}}, {"clip_g", {3, 1280}}}},
      {"vae",
       "",
       "LDM",
       {{"decoder.conv_in.weight", {512, 4, 3, 3}}, {"decoder.mid.block_1.norm1.weight", {512}}}},
      {"vae",
       "",
       "LDM",
       {{"first_stage_model.decoder.conv_in.weight", {512, 4, 3, 3}},
        {"first_stage_model.decoder.mid.block_1.norm1.weight", {512}}}},
      {"vae",
       "",
       "diffusers",
       {{"decoder.conv_in.weight", {512, 16, 3, 3}}, {"decoder.up_blocks.0.resnets.0.norm1.weight", {512}}}},
      {"vae", "", "TAESD", {{"taesd_decoder.1.weight", {64, 4, 3, 3}}}},
      {"vae", "", "TAESD decoder", {{"1.weight", {64, 4, 3, 3}}, {"3.conv.0.weight", {64, 64, 3, 3}}}},
      {"vae", "wan", "Wan", {{"decoder.middle.0.residual.0.gamma", {384, 1, 1, 1}}}},
      {"text encoder",
       "",
       "ViT-L",
       {{"text_model.encoder.layers.0.self_attn.k_proj.weight", {768, 768}},
        {"text_model.embeddings.token_embedding.weight", {49408, 768}}}},
      {"text encoder",
       "",
       "bigG",
       {{"text_model.encoder.layers.0.self_attn.k_proj.weight", {1280, 1280}},
        {"text_model.embeddings.token_embedding.weight", {49408, 1280}}}},
      {"text encoder", "", "T5", {{"encoder.block.0.layer.0.SelfAttention.k.weight", {4096, 4096}}}},
      {"image encoder",
       "",
       "CLIP",
       {{"vision_model.encoder.layers.0.self_attn.k_proj.weight", {1280, 1280}}}},
      {"upscaler", "", "ESRGAN", {{"model.1.sub.0.RDB1.conv1.0.weight", {32, 64, 3, 3}}}},
      {"upscaler", "", "Real-ESRGAN",
       ldm({{"conv_first.weight", {64, 3, 3, 3}}, {"body.0.rdb1.conv1.weight", {32, 64, 3, 3}}},
           "params_ema.")},
      {"unknown", "", "", {{"weight", {10, 10}}, {"bias", {10}}}},
      {"unknown", "", "", {}},
  };
}

void expect_all(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    const Identity identity = identify_tensors(make_index(c.shapes));
    const std::string first = c.shapes.empty() ? "nothing" : c.shapes.front().first;
    EXPECT_EQ(identity.kind, c.kind) << first;
    EXPECT_EQ(identity.family, c.family) << first << ": " << summary_of(identity);
    EXPECT_THAT(identity.detail, HasSubstr(c.detail)) << first;
    const std::set<std::string> known{"sd1",    "sd2",          "sdxl",       "sdxl-refiner",
                                      "ssd-1b", "segmind-vega", "koala-700m", "koala-1b"};
    EXPECT_EQ(identity.can_run, std::string(c.kind) == "checkpoint" && known.contains(c.family)) << first;
    EXPECT_EQ(identity.why_not.empty(), identity.can_run) << first;
  }
}

TEST(Identify, TellsUNetsApart) { expect_all(unet_cases()); }
TEST(Identify, TellsTransformersApart) { expect_all(transformer_cases()); }
TEST(Identify, TellsWeightChangesApart) { expect_all(lora_cases()); }
TEST(Identify, TellsTheOtherFilesApart) { expect_all(other_cases()); }

TEST(Identify, EveryFamilyThatARuleNamesHasATitleAndEveryRuleACondition) {
  for (const IdentifyRule& rule : identify_rules()) {
    EXPECT_FALSE(rule.needs[0].key.empty());
    EXPECT_TRUE(rule.family.empty() || try_find_named(family_titles(), rule.family)) << rule.family;
  }
  for (const AdapterFamilyRule& rule : adapter_family_rules())
    EXPECT_TRUE(try_find_named(family_titles(), rule.family)) << rule.family;
  for (const Family& family : families())
    EXPECT_TRUE(try_find_named(family_titles(), family.name)) << family.name;
}

TEST(Identify, NamesTheVariantByTheInputChannels) {
  const auto variant = [](const Shapes& shapes) {
    return identify_tensors(make_index(whole(ldm(plus(kSd1, shapes))))).variant;
  };
  EXPECT_EQ(variant({}), "");
  EXPECT_EQ(variant({{"input_blocks.0.0.weight", {320, 9, 3, 3}}}), "inpaint");
  EXPECT_EQ(variant({{"input_blocks.0.0.weight", {320, 8, 3, 3}}, {"out.2.weight", {4, 320, 3, 3}}}),
            "instruct-pix2pix");
  EXPECT_EQ(variant({{"input_blocks.0.0.weight", {320, 8, 3, 3}}, {"out.2.weight", {8, 320, 3, 3}}}), "");
  EXPECT_EQ(variant({{"input_blocks.0.0.weight", {320, 5, 3, 3}}}), "depth");
  EXPECT_EQ(variant({{"time_embed.cond_proj.weight", {320, 256}}}), "lcm");
}

TEST(Identify, ReadsAStatedPredictionAndSaysWhenItIsOnlyUsual) {
  const auto identity = [](const Shapes& shapes) {
    return identify_tensors(make_index(plus(whole(ldm(kSdxl)), shapes)));
  };
  EXPECT_EQ(identity({}).prediction, "epsilon");
  EXPECT_THAT(identity({}).prediction_basis, HasSubstr("not stored"));
  EXPECT_EQ(identity({{"v_pred", {}}}).prediction, "v_prediction");
  EXPECT_EQ(identity({{"edm_mean", {4}}, {"edm_std", {4}}}).prediction, "edm");
  EXPECT_EQ(identity({{"edm_vpred.sigma_max", {}}}).prediction, "edm v_prediction");
  EXPECT_EQ(identity({{"ztsnr", {}}}).variant, "zero-snr");
  weights::Index stated = make_index(whole(ldm(kSd1)));
  stated.metadata["modelspec.prediction_type"] = "v";
  EXPECT_EQ(identify_tensors(stated).prediction, "v_prediction");
  EXPECT_EQ(identify_tensors(make_index(kFlux)).prediction, "flow");
}

TEST(Identify, GuessesStableDiffusion2sPredictionFromOneBias) {
  const auto with_bias = [](float spread) {
    weights::Index index = make_index(whole(ldm(kSd2)));
    index.tensors[std::string(kUNet) + "output_blocks.11.1.transformer_blocks.0.norm1.bias"] =
        make_values({4}, {-spread, spread, -spread, spread});  // standard deviation: spread · √(4/3)
    return identify_tensors(index);
  };
  EXPECT_EQ(with_bias(0.08f).prediction, "v_prediction");
  EXPECT_EQ(with_bias(0.07f).prediction, "epsilon");
  EXPECT_THAT(with_bias(0.08f).prediction_basis, HasSubstr("guess"));
  EXPECT_EQ(identify_tensors(make_index(whole(ldm(kSd2)))).prediction, "unknown") << "nothing to guess from";
}

TEST(Identify, ReadsALorasRankAndAlpha) {
  weights::Index index = make_index({{"lora_unet_a_attn2_to_k.lora_down.weight", {8, 768}},
                                     {"lora_unet_b.lora_down.weight", {4, 320, 3, 3}}});
  index.tensors["lora_unet_a_attn2_to_k.alpha"] = make_values({}, {4.0f});
  const Identity identity = identify_tensors(index);
  EXPECT_THAT(identity.ranks, ElementsAre(4, 8));
  EXPECT_THAT(identity.alphas, ElementsAre(4.0));
  index.tensors.erase("lora_unet_a_attn2_to_k.alpha");
  EXPECT_THAT(identify_tensors(index).notes, Contains(HasSubstr("no alpha")));
  index.tensors["lora_unet_a_attn2_to_k.alpha"] = testing::make_shape({});  // says one element, has no bytes
  EXPECT_TRUE(identify_tensors(index).alphas.empty());
}

TEST(Identify, CountsAnEmbeddingsVectors) {
  EXPECT_EQ(identify_tensors(make_index({{"<toy>", {768}}})).vectors, 1);
  EXPECT_EQ(identify_tensors(make_index({{"clip_l", {3, 768}}, {"clip_g", {3, 1280}}})).vectors, 3);
}

TEST(Identify, SumsUpPartsOfARealArchitecture) {
  const Identity identity = identify_tensors(testing::golden_single_file("sd15_keys.json", false));
  ASSERT_EQ(identity.parts.size(), 3u);
  std::map<std::string, int64_t> parameters;
  for (const PartSize& part : identity.parts) parameters[part.name] = part.parameters;
  EXPECT_EQ(parameters["unet"], 859'520'964);  // the published counts
  EXPECT_EQ(parameters["vae"], 83'653'863);
  EXPECT_EQ(parameters["text_encoder"], 123'060'480);
  EXPECT_EQ(identity.family, "sd1");
  EXPECT_TRUE(identity.can_run);
}

TEST(Identify, DescribesForPeopleAndForPrograms) {
  weights::Index index = make_index({{"lora_unet_a_attn2_to_k.lora_down.weight", {8, 768}}});
  index.metadata["ss_network_dim"] = "8\x1b[2J";
  const Identity identity = identify_tensors(index);
  const std::string text = describe(identity);
  EXPECT_THAT(text, HasSubstr("a lora (kohya names) for Stable Diffusion 1.x"));
  EXPECT_THAT(text, HasSubstr("rank        8\n"));
  EXPECT_THAT(text, HasSubstr("ss_network_dim = 8?[2J")) << "control characters must not reach the terminal";
  const json::object object = to_json(identity);
  EXPECT_EQ(object.at("kind"), "lora");
  EXPECT_EQ(object.at("ranks"), json::value({8}));
  EXPECT_EQ(object.at("metadata").at("ss_network_dim"), "8\x1b[2J");
  EXPECT_TRUE(object.at("vectors").is_null());
}

TEST(Identify, ReadsFilesByContentAndEmbeddingsInPictures) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "identify";
  std::filesystem::create_directories(folder);
  weights::write_safetensors(folder / "a.bin", {{"<toy>", make_values({2}, {1, 2})}});
  EXPECT_EQ(identify(folder / "a.bin").kind, "unknown") << "two is no encoder's width";
  std::ofstream(folder / "b.png") << "\x89PNG\r\n and then sd-ti-embedding and so on";
  EXPECT_EQ(identify(folder / "b.png").kind, "textual inversion");
  EXPECT_THROW(identify(folder / "missing"), Error);
  std::ofstream(folder / "c.png") << "\x89PNG\r\n an ordinary picture";
  EXPECT_THROW(identify(folder / "c.png"), Error);
  std::filesystem::remove_all(folder);
}

TEST(Identify, MatchesPatternsWithStars) {
  EXPECT_TRUE(fits("*", ""));
  EXPECT_TRUE(fits("a*c", "abbc"));
  EXPECT_TRUE(fits("*b*", "abc"));
  EXPECT_TRUE(fits("a.b", "a.b"));
  EXPECT_FALSE(fits("a*c", "abcd"));
  EXPECT_FALSE(fits("abc", "ab"));
  EXPECT_FALSE(fits("", "a"));
  EXPECT_FALSE(fits("*a*b", std::string(2000, 'a')));
}

}  // namespace
}  // namespace limn::models
