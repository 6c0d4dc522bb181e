// SPDX-License-Identifier: Apache-2.0
#include "limn/adapters/seamless.h"

#include "limn/adapters/twin.h"
#include "limn/base/error.h"
#include "limn/models/autoencoder_kl/autoencoder_kl.h"
#include "limn/models/autoencoder_tiny/autoencoder_tiny.h"
#include "limn/nn/layers.h"

namespace limn::adapters {
namespace {

template <typename Module>
std::shared_ptr<const Module> wrapped(const Module& base, bool x, bool y) {
  auto twin = twin_of(base);
  twin->for_each_module("", [&](const std::string&, nn::Module& module) {
    if (auto* convolution = dynamic_cast<nn::Conv2d*>(&module)) {
      convolution->wraps_x = x;
      convolution->wraps_y = y;
    }
  });
  return twin;
}

std::shared_ptr<const models::Autoencoder> wrapped_vae(const models::Autoencoder& base, bool x, bool y) {
  if (const auto* kl = dynamic_cast<const models::AutoencoderKL*>(&base)) return wrapped(*kl, x, y);
  const auto* tiny = dynamic_cast<const models::AutoencoderTiny*>(&base);
  LIMN_CHECK(tiny, "an autoencoder of a new kind");
  return wrapped(*tiny, x, y);
}

}  // namespace

std::shared_ptr<const models::Model> with_seamless_edges(const std::shared_ptr<const models::Model>& base,
                                                         bool x, bool y) {
  auto out = std::make_shared<models::Model>(*base);
  out->unet = wrapped(*base->unet, x, y);
  out->vae = wrapped_vae(*base->vae, x, y);
  return out;
}

}  // namespace limn::adapters
