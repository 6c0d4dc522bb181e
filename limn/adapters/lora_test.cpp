// SPDX-License-Identifier: Apache-2.0
#include "limn/adapters/lora.h"

#include <filesystem>

#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "limn/base/error.h"
#include "limn/models/checkpoint.h"
#include "limn/weights/safetensors.h"
#include "limn/weights/tensor.h"

namespace limn::adapters {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kGoldens = fs::path(LIMN_SOURCE_DIR) / "tests" / "goldens";
const fs::path kLoras = kGoldens / "lora";

std::shared_ptr<const models::Model> base() {
  static const auto model = models::load_model(models::open_checkpoint(kGoldens / "tiny_sd1"), {});
  return model;
}

std::map<std::string, at::Tensor> parameters(const models::Model& model) {
  std::map<std::string, at::Tensor> out;
  const auto take = [&](const std::string& part, const nn::Module& module) {
    const_cast<nn::Module&>(module).for_each_parameter(
        part, [&](const std::string& name, at::Tensor& t) { out[name] = t; });
  };
  take("unet", *model.unet);
  take("text_encoder", *model.text_encoder);
  return out;
}

bool same(const models::Model& a, const models::Model& b) {
  const auto of_a = parameters(a), of_b = parameters(b);
  for (const auto& [name, tensor] : of_a)
    if (!tensor.equal(of_b.at(name))) return false;
  return of_a.size() == of_b.size();
}

struct Scratch {
  fs::path folder = fs::temp_directory_path() / ("limn_lora_" + std::to_string(::getpid()));
  Scratch() { fs::create_directories(folder); }
  ~Scratch() { fs::remove_all(folder); }
};

TEST(Lora, TwoAppliedAndOneTakenAwayLeavesExactlyTheOther) {
  const auto before = parameters(*base());
  std::map<std::string, at::Tensor> copies;
  for (const auto& [name, tensor] : before) copies[name] = tensor.clone();
  const LoraUse a{kLoras / "a.safetensors", 0.7}, b{kLoras / "b.safetensors", -0.5};
  const auto both = with_loras(base(), std::vector{a, b});
  EXPECT_FALSE(same(*both, *base()));
  EXPECT_TRUE(same(*with_loras(base(), std::vector{b}), *with_loras(base(), std::vector{b})));
  EXPECT_FALSE(same(*with_loras(base(), std::vector{b}), *both));
  EXPECT_TRUE(same(*with_loras(base(), std::vector{LoraUse{a.path, 0}}), *base()));
  EXPECT_EQ(with_loras(base(), {}), base());
  for (const auto& [name, tensor] : parameters(*base())) EXPECT_TRUE(tensor.equal(copies.at(name))) << name;
}

TEST(Lora, SharesWhatItDoesNotChange) {
  const auto changed = parameters(*with_loras(base(), std::vector{LoraUse{kLoras / "b.safetensors", 1}}));
  size_t shared = 0;
  for (const auto& [name, tensor] : parameters(*base()))
    shared += tensor.data_ptr() == changed.at(name).data_ptr();
  EXPECT_GT(shared, changed.size() / 2);
  EXPECT_LT(shared, changed.size());
}

TEST(Lora, LayoutsMeanTheSame) {
  for (const char* name : {"a", "b"})
    EXPECT_TRUE(same(
        *with_loras(base(), std::vector{LoraUse{kLoras / (std::string(name) + ".safetensors"), 1}}),
        *with_loras(base(), std::vector{LoraUse{kLoras / (std::string(name) + "_kohya.safetensors"), 1}})))
        << name;
}

TEST(Lora, IsReadBackAsItWasWritten) {
  const Scratch scratch;
  const auto layers = read_lora(kLoras / "a.safetensors", *base());
  ASSERT_FALSE(layers.empty());
  for (const LoraLayout& layout : lora_layouts()) {
    const fs::path file = scratch.folder / (std::string(layout.name) + ".safetensors");
    write_lora(file, layers, layout.name);
    const auto again = read_lora(file, *base());
    ASSERT_EQ(again.size(), layers.size());
    for (size_t i = 0; i < layers.size(); ++i) {
      EXPECT_EQ(again[i].module, layers[i].module);
      EXPECT_EQ(again[i].alpha, layers[i].alpha);
      EXPECT_TRUE(again[i].down.equal(layers[i].down) && again[i].up.equal(layers[i].up)) << layers[i].module;
    }
  }
}

TEST(Lora, ReadsEveryWayToNameALayer) {
  const Scratch scratch;
  const std::string module = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
  const auto shape = parameters(*base()).at("unet." + module + ".weight").sizes().vec();
  const at::Tensor down = at::randn({2, shape[1]}), up = at::randn({shape[0], 2});
  for (const auto& [a, b] : std::vector<std::pair<std::string, std::string>>{
           {"unet." + module + ".lora_A.weight", "unet." + module + ".lora_B.weight"},
           {"unet." + module + ".lora_A.default.weight", "unet." + module + ".lora_B.default.weight"},
           {"base_model.model." + module + ".lora_A.weight", "base_model.model." + module + ".lora_B.weight"},
           {"unet." + module + ".lora.down.weight", "unet." + module + ".lora.up.weight"},
           {"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.up.weight"},
           {"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight",
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_up.weight"}}) {
    weights::write_safetensors(scratch.folder / "x.safetensors",
                               {{a, weights::to_entry(down)}, {b, weights::to_entry(up)}});
    const auto layers = read_lora(scratch.folder / "x.safetensors", *base());
    ASSERT_EQ(layers.size(), 1u) << a;
    EXPECT_EQ(layers[0].module, module);
    EXPECT_EQ(layers[0].alpha, 2) << "the rank, where nothing is said";
  }
}

TEST(Lora, AppliesTuckersCore) {
  const Scratch scratch;
  const std::string key = "lora_unet_down_blocks_0_resnets_0_conv1",
                    name = "unet.down_blocks.0.resnets.0.conv1.weight";
  const at::Tensor before = parameters(*base()).at(name);
  const at::Tensor down = at::randn({2, before.size(1), 1, 1}), up = at::randn({before.size(0), 3, 1, 1}),
                   mid = at::randn({3, 2, 3, 3});
  weights::write_safetensors(scratch.folder / "x.safetensors",
                             {{key + ".lora_down.weight", weights::to_entry(down)},
                              {key + ".lora_up.weight", weights::to_entry(up)},
                              {key + ".lora_mid.weight", weights::to_entry(mid)}});
  const at::Tensor after =
      parameters(*with_loras(base(), std::vector{LoraUse{scratch.folder / "x.safetensors", 0.5}})).at(name);
  double expected = 0;  // one element by hand: ΔW[1, 2, 0, 1] = Σ up[1, o] mid[o, n, 0, 1] down[n, 2]
  for (int o = 0; o < 3; ++o)
    for (int n = 0; n < 2; ++n)
      expected += up[1][o].item<double>() * mid[o][n][0][1].item<double>() * down[n][2].item<double>();
  EXPECT_NEAR((after - before)[1][2][0][1].item<double>(), 0.5 * expected, 1e-5);
}

std::string problem_of(const std::map<std::string, weights::TensorEntry>& tensors, ErrorCode code) {
  const Scratch scratch;
  weights::write_safetensors(scratch.folder / "x.safetensors", tensors);
  try {
    read_lora(scratch.folder / "x.safetensors", *base());
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  }
  return "";
}

TEST(Lora, RefusesWhatHasNoPlace) {
  const auto entry = [](at::IntArrayRef shape) { return weights::to_entry(at::randn(shape)); };
  const std::string key = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
  EXPECT_THAT(problem_of({{"unet.nowhere.lora_A.weight", entry({2, 4})}}, ErrorCode::BadFile),
              HasSubstr("unet.nowhere.lora_A.weight"));
  EXPECT_THAT(problem_of({{key + ".lora_A.weight", entry({2, 32})}}, ErrorCode::BadFile),
              HasSubstr("down without up"));
  EXPECT_THAT(problem_of({{key + ".lora_A.weight", entry({2, 33})}, {key + ".lora_B.weight", entry({32, 2})}},
                         ErrorCode::BadFile),
              HasSubstr("up [32, 2] and down [2, 33] do not make the layer's"));
  EXPECT_THAT(problem_of({{key + ".lora_A.weight", entry({2, 32})}, {key + ".lora_B.weight", entry({32, 3})}},
                         ErrorCode::BadFile),
              HasSubstr("attn1.to_q"));
  EXPECT_THAT(problem_of({{"lora_unet_x.lokr_w1", entry({2, 2})}}, ErrorCode::Unsupported),
              HasSubstr("LoKr"));
  EXPECT_THAT(problem_of({{"lora_unet_x.hada_w1_a", entry({2, 2})}}, ErrorCode::Unsupported),
              HasSubstr("LoHa"));
  EXPECT_THAT(problem_of({{"lora_unet_x.dora_scale", entry({2, 2})}}, ErrorCode::Unsupported),
              HasSubstr("DoRA"));
}

}  // namespace
}  // namespace limn::adapters
