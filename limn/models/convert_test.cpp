// SPDX-License-Identifier: Apache-2.0
#include "limn/models/convert.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/models/checkpoint.h"
#include "limn/models/test_tensors.h"
#include "limn/weights/safetensors.h"

namespace limn::models {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using testing::golden_single_file;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::make_values;

constexpr const char* kTokenizerFiles[] = {"vocab.json", "merges.txt"};

class ConvertTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_);
    weights::Index file = golden_single_file("tiny_sd1_keys.json", true);
    file.metadata = {{"format", "pt"}, {"modelspec.title", "tiny"}};
    weights::write_safetensors(in_, file.tensors, file.metadata);
  }
  void TearDown() override { fs::remove_all(folder_); }

  json::object read(const fs::path& path) { return read_json_object(folder_ / path); }
  void write(const fs::path& path, const json::object& object) {
    std::ofstream(folder_ / path) << to_text(object);
  }
  ErrorCode code_of(const fs::path& in, const fs::path& out) {
    try {
      convert(in, out, options_);
    } catch (const Error& error) {
      return error.code();
    }
    ADD_FAILURE() << "converted";
    return ErrorCode::Internal;
  }

  const fs::path folder_ =
      fs::path(::testing::TempDir()) / ::testing::UnitTest::GetInstance()->current_test_info()->name();
  const fs::path in_ = folder_ / "in.safetensors";
  ConvertOptions options_;
};

void expect_same_tensors(const weights::Index& a, const weights::Index& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [key, entry] : a.tensors) {
    const weights::TensorEntry* other = b.find(key);
    ASSERT_TRUE(other) << key;
    EXPECT_EQ(entry.shape, other->shape) << key;
    EXPECT_TRUE(entry.dtype == other->dtype && std::ranges::equal(entry.bytes, other->bytes)) << key;
  }
}

TEST_F(ConvertTest, GoesToAFolderAndBackToTheSameBytes) {
  EXPECT_THAT(convert(in_, folder_ / "folder", options_), IsEmpty());
  EXPECT_THAT(convert(folder_ / "folder", folder_ / "back.safetensors"), Contains(HasSubstr("tokenizer")));
  EXPECT_EQ(sha256_of_file(folder_ / "back.safetensors"), sha256_of_file(in_));
}

TEST_F(ConvertTest, WritesAFolderAsDiffusersLaysItOut) {
  convert(in_, folder_ / "folder/", options_);
  const json::object index = read("folder/model_index.json");
  EXPECT_EQ(index.at("_class_name"), "StableDiffusionPipeline");
  EXPECT_EQ(index.at("unet"), json::value({"diffusers", "UNet2DConditionModel"}));
  EXPECT_EQ(index.at("tokenizer"), json::value({"transformers", "CLIPTokenizer"}));
  EXPECT_EQ(index.at("safety_checker"), json::value({nullptr, nullptr}));
  EXPECT_EQ(read("folder/unet/config.json").at("cross_attention_dim"), 24);
  EXPECT_EQ(read("folder/scheduler/scheduler_config.json").at("_class_name"), "PNDMScheduler");
  for (const char* name : kTokenizerFiles) EXPECT_TRUE(fs::exists(folder_ / "folder" / "tokenizer" / name));
  const auto vae = weights::open_tensor_file(folder_ / "folder/vae/diffusion_pytorch_model.safetensors");
  EXPECT_EQ(vae.shape_of("decoder.mid_block.attentions.0.to_q.weight"), (std::vector<int64_t>{64, 64}));
  EXPECT_EQ(vae.metadata.at("format"), "pt");
  EXPECT_EQ(vae.metadata.at("modelspec.title"), "tiny");
  for (const auto& entry : fs::directory_iterator(folder_)) EXPECT_NE(entry.path().extension(), ".tmp");
}

TEST_F(ConvertTest, KeepsSettingsThatASingleFileDoesNotImply) {
  convert(in_, folder_ / "folder", options_);
  json::object unet = read("folder/unet/config.json");
  unet["attention_head_dim"] = 4;
  write("folder/unet/config.json", unet);
  write("folder/scheduler/scheduler_config.json",
        {{"_class_name", "DDIMScheduler"}, {"prediction_type", "v_prediction"}});
  const auto warnings = convert(folder_ / "folder", folder_ / "one.safetensors");
  EXPECT_THAT(warnings, Contains(HasSubstr("unet: attention_head_dim differ")));
  EXPECT_THAT(warnings, Contains(HasSubstr("scheduler: ")));
  const Checkpoint back = open_checkpoint(folder_ / "one.safetensors");
  EXPECT_EQ(back.parts.at("unet").config.at("attention_head_dim"), 4);
  EXPECT_EQ(back.scheduler_config.at("prediction_type"), "v_prediction");
  EXPECT_EQ(back.scheduler_config.at("_class_name"), "DDIMScheduler");
  convert(folder_ / "one.safetensors", folder_ / "again", options_);
  EXPECT_EQ(read("again/unet/config.json"), unet);
  expect_same_tensors(back.parts.at("unet").tensors,
                      open_checkpoint(folder_ / "again").parts.at("unet").tensors);
}

TEST_F(ConvertTest, RoundsToNearestEvenAndLeavesIntegersAlone) {
  weights::Index file;
  file.tensors["x"] = make_values({5}, {1.0f + 0x1p-11f, 1.0f + 3 * 0x1p-11f, -0x1p-24f, 0x1p-25f, 65504.0f});
  file.tensors["step"] = testing::make_tensor({1}, 7, weights::DType::I32);
  weights::write_safetensors(folder_ / "x.safetensors", file.tensors);
  options_.dtype = weights::DType::F16;
  EXPECT_THAT(convert(folder_ / "x.safetensors", folder_ / "half.safetensors", options_), IsEmpty());
  const auto half = weights::open_tensor_file(folder_ / "half.safetensors");
  const auto* x = half.find("x");
  ASSERT_TRUE(x && x->dtype == weights::DType::F16);
  std::array<uint16_t, 5> bits;
  std::memcpy(bits.data(), x->bytes.data(), sizeof bits);
  EXPECT_THAT(bits,
              ::testing::ElementsAre(0x3c00, 0x3c02, 0x8001, 0x0000, 0x7bff));  // IEEE 754, ties to even
  EXPECT_TRUE(half.find("step")->dtype == weights::DType::I32);
  options_.dtype = weights::DType::BF16;
  convert(folder_ / "x.safetensors", folder_ / "brain.safetensors", options_);
  std::memcpy(bits.data(), weights::open_tensor_file(folder_ / "brain.safetensors").find("x")->bytes.data(),
              sizeof bits);
  EXPECT_THAT(bits, ::testing::ElementsAre(0x3f80, 0x3f80, 0xb380, 0x3300, 0x4780));
}

TEST_F(ConvertTest, SaysWhenValuesAreTooLargeForTheNewType) {
  weights::write_safetensors(folder_ / "x.safetensors", {{"large", make_values({1}, {70000.0f})}});
  options_.dtype = weights::DType::F16;
  EXPECT_THAT(convert(folder_ / "x.safetensors", folder_ / "y.safetensors", options_),
              Contains(HasSubstr("large")));
  options_.dtype = weights::DType::I64;
  EXPECT_EQ(code_of(folder_ / "x.safetensors", folder_ / "z.safetensors"), ErrorCode::InvalidArgument);
}

TEST_F(ConvertTest, WidensExactly) {
  options_.dtype = weights::DType::F64;
  convert(in_, folder_ / "wide.safetensors", options_);
  options_.dtype = weights::DType::F32;
  convert(folder_ / "wide.safetensors", folder_ / "back.safetensors", options_);
  EXPECT_EQ(sha256_of_file(folder_ / "back.safetensors"), sha256_of_file(in_));
}

TEST_F(ConvertTest, TakesFilesOfAnyKindFromFileToFile) {
  weights::write_safetensors(folder_ / "lora.safetensors",
                             {{"lora_unet_x.lora_down.weight", make_values({1, 2}, {1, 2})}},
                             {{"ss_network_dim", "1"}});
  convert(folder_ / "lora.safetensors", folder_ / "copy.safetensors");
  EXPECT_EQ(weights::open_tensor_file(folder_ / "copy.safetensors").metadata.at("ss_network_dim"), "1");
}

TEST_F(ConvertTest, WritesOverNothingUnlessToldTo) {
  EXPECT_EQ(code_of(in_, in_), ErrorCode::InvalidArgument);
  EXPECT_EQ(code_of(in_, folder_), ErrorCode::InvalidArgument);
  EXPECT_EQ(code_of(in_, folder_ / "x.ckpt"), ErrorCode::InvalidArgument);
  EXPECT_EQ(code_of(folder_ / "missing", folder_ / "x"), ErrorCode::NotFound);
  convert(in_, folder_ / "folder", options_);
  options_.force = true;
  EXPECT_THAT(convert(in_, folder_ / "folder", options_), IsEmpty());
  EXPECT_THAT(convert(folder_ / "folder", folder_ / "folder", options_), IsEmpty());
  EXPECT_EQ(open_checkpoint(folder_ / "folder").parts.size(), 3u);
  EXPECT_EQ(code_of(in_, folder_), ErrorCode::InvalidArgument) << "force replaces models only";
}

TEST_F(ConvertTest, LeavesNothingBehindWhenItFails) {
  convert(in_, folder_ / "folder", options_);
  fs::remove(folder_ / "folder/tokenizer/vocab.json");
  fs::create_directory(folder_ / "folder/tokenizer/vocab.json");  // exists, but cannot be copied
  EXPECT_EQ(code_of(folder_ / "folder", folder_ / "copy"), ErrorCode::BadFile);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 2) << "only the input and the folder";
}

}  // namespace
}  // namespace limn::models
