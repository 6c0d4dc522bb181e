// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/conditioning.h"

#include <algorithm>
#include <set>
#include <utility>

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>

#include "limn/base/error.h"

namespace limn::pipelines {
namespace {

/// Stable Diffusion XL reads the states before the last layer.
constexpr int64_t kLeftOutInXl = 1;

at::Tensor ids_of(const text::CLIPTokenizer& tokenizer, const std::string& text, const std::string& field,
                  std::vector<std::string>& warnings) {
  const auto padded = tokenizer.encode_padded(text);
  if (!padded.dropped.empty()) {
    std::string warning = field;
    warning.append(": CLIP reads at most ").append(std::to_string(tokenizer.max_length() - 2));
    warnings.push_back(warning.append(" tokens; left out: \"").append(padded.dropped).append("\""));
  }
  return at::tensor(padded.ids, at::kLong).unsqueeze(0);
}

/// One of a model's text encoders, as a language needs it.
struct Encoder {
  const text::CLIPTokenizer& tokenizer;
  text::EncodeIds run;
};

std::vector<Encoder> encoders_of(const models::Model& model, int64_t clip_skip) {
  const at::Device device = model.loaded_as.device;
  const auto moved = [device](const at::Tensor& mask) { return mask.defined() ? mask.to(device) : mask; };
  std::vector<Encoder> out;
  if (!model.is_xl()) {
    out.push_back(
        {model.tokenizer, [=, &model](const at::Tensor& ids, const at::Tensor& mask) {
           return text::TextEncoding{model.text_encoder->forward(ids.to(device), clip_skip, moved(mask)), {}};
         }});
    return out;
  }
  const int64_t left_out = clip_skip + kLeftOutInXl;
  if (model.text_encoder)
    out.push_back({model.tokenizer, [=, &model](const at::Tensor& ids, const at::Tensor& mask) {
                     return text::TextEncoding{
                         model.text_encoder->hidden_states(ids.to(device), left_out, moved(mask)), {}};
                   }});
  out.push_back({*model.tokenizer_2, [=, &model](const at::Tensor& ids, const at::Tensor& mask) {
                   const auto made = model.text_encoder_2->states(ids.to(device), left_out, moved(mask));
                   return text::TextEncoding{made.hidden_states, made.text_embeds};
                 }});
  return out;
}

/// Texts of one schedule and, for the last encoder, another one, through all encoders.
std::vector<Conditioning> encode(const models::Model& model, const Prompts& p,
                                 const std::vector<std::string>& texts, const std::string& text_2,
                                 const std::string& field, int64_t clip_skip,
                                 std::vector<std::string>& warnings) {
  const auto encoders = encoders_of(model, clip_skip);
  std::vector<std::vector<at::Tensor>> states(texts.size());
  std::vector<Conditioning> out(texts.size());
  for (size_t i = 0; i < encoders.size(); ++i) {
    const bool reads_second = !text_2.empty() && (i > 0 || (encoders.size() == 1 && model.is_xl()));
    const std::vector<std::string> own =
        reads_second ? std::vector<std::string>(texts.size(), text_2) : texts;
    std::vector<text::TextEncoding> made;
    if (p.syntax != text::PromptSyntax::Plain)
      made = encode_weighted(own, p.syntax, p.emphasis, encoders[i].tokenizer, encoders[i].run);
    else
      for (size_t k = 0; k < own.size(); ++k) {
        const bool second = i > 0 && own[k] != texts[k];
        std::vector<std::string> said_already;
        made.push_back(encoders[i].run(ids_of(encoders[i].tokenizer, own[k], second ? field + "_2" : field,
                                              i > 0 && !second ? said_already : warnings),
                                       {}));
      }
    for (size_t k = 0; k < made.size(); ++k) {
      states[k].push_back(made[k].hidden_states);
      if (made[k].text_embeds.defined()) out[k].text_embeds = made[k].text_embeds;
    }
  }
  for (size_t k = 0; k < out.size(); ++k) {
    int64_t tokens = states[k].front().size(1);
    for (const at::Tensor& state : states[k]) tokens = std::min(tokens, state.size(1));
    for (at::Tensor& state : states[k]) state = state.slice(1, 0, tokens);
    out[k].hidden_states = states[k].size() == 1 ? states[k].front() : at::cat(states[k], -1);
  }
  return out;
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
  const at::Tensor positive = time_ids(original, sizes.crops_coords_top_left, target,
                                       scored ? std::optional(sizes.aesthetic_score) : std::nullopt)
                                  .to(model.loaded_as.device);
  for (ComposedConditioning& composed : out.positive) composed.condition.time_ids = positive;
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
    out.negative->time_ids = positive;
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

/// A prompt that changes over the steps, encoded.
struct EncodedSchedule {
  std::vector<text::ScheduledText> schedule;
  std::vector<Conditioning> conditions;  // as many

  /// What holds at a model call.
  const Conditioning& at(int64_t call) const {
    for (size_t i = 0; i < schedule.size(); ++i)
      if (call <= schedule[i].until) return conditions[i];
    return conditions.back();
  }
};

std::vector<std::string> texts_of(const std::vector<text::ScheduledText>& schedule) {
  std::vector<std::string> out;
  for (const text::ScheduledText& entry : schedule) out.push_back(entry.text);
  return out;
}

/// As many tokens as `tokens`, the rest as the empty prompt has them: Compel.
void pad(Conditioning& condition, const at::Tensor& empty, int64_t tokens) {
  while (condition.hidden_states.size(1) < tokens)
    condition.hidden_states = at::cat({condition.hidden_states, empty}, 1);
}

/// Whether the negative prompt is zeros.
bool zeros_negative(const models::Model& model, const Prompts& p) {
  if (!model.is_xl() || !p.negative_prompt.value_or("").empty()) return false;
  const bool model_says = !p.negative_prompt && model.checkpoint.force_zeros_for_empty_prompt;
  return p.empty_negative == EmptyNegative::Zeros ||
         (p.empty_negative == EmptyNegative::AsTheModelSays && model_says);
}

}  // namespace

bool is_composed(const Prompts& prompts) {
  return prompts.syntax == text::PromptSyntax::A1111 && text::split_a1111_and(prompts.prompt).size() > 1;
}

std::vector<EncodedPrompts> encode_prompts(const models::Model& model, const Prompts& p,
                                           const MicroConditioning& sizes, int64_t width, int64_t height,
                                           bool guided, const PromptSteps& steps,
                                           std::vector<std::string>& warnings) {
  const bool composes = p.syntax == text::PromptSyntax::A1111;
  std::vector<text::WeightedText> parts{{p.prompt, 1}};
  if (composes) parts = text::split_a1111_and(p.prompt);
  const std::string negative = p.negative_prompt.value_or("");
  std::set<int64_t> ends;
  const auto schedule_of = [&](const std::string& text) {
    text::ScheduleRules rules{.steps = steps.steps, .old_rules = p.old_editing};
    if (steps.first_pass_steps) rules.hires_steps = std::exchange(rules.steps, *steps.first_pass_steps);
    const auto schedule = composes ? text::parse_a1111_schedule(text, rules)
                                   : std::vector<text::ScheduledText>{{steps.steps, text}};
    for (const text::ScheduledText& entry : schedule) ends.insert(entry.until);
    return schedule;
  };
  std::vector<EncodedSchedule> positives;
  for (const text::WeightedText& part : parts) {
    const auto schedule = schedule_of(part.text);
    positives.push_back(
        {schedule, encode(model, p, texts_of(schedule), p.prompt_2, "prompt", p.clip_skip, warnings)});
  }
  const bool zeros = zeros_negative(model, p);
  EncodedSchedule negatives{schedule_of(negative), {}};
  if (guided && !zeros)  // diffusers skips no layer here
    negatives.conditions = encode(model, p, texts_of(negatives.schedule), p.negative_prompt_2,
                                  "negative_prompt", p.skips_negative ? p.clip_skip : 0, warnings);

  std::vector<EncodedPrompts> out;
  for (const int64_t end : ends) {
    EncodedPrompts& now = out.emplace_back();
    now.until = end;
    for (size_t i = 0; i < parts.size(); ++i) now.positive.push_back({positives[i].at(end), parts[i].weight});
    const Conditioning& first = now.positive.front().condition;
    if (guided)
      now.negative =
          zeros ? Conditioning{at::zeros_like(first.hidden_states), at::zeros_like(first.text_embeds), {}}
                : negatives.at(end);
    if (!model.is_xl()) continue;
    add_time_ids(model, sizes, width, height, now);
    check_time_ids(model, first);
  }
  out.back().until = INT64_MAX;
  if (p.syntax == text::PromptSyntax::Compel && guided) {
    EncodedPrompts& all = out.back();
    const at::Tensor empty =
        encode(model, p, {""}, p.prompt_2, "prompt", p.clip_skip, warnings).front().hidden_states;
    Conditioning& positive = all.positive.front().condition;
    pad(positive, empty, all.negative->hidden_states.size(1));
    pad(*all.negative, empty, positive.hidden_states.size(1));
  }
  return out;
}

}  // namespace limn::pipelines
