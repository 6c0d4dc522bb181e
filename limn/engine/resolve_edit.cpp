// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/resolve_edit.h"

#include <algorithm>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/named_table.h"

namespace limn::engine {
namespace {

constexpr int kOutpaintOverlap = 16;  // pixels of the old picture that are made anew at its seams
constexpr uint8_t kHalf = 128;

Image resized(const Image& image, int64_t width, int64_t height) {
  return image.width == width && image.height == height
             ? image
             : resize_lanczos(image, static_cast<int>(width), static_cast<int>(height));
}

Image read_mask(const GenerateRequest& request, const Image& picture) {
  return resized(to_grey(read_image(request.mask)), picture.width, picture.height);
}

/// What the final picture takes over: all of what is masked, what is over one half, or as much as is grey.
Image cut(Image mask, pipelines::MaskMode mode) {
  if (mode == pipelines::MaskMode::Soft) return mask;
  const uint8_t least = mode == pipelines::MaskMode::Differential ? 1 : kHalf;
  for (uint8_t& value : mask.pixels) value = value >= least ? 255 : 0;
  return mask;
}

}  // namespace

Image Edit::finish(const Image& made) const {
  Image weights = blurred(mask, feather);
  for (size_t i = 0; i < weights.pixels.size();
       ++i)  // 0 at the mask's edge, 255 inside: nothing outside changes
    weights.pixels[i] = feather > 0 && mask.pixels[i]
                            ? static_cast<uint8_t>(std::clamp(2 * weights.pixels[i] - 255, 0, 255))
                            : mask.pixels[i];
  return composite(canvas, resized(made, area.width, area.height), weights, area);
}

bool is_edit(const GenerateRequest& request) { return !request.mask.empty() || !request.outpaint.empty(); }

Edit open_edit(const GenerateRequest& request, const Image& picture) {
  if (!request.mask.empty() && !request.outpaint.empty())
    throw Error(ErrorCode::InvalidArgument, "outpaint", "does not go with a mask",
                "paint beyond the edges first, then repaint parts");
  Edit out;
  out.feather = request.mask_blur;
  if (request.mask.empty()) {
    const auto side = [&](size_t i) { return static_cast<int>(request.outpaint[i]); };
    const Margins margins{side(0), side(1), side(2), side(3)};
    if (!margins.any())
      throw Error(ErrorCode::InvalidArgument, "outpaint", "expected pixels to add at one side or more");
    Extended large = extended(picture, margins, kOutpaintOverlap);
    out.canvas = std::move(large.picture);
    out.mask = std::move(large.mask);
  } else {
    out.canvas = to_rgb(picture);
    out.mask = read_mask(request, out.canvas);
  }
  if (bounds_of_mask(out.mask).empty())
    throw Error(ErrorCode::InvalidArgument, "mask",
                request.mask.string() + " is all black: nothing to repaint",
                "paint white what is to be made anew");
  return out;
}

void place_edit(const GenerateRequest& request, bool blurs_mask_first, Edit& edit,
                pipelines::GenerateArgs& args) {
  const bool masked_part = request.inpaint_area == "masked";
  Image mask = blurs_mask_first ? blurred(edit.mask, request.mask_blur) : edit.mask;  // of the steps
  if (!masked_part) {
    edit.canvas = resized(edit.canvas, args.width, args.height);
    edit.mask = resized(edit.mask, args.width, args.height);
    mask = resized(mask, args.width, args.height);
  }
  edit.area = masked_part ? area_around(bounds_of_mask(mask), static_cast<int>(request.mask_padding),
                                        static_cast<int>(args.width), static_cast<int>(args.height),
                                        edit.canvas.width, edit.canvas.height)
                          : Rect{0, 0, edit.canvas.width, edit.canvas.height};
  const auto& content = find_named(pipelines::masked_contents(), request.masked_content, "masked_content");
  const bool fills = content.content == pipelines::MaskedContent::Fill;
  const Image picture = fills ? filled(edit.canvas, cut(edit.mask, pipelines::MaskMode::Hard)) : edit.canvas;
  args.init_image = cropped(picture, edit.area);
  args.inpainting =
      pipelines::Inpainting{.mask = resized(cropped(mask, edit.area), args.width, args.height),
                            .mode = find_named(pipelines::mask_modes(), request.mask_mode, "mask_mode").mode,
                            .content = content.content};
  edit.mask = cut(edit.mask, args.inpainting->mode);
  if (args.inpainting->mode == pipelines::MaskMode::Soft) edit.feather = 0;  // it has its own
}

}  // namespace limn::engine
