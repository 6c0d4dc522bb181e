// SPDX-License-Identifier: Apache-2.0
// limn's kernels against the plain definitions of the layers. With LIMN_PLAIN set, the tests of this program run on the plain
// path: CTest runs them both ways.
#include <cstdlib>
#include <optional>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "goldens.h"
#include "limn/models/model.h"
#include "limn/nn/fast_path.h"

namespace limn {
namespace {

class PlainIfAsked : public testing::Environment {
 public:
  void SetUp() override {
    if (std::getenv("LIMN_PLAIN")) plain_.emplace();
  }
  void TearDown() override { plain_.reset(); }

 private:
  std::optional<nn::PlainPath> plain_;
};

const testing::Environment* const kPlainIfAsked = testing::AddGlobalTestEnvironment(new PlainIfAsked);

at::Tensor noise(at::IntArrayRef shape, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator);
}

TEST(FastPath, IsThePlainOneToWithinRounding) {
  const c10::InferenceMode inference;
  for (const char* name : {"sd1", "sd2", "inpaint"}) {
    const auto model = models::load_model(models::open_checkpoint(goldens() / "families" / name), {});
    const auto& config = model->unet->config();
    const at::Tensor sample = noise({2, config.in_channels, 17, 12}, 1), time = at::full({1}, 500.0),
                     latents = noise({1, model->vae->latent_channels(), 9, 16}, 3);
    const models::DenoiserCondition condition{.encoder_hidden_states =
                                                  noise({2, 77, config.cross_attention_dim.front()}, 2)};
    const at::Tensor output = model->unet->forward(sample, time, condition),
                     pixels = model->vae->decode(latents);
    EXPECT_TRUE(output.is_contiguous() && pixels.is_contiguous()) << name;
    const nn::PlainPath plain;
    // The promise is 1e-4 for one forward of the U-Net.
    EXPECT_LT(relative_l2(output, model->unet->forward(sample, time, condition)), 2e-5) << name;
    EXPECT_LT(relative_l2(pixels, model->vae->decode(latents)), 2e-5) << name;
  }
}

TEST(FastPath, IsAnotherPath) {
  const c10::InferenceMode inference;
  const auto model = models::load_model(models::open_checkpoint(goldens() / "families" / "sd1"), {});
  const at::Tensor latents = noise({1, 4, 16, 16}, 3), pixels = model->vae->decode(latents);
  const nn::PlainPath plain;
  EXPECT_FALSE(at::equal(pixels, model->vae->decode(latents)))
      << "the tests above would compare a path with itself";
}

}  // namespace
}  // namespace limn
