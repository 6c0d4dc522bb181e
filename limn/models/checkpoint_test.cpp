// SPDX-License-Identifier: Apache-2.0
#include "limn/models/checkpoint.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/models/config_diff.h"
#include "limn/models/family.h"
#include "limn/models/identify.h"
#include "limn/models/test_tensors.h"
#include "limn/weights/safetensors.h"

namespace limn::models {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using testing::golden_single_file;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::make_shape;
using testing::make_tensor;

const Family& sd1() { return families().front(); }

/// An empty folder that goes with the test.
class CheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const weights::Index& index, const std::string& name = "model.safetensors") {
    weights::write_safetensors(folder_ / name, index.tensors, index.metadata);
    return folder_ / name;
  }
  void write_text(const fs::path& name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
  }
  /// The golden tiny model as a diffusers folder.
  void write_folder() {
    for (const char* part : {"unet", "vae", "text_encoder"}) {
      std::map<std::string, weights::TensorEntry> tensors;
      for (const auto& tensor : testing::golden_tensors("tiny_sd1_keys.json", part))
        tensors[tensor.diffusers] = make_tensor(tensor.shape);
      const std::string stem = std::string(part) == "text_encoder" ? "model" : "diffusion_pytorch_model";
      fs::create_directories(folder_ / part);
      weights::write_safetensors(folder_ / part / (stem + ".safetensors"), tensors);
      write_text(fs::path(part) / "config.json", "{}");
    }
    write_text("scheduler/scheduler_config.json",
               R"({"_class_name": "DDIMScheduler", "prediction_type": "v_prediction"})");
    write_text("tokenizer/vocab.json", "{}");
    write_text("tokenizer/merges.txt", "");
    write_text("model_index.json",
               R"({"_class_name": "StableDiffusionPipeline", "requires_safety_checker": true,
      "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
      "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
      "scheduler": ["diffusers", "DDIMScheduler"], "safety_checker": ["x", "StableDiffusionSafetyChecker"],
      "image_encoder": [null, null]})");
  }
  ErrorCode code_of(const fs::path& path, const std::string& text) {
    try {
      open_checkpoint(path);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(text));
      return error.code();
    }
    ADD_FAILURE() << "opened " << path;
    return ErrorCode::Internal;
  }

  const fs::path folder_ =
      fs::path(::testing::TempDir()) / ::testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST(Sd1Family, DerivesStableDiffusion15sConfigurationsFromShapes) {
  std::vector<std::string> warnings;
  const auto parts = split_single_file(sd1(), golden_single_file("sd15_keys.json", false), warnings);
  // Published: stable-diffusion-v1-5's unet, vae and text_encoder config.json.
  const auto published = [](const char* text) { return parse_json(text, "published").as_object(); };
  EXPECT_THAT(differing_fields("UNet2DConditionModel", parts.at("unet").config, published(R"({
    "_class_name": "UNet2DConditionModel", "act_fn": "silu", "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280], "center_input_sample": false, "cross_attention_dim": 768,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0, "in_channels": 4, "layers_per_block": 2,
    "mid_block_scale_factor": 1, "norm_eps": 1e-05, "norm_num_groups": 32, "out_channels": 4, "sample_size": 64,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]})")),
              IsEmpty());
  EXPECT_THAT(differing_fields("AutoencoderKL", parts.at("vae").config, published(R"({
    "_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
    "in_channels": 3, "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32, "out_channels": 3,
    "sample_size": 512, "scaling_factor": 0.18215,
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]})")),
              IsEmpty());
  EXPECT_THAT(differing_fields("CLIPTextModel", parts.at("text_encoder").config, published(R"({
    "architectures": ["CLIPTextModel"], "attention_dropout": 0.0, "bos_token_id": 0, "dropout": 0.0,
    "eos_token_id": 2, "hidden_act": "quick_gelu", "hidden_size": 768, "initializer_factor": 1.0,
    "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05, "max_position_embeddings": 77,
    "model_type": "clip_text_model", "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1,
    "projection_dim": 768, "torch_dtype": "float32", "transformers_version": "4.22.0.dev0", "vocab_size": 49408})")),
              IsEmpty());
  EXPECT_THAT(warnings, IsEmpty());
}

TEST(Sd1Family, SplitsAndJoinsToTheSameTensors) {
  for (const char* name : {"sd15_keys.json", "tiny_sd1_keys.json"}) {
    const weights::Index file = golden_single_file(name, false);
    std::vector<std::string> warnings;
    const auto parts = split_single_file(sd1(), file, warnings);
    for (const auto& [part, content] : parts)
      EXPECT_EQ(content.tensors.tensors.size(), testing::golden_tensors(name, part).size());
    const auto joined = join_single_file(sd1(), parts);
    ASSERT_EQ(joined.size(), file.tensors.size());
    for (const auto& [key, entry] : file.tensors) EXPECT_EQ(joined.at(key).shape, entry.shape) << key;
  }
}

TEST(Sd1Family, LeavesOutEmaCopiesWithAWarningAndBuffersWithout) {
  weights::Index file = golden_single_file("tiny_sd1_keys.json", false);
  file.tensors["model_ema.diffusion_modelinput_blocks00weight"] = make_shape({32, 4, 3, 3});
  file.tensors["model_ema.decay"] = make_shape({});
  file.tensors["alphas_cumprod"] = make_shape({1000});
  file.tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = make_shape({1, 77});
  std::vector<std::string> warnings;
  split_single_file(sd1(), file, warnings);
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("the EMA copy of the UNet (1 tensors)")));
}

TEST(Sd1Family, ReadsOldFilesWhoseTextModelHasNoPrefix) {
  weights::Index file = golden_single_file("tiny_sd1_keys.json", false);
  weights::Index old = file;
  const std::string now = "cond_stage_model.transformer.text_model.", then = "cond_stage_model.transformer.";
  for (const auto& [key, entry] : file.tensors)
    if (key.starts_with(now)) {
      old.tensors.erase(key);
      old.tensors[then + key.substr(now.size())] = entry;
    }
  std::vector<std::string> warnings;
  const auto parts = split_single_file(sd1(), old, warnings);
  EXPECT_TRUE(parts.at("text_encoder").tensors.has("text_model.encoder.layers.1.mlp.fc1.weight"));
  EXPECT_EQ(parts.at("text_encoder").config.at("num_hidden_layers"), 2);
}

TEST_F(CheckpointTest, OpensASingleFileOfAnySize) {
  const fs::path path = write(golden_single_file("tiny_sd1_keys.json", true));
  const Checkpoint checkpoint = open_checkpoint(path);
  EXPECT_EQ(checkpoint.family, "sd1");
  EXPECT_EQ(checkpoint.layout, "single file");
  EXPECT_THAT(checkpoint.files, ElementsAre(path));
  EXPECT_THAT(checkpoint.warnings, IsEmpty());
  const json::object& unet = checkpoint.parts.at("unet").config;
  EXPECT_EQ(unet.at("block_out_channels"), json::value({32, 64}));
  EXPECT_EQ(unet.at("down_block_types"), json::value({"CrossAttnDownBlock2D", "DownBlock2D"}));
  EXPECT_EQ(unet.at("up_block_types"), json::value({"UpBlock2D", "CrossAttnUpBlock2D"}));
  EXPECT_EQ(unet.at("cross_attention_dim"), 24);
  EXPECT_EQ(unet.at("layers_per_block"), 1);
  EXPECT_EQ(checkpoint.parts.at("vae").config.at("latent_channels"), 4);
  EXPECT_EQ(checkpoint.parts.at("text_encoder").config.at("num_attention_heads"), 1);
  EXPECT_EQ(checkpoint.scheduler_config.at("_class_name"), "PNDMScheduler");
  EXPECT_EQ(checkpoint.scheduler_config.at("steps_offset"), 1);
  EXPECT_EQ(checkpoint.scheduler_config.at("skip_prk_steps"), true);
}

TEST_F(CheckpointTest, OpensADiffusersFolder) {
  write_folder();
  const Checkpoint checkpoint = open_checkpoint(folder_);
  EXPECT_EQ(checkpoint.family, "sd1");
  EXPECT_EQ(checkpoint.layout, "diffusers folder");
  EXPECT_EQ(checkpoint.files.size(), 3u);
  EXPECT_EQ(checkpoint.tokenizer, folder_ / "tokenizer");
  EXPECT_EQ(checkpoint.scheduler_config.at("_class_name"), "DDIMScheduler");
  EXPECT_THAT(checkpoint.warnings, ElementsAre(HasSubstr("safety_checker")));
  EXPECT_EQ(checkpoint.parts.at("unet").tensors.tensors.size(),
            testing::golden_tensors("tiny_sd1_keys.json", "unet").size());
  const Identity identity = identify(folder_);
  EXPECT_EQ(identity.kind, "checkpoint");
  EXPECT_EQ(identity.prediction, "v_prediction");
  EXPECT_EQ(identity.prediction_basis, "stored in scheduler/scheduler_config.json");
  EXPECT_TRUE(identity.can_run);
}

TEST_F(CheckpointTest, SaysWhatIsWrongWithAFolder) {
  EXPECT_EQ(code_of(folder_ / "nothing", "no such file"), ErrorCode::NotFound);
  EXPECT_EQ(code_of(folder_, "model_index.json"), ErrorCode::NotFound);
  write_folder();
  fs::remove(folder_ / "model_index.json");
  EXPECT_EQ(code_of(folder_, "the parts are here"), ErrorCode::NotFound);
  write_text("model_index.json", R"({"unet": ["diffusers", "UNet2DConditionModel"]})");
  EXPECT_EQ(code_of(folder_, "has no vae"), ErrorCode::BadFile);
  write_text("model_index.json", R"({"unet": ["diffusers"]})");
  EXPECT_EQ(code_of(folder_, "expected [\"library\", \"class\"]"), ErrorCode::BadFile);
  write_text("model_index.json",
             R"({"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]})");
  EXPECT_EQ(code_of(folder_, "FluxPipeline"), ErrorCode::Unsupported);
  write_text("model_index.json", R"({"../unet": ["diffusers", "UNet2DConditionModel"]})");
  EXPECT_EQ(code_of(folder_, "../unet"), ErrorCode::Unsupported);
  write_text("model_index.json", R"({"vae": ["diffusers", "AutoencoderKL"]})");
  fs::remove_all(folder_ / "vae");
  EXPECT_EQ(code_of(folder_, "the folder is missing"), ErrorCode::NotFound);
}

TEST_F(CheckpointTest, NamesWhatASingleFileLacksOrHasTooMuch) {
  const weights::Index whole = golden_single_file("tiny_sd1_keys.json", true);
  const auto without = [&](const std::string& prefix) {
    weights::Index file = whole;
    std::erase_if(file.tensors, [&](const auto& tensor) { return tensor.first.starts_with(prefix); });
    return write(file);
  };
  EXPECT_EQ(code_of(without("first_stage_model."), "vae (first_stage_model.*)"), ErrorCode::BadFile);
  EXPECT_EQ(code_of(without("cond_stage_model."), "text_encoder"), ErrorCode::BadFile);
  EXPECT_EQ(code_of(without("model.diffusion_model.out.2"), "out.2.weight"), ErrorCode::BadFile);
  weights::Index more = whole;
  more.tensors["model.diffusion_model.input_blocks.1.0.surprise.weight"] = make_tensor({1});
  EXPECT_EQ(code_of(write(more), "surprise"), ErrorCode::BadFile);
  more = whole;
  more.tensors["surprise"] = make_tensor({1});
  EXPECT_EQ(code_of(write(more), "surprise"), ErrorCode::BadFile);
  more = whole;
  more.tensors["model.diffusion_model.out.2.weight"] = make_tensor({});
  EXPECT_EQ(code_of(write(more), "out.2.weight"), ErrorCode::BadFile);
}

TEST_F(CheckpointTest, RefusesOtherModelsByTheirName) {
  const auto only = [&](const std::string& key, const std::vector<int64_t>& shape) {
    weights::Index index;
    index.tensors[key] = make_tensor(shape);
    return write(index);
  };
  EXPECT_EQ(code_of(only("double_blocks.0.img_attn.norm.key_norm.scale", {8}), "FLUX.1"),
            ErrorCode::Unsupported);
  EXPECT_EQ(code_of(only("lora_unet_attn2_to_k.lora_down.weight", {4, 768}), "lora"), ErrorCode::Unsupported);
  EXPECT_EQ(code_of(only("something", {3}), "not a model file"), ErrorCode::BadFile);
  weights::Index unet = golden_single_file("tiny_sd1_keys.json", true);
  std::erase_if(unet.tensors, [](const auto& tensor) { return !tensor.first.starts_with("model."); });
  EXPECT_EQ(code_of(write(unet), "only one part"), ErrorCode::Unsupported);
}

TEST_F(CheckpointTest, RefusesStoredConfigurationsThatAreNotObjects) {
  weights::Index file = golden_single_file("tiny_sd1_keys.json", true);
  file.metadata[kConfigsKey] = "[1]";
  EXPECT_EQ(code_of(write(file), "expected a JSON object"), ErrorCode::BadFile);
  file.metadata[kConfigsKey] = R"({"unet": 3})";
  EXPECT_EQ(code_of(write(file), "expected a JSON object"), ErrorCode::BadFile);
  file.metadata[kConfigsKey] = "{";
  EXPECT_EQ(code_of(write(file), kConfigsKey), ErrorCode::BadFile);
}

}  // namespace
}  // namespace limn::models
