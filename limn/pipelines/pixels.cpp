// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/pixels.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/round.h>

#include "limn/base/error.h"

namespace limn::pipelines {

at::Tensor to_pixels(const Image& image) {
  LIMN_CHECK(image.channels == 3, "to_pixels takes RGB");
  const at::Tensor bytes =
      at::from_blob(const_cast<uint8_t*>(image.pixels.data()), {1, image.height, image.width, 3}, at::kByte);
  return (2.0 * (bytes.to(at::kFloat) / 255.0) - 1.0).permute({0, 3, 1, 2}).contiguous();
}

Image to_image(const at::Tensor& pixels) {
  const at::Tensor bytes = at::round(at::clamp(pixels * 0.5 + 0.5, 0.0, 1.0) * 255.0)
                               .to(at::kByte)
                               .squeeze(0)
                               .permute({1, 2, 0})
                               .contiguous();  // [height, width, 3]
  Image image{.width = static_cast<int>(bytes.size(1)),
              .height = static_cast<int>(bytes.size(0)),
              .channels = 3,
              .pixels = {}};
  image.pixels.assign(bytes.const_data_ptr<uint8_t>(), bytes.const_data_ptr<uint8_t>() + bytes.numel());
  return image;
}

}  // namespace limn::pipelines
