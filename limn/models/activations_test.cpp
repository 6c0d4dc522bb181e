// SPDX-License-Identifier: Apache-2.0
// What is predicted against what LibTorch's allocator reports.
#include "limn/models/activations.h"

#include <ATen/Parallel.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>

#include "limn/models/allocations_testing.h"
#include "limn/models/model.h"
#include "limn/nn/fast_path.h"

namespace limn::models {
namespace {

namespace fs = std::filesystem;

template <typename Body>
double measured(const Body& body) {
  const c10::InferenceMode inference;
  body();  // what is made once only
  const auto allocations = std::make_shared<testing::Allocations>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, allocations);
  body();
  return static_cast<double>(allocations->most);
}

struct Case {
  const char* model;
  int64_t batch, height, width;  // of the latents
  bool plain;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.model << " " << c.batch << "×" << c.height << "×" << c.width << (c.plain ? " plain" : " fast");
}

class ActivationsTest : public ::testing::TestWithParam<Case> {
 protected:
  static constexpr int64_t kTokens = 77;

  const std::shared_ptr<const Model> model_ =
      load_model(open_checkpoint(fs::path(LIMN_SOURCE_DIR) / GetParam().model), {});
  const Case c_ = GetParam();
  const Arithmetic how_{.fast = !c_.plain && nn::has_kernels(), .converts_weights = converts_weights()};
  const nn::PlainPath plain_{c_.plain};

  bool converts_weights() const {
    bool narrow = false;
    const_cast<UNet2DConditionModel&>(*model_->unet)
        .for_each_parameter(
            "", [&](const std::string&, at::Tensor& tensor) { narrow |= tensor.element_size() == 2; });
    return narrow;
  }
};

TEST_P(ActivationsTest, OfTheUNetAreWhatTheAllocatorReports) {
  const UNet2DConditionConfig& config = model_->unet->config();
  const double found = measured([&] {
    const at::Tensor sample = at::randn({c_.batch, config.in_channels, c_.height, c_.width});
    const at::Tensor states = at::randn({c_.batch, kTokens, config.cross_attention_dim.front()});
    DenoiserCondition condition{.encoder_hidden_states = states};
    if (config.addition_embed == AdditionEmbedding::TextTime) {
      condition.text_embeds =
          at::randn({c_.batch, config.addition_input_dim - 6 * config.addition_time_embed_dim});
      condition.time_ids = at::randn({c_.batch, 6});
    }
    model_->unet->forward(sample, at::randn({1}), condition);
  });
  const Activations predicted = unet_activations(config, how_, {c_.batch, c_.height, c_.width}, kTokens);
  EXPECT_NEAR(static_cast<double>(predicted.tensors) / found, 1, 0.1) << found / (1 << 20) << " MiB";
}

TEST_P(ActivationsTest, OfTheAutoencoderAreWhatTheAllocatorReports) {
  const auto& vae = dynamic_cast<const AutoencoderKL&>(*model_->vae);
  const int64_t channels = vae.config().latent_channels, factor = vae.factor();
  const double decoding = measured([&] { vae.decode(at::randn({1, channels, c_.height, c_.width})); });
  const double encoding = measured([&] {
    vae.encode(at::randn({1, 3, c_.height * factor, c_.width * factor}));
  });
  EXPECT_NEAR(static_cast<double>(decoder_activations(vae.config(), how_, {1, c_.height, c_.width}).tensors) /
                  decoding,
              1, 0.1)
      << decoding / (1 << 20) << " MiB";
  EXPECT_NEAR(
      static_cast<double>(
          encoder_activations(vae.config(), how_, {1, c_.height * factor, c_.width * factor}).tensors) /
          encoding,
      1, 0.1)
      << encoding / (1 << 20) << " MiB";
}

INSTANTIATE_TEST_SUITE_P(Sizes, ActivationsTest,
                         ::testing::Values(Case{"data/embedded", 2, 16, 16, false},
                                           Case{"data/embedded", 2, 16, 16, true},
                                           Case{"data/embedded", 1, 24, 40, false},
                                           Case{"tests/goldens/tiny_sd1", 2, 32, 32, false},
                                           Case{"tests/goldens/tiny_sd1", 2, 32, 32, true},
                                           Case{"tests/goldens/families/sdxl", 2, 64, 64, false},
                                           Case{"tests/goldens/families/sdxl", 2, 32, 32, true}));

}  // namespace
}  // namespace limn::models
