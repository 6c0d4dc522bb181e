// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/conditioning.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>

#include "limn/base/error.h"

namespace limn::pipelines {
namespace {

/// Stable Diffusion XL reads the states before the last layer.
constexpr int64_t kLeftOutInXl = 1;

at::Tensor ids_of(const text::CLIPTokenizer& tokenizer, const std::string& text, const std::string& field,
                  const at::Device& device, std::vector<std::string>& warnings) {
  const auto padded = tokenizer.encode_padded(text);
  if (!padded.dropped.empty()) {
    std::string warning = field;
    warning.append(": CLIP reads at most ").append(std::to_string(tokenizer.max_length() - 2));
    warnings.push_back(warning.append(" tokens; left out: \"").append(padded.dropped).append("\""));
  }
  return at::tensor(padded.ids, at::kLong).unsqueeze(0).to(device);
}

/// One text through all encoders.
Conditioning encode(const models::Model& model, const std::string& text, const std::string& text_2,
                    const std::string& field, int64_t clip_skip, std::vector<std::string>& warnings) {
  const at::Device device = model.loaded_as.device;
  if (!model.is_xl())
    return {model.text_encoder->forward(ids_of(model.tokenizer, text, field, device, warnings), clip_skip),
            {},
            {}};
  std::vector<at::Tensor> states;
  if (model.text_encoder)
    states.push_back(model.text_encoder->hidden_states(ids_of(model.tokenizer, text, field, device, warnings),
                                                       clip_skip + kLeftOutInXl));
  const bool same = text_2.empty() || text_2 == text;
  std::vector<std::string> said_already;
  const auto second = model.text_encoder_2->states(
      ids_of(*model.tokenizer_2, same ? text : text_2, same ? field : field + "_2", device,
             same && model.text_encoder ? said_already : warnings),
      clip_skip + kLeftOutInXl);
  states.push_back(second.hidden_states);
  return {at::cat(states, -1), second.text_embeds, {}};
}

at::Tensor time_ids(const MicroConditioning::Size& original, const MicroConditioning::Size& crop,
                    const MicroConditioning::Size& target, std::optional<double> aesthetic_score) {
  std::vector<double> ids{static_cast<double>(original.height), static_cast<double>(original.width),
                          static_cast<double>(crop.height), static_cast<double>(crop.width)};
  if (aesthetic_score)
    ids.push_back(*aesthetic_score);
  else
    ids.insert(ids.end(), {static_cast<double>(target.height), static_cast<double>(target.width)});
  return at::tensor(ids, at::kFloat).unsqueeze(0);
}

/// As diffusers' _get_add_time_ids: negative sizes count only where both are given, or where there is a score.
void add_time_ids(const models::Model& model, const MicroConditioning& sizes, int64_t width, int64_t height,
                  EncodedPrompts& out) {
  const MicroConditioning::Size own{height, width};
  const MicroConditioning::Size original = sizes.original_size.value_or(own),
                                target = sizes.target_size.value_or(own);
  const bool scored = model.checkpoint.requires_aesthetics_score;
  out.positive.time_ids = time_ids(original, sizes.crops_coords_top_left, target,
                                   scored ? std::optional(sizes.aesthetic_score) : std::nullopt)
                              .to(model.loaded_as.device);
  if (!out.negative) return;
  if (scored)
    out.negative->time_ids =
        time_ids(sizes.negative_original_size.value_or(original), sizes.negative_crops_coords_top_left,
                 sizes.negative_target_size.value_or(target), sizes.negative_aesthetic_score)
            .to(model.loaded_as.device);
  else if (sizes.negative_original_size && sizes.negative_target_size)
    out.negative->time_ids = time_ids(*sizes.negative_original_size, sizes.negative_crops_coords_top_left,
                                      *sizes.negative_target_size, {})
                                 .to(model.loaded_as.device);
  else
    out.negative->time_ids = out.positive.time_ids;
}

void check_time_ids(const models::Model& model, const Conditioning& of) {
  const models::UNet2DConditionConfig& unet = model.unet->config();
  const int64_t found = of.text_embeds.size(1) + of.time_ids.size(1) * unet.addition_time_embed_dim;
  if (found != unet.addition_input_dim)
    throw Error(ErrorCode::BadFile, model.checkpoint.path.string(),
                "the U-Net wants " + std::to_string(unet.addition_input_dim) +
                    " numbers of text and sizes, the model gives " + std::to_string(found),
                "requires_aesthetics_score in model_index.json may be wrong");
}

}  // namespace

EncodedPrompts encode_prompts(const models::Model& model, const Prompts& p, const MicroConditioning& sizes,
                              int64_t width, int64_t height, bool guided,
                              std::vector<std::string>& warnings) {
  EncodedPrompts out;
  out.positive = encode(model, p.prompt, p.prompt_2, "prompt", p.clip_skip, warnings);
  if (guided) {
    const bool zeros = model.is_xl() && !p.negative_prompt && model.checkpoint.force_zeros_for_empty_prompt;
    if (zeros)
      out.negative = {
          at::zeros_like(out.positive.hidden_states), at::zeros_like(out.positive.text_embeds), {}};
    else  // diffusers skips no layer here
      out.negative =
          encode(model, p.negative_prompt.value_or(""), p.negative_prompt_2, "negative_prompt", 0, warnings);
  }
  if (model.is_xl()) {
    add_time_ids(model, sizes, width, height, out);
    check_time_ids(model, out.positive);
  }
  return out;
}

}  // namespace limn::pipelines
