// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/denoiser.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/reflection_pad2d.h>
#include <ATen/ops/std.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/ops/zeros.h>

#include "limn/base/error.h"
#include "limn/pipelines/tiles.h"

namespace limn::pipelines {
namespace {

constexpr double kTrainTimesteps = 1000;

at::Tensor expanded(const at::Tensor& x, int64_t batch) {
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes[0] = batch;
  return x.expand(sizes);
}

/// Gaussian blur of kernel 9 and σ 1, the edges mirrored: Hong et al. 2023, §5.
at::Tensor blurred(const at::Tensor& x) {
  constexpr int64_t kKernel = 9;
  const at::Tensor offsets = at::linspace(-(kKernel - 1) / 2.0, (kKernel - 1) / 2.0, kKernel, x.options());
  const at::Tensor weights = at::exp(-0.5 * offsets * offsets);
  const at::Tensor line = weights / weights.sum();
  const at::Tensor kernel =
      (line.unsqueeze(1) * line.unsqueeze(0)).expand({x.size(1), 1, kKernel, kKernel}).contiguous();
  const int64_t pad = kKernel / 2;
  const std::vector<int64_t> one{1, 1}, none{0, 0};
  return at::conv2d(at::reflection_pad2d(x, {pad, pad, pad, pad}), kernel, std::optional<at::Tensor>{},
                    at::IntArrayRef(one), at::IntArrayRef(none), at::IntArrayRef(one), x.size(1));
}

/// Lin et al. 2023, eq. 15 and 16: the guided output with the spread of the conditional one, mixed in by φ.
at::Tensor rescaled(const at::Tensor& guided, const at::Tensor& conditional, double phi) {
  const std::vector<int64_t> dims{1, 2, 3};
  const at::Tensor wanted = conditional.std(dims, true, true), found = guided.std(dims, true, true);
  return phi * (guided * (wanted / found)) + (1 - phi) * guided;
}

bool same(const Conditioning& a, const Conditioning& b) {
  return a.hidden_states.is_same(b.hidden_states) && a.text_embeds.is_same(b.text_embeds) &&
         a.time_ids.is_same(b.time_ids);
}

void check_shortcuts(const Shortcuts& shortcuts, const Guidance& guidance,
                     const models::UNet2DConditionModel& unet) {
  if (shortcuts.step_cache <= 1) return;
  if (guidance.sag_scale > 0)
    throw Error(ErrorCode::InvalidArgument, "step_cache",
                "does not go with sag_scale, which looks at the deepest layers at each step",
                "use pag_scale");
  const auto most = static_cast<int64_t>(unet.skip_count()) - 2;
  if (shortcuts.step_cache_branch > most)
    throw Error(ErrorCode::InvalidArgument, "step_cache_branch",
                "expected 0 to " + std::to_string(most) + ", for this model, found " +
                    std::to_string(shortcuts.step_cache_branch));
}

}  // namespace

double NoiseLevels::alpha_bar(double timestep) const {
  LIMN_CHECK(!alphas_cumprod.empty(), "no noise levels");
  const auto last = static_cast<double>(alphas_cumprod.size() - 1);
  return alphas_cumprod[static_cast<size_t>(std::clamp(std::round(timestep), 0.0, last))];
}

/// Which of the methods a step uses.
struct GuidedDenoiser::Plan {
  bool guided = false, attends_to_itself = false;
  double pag_scale = 0;
};

GuidedDenoiser::GuidedDenoiser(const models::UNet2DConditionModel& unet, std::vector<Branches> branches,
                               const Guidance& guidance, const NoiseLevels& levels,
                               const TiledDiffusion& tiling, const Shortcuts& shortcuts)
    : unet_(unet),
      branches_(std::move(branches)),
      guidance_(guidance),
      levels_(levels),
      tiling_(tiling),
      shortcuts_(shortcuts) {
  check_shortcuts(shortcuts, guidance, unet);
  LIMN_CHECK(!branches_.empty() && !branches_.front().positive.empty(), "a denoiser needs a prompt");
}

GuidedDenoiser::Plan GuidedDenoiser::plan_of(const Moment& moment) const {
  Plan plan;
  plan.guided =
      branches_.front().negative && moment.progress >= guidance_.start && moment.progress <= guidance_.end;
  if (plan.guided && moment.step % 2 == 1 && moment.sigma < guidance_.skip_below_sigma) plan.guided = false;
  plan.pag_scale = guidance_.pag_scale;
  if (guidance_.pag_adaptive_scale > 0)
    plan.pag_scale = std::max(
        guidance_.pag_scale - guidance_.pag_adaptive_scale * (kTrainTimesteps - moment.timestep), 0.0);
  plan.attends_to_itself = guidance_.sag_scale > 0;
  return plan;
}

Prediction GuidedDenoiser::predict(const at::Tensor& input, const at::Tensor& latents, const Moment& moment) {
  const Plan plan = plan_of(moment);
  const bool fits = tiling_.tile <= 0 || std::max(input.size(2), input.size(3)) <= tiling_.tile;
  const auto holds = std::ranges::find_if(branches_, [&](const Branches& branches) {
    return static_cast<int64_t>(moment.step) <= branches.until;
  });
  const auto now = std::min(static_cast<size_t>(holds - branches_.begin()), branches_.size() - 1);
  if (now != now_) told_.clear();
  now_ = now;
  const Call call{input, moment.timestep, moment.step};
  return fits ? predict_whole(call, latents, plan, branches_[now])
              : predict_tiled(call, latents, plan, branches_[now]);
}

Prediction GuidedDenoiser::predict_tiled(const Call& call, const at::Tensor& latents, const Plan& plan,
                                         const Branches& branches) {
  const at::Tensor& input = call.input;
  size_t number = 0;
  Prediction sum{at::zeros_like(input), {}};
  at::Tensor weights = at::zeros({1, 1, input.size(2), input.size(3)}, input.options());
  for (const Tile& tile : tiles_of(input.size(2), input.size(3), tiling_.tile, tiling_.overlap)) {
    const auto cut = [&](const at::Tensor& whole) { return tile.of(whole); };
    Branches parts = branches;
    const auto cut_channels = [&](Branch& branch) {
      if (branch.channels.defined()) branch.channels = cut(branch.channels);
    };
    for (Branch& branch : parts.positive) cut_channels(branch);
    if (parts.negative) cut_channels(*parts.negative);
    if (parts.image_only) cut_channels(*parts.image_only);
    const Prediction made =
        predict_whole({cut(input), call.timestep, call.step, number++}, cut(latents), plan, parts);
    const at::Tensor weight = tile.weights(tiling_.overlap).to(input.options());
    cut(sum.guided).add_(made.guided * weight);
    cut(weights).add_(weight);
    if (!made.unconditional.defined()) continue;
    if (!sum.unconditional.defined()) sum.unconditional = at::zeros_like(input);
    cut(sum.unconditional).add_(made.unconditional * weight);
  }
  sum.guided.div_(weights);
  if (sum.unconditional.defined()) sum.unconditional.div_(weights);
  return sum;
}

/// What is kept for these branches, made at their first call.
GuidedDenoiser::Told& GuidedDenoiser::told_by(const std::vector<const Branch*>& branches, int64_t batch) {
  for (Told& told : told_)
    if (told.batch == batch && std::ranges::equal(told.conditions, branches,
                                                  [](const Conditioning& condition, const Branch* branch) {
                                                    return same(condition, branch->condition);
                                                  }))
      return told;
  Told& told = told_.emplace_back();
  told.batch = batch;
  std::vector<at::Tensor> states, embeds, ids;
  for (const Branch* branch : branches) {
    const Conditioning& condition = told.conditions.emplace_back(branch->condition);
    states.push_back(condition.hidden_states);
    if (!condition.text_embeds.defined()) continue;
    embeds.push_back(expanded(condition.text_embeds, batch));
    ids.push_back(expanded(condition.time_ids, batch));
  }
  told.condition.encoder_hidden_states = at::cat(states, 0);
  if (!embeds.empty()) {
    told.condition.text_embeds = at::cat(embeds, 0);
    told.condition.time_ids = at::cat(ids, 0);
  }
  if (const auto dim = unet_.config().time_cond_proj_dim)
    told.condition.timestep_cond =
        guidance_scale_embedding(guidance_.scale - 1, *dim).to(states.front().options());
  return told;
}

/// The U-Net's output for each branch, [batch, channels, h, w] each. Branches of as many tokens share a call.
std::vector<at::Tensor> GuidedDenoiser::run(const Call& call, const std::vector<const Branch*>& branches,
                                            models::UNetControls controls) {
  const at::Tensor& input = call.input;
  const int64_t batch = input.size(0);
  const at::TensorOptions options = branches.front()->condition.hidden_states.options();
  const at::Tensor t = at::full({1}, call.timestep, options.dtype(at::kFloat));
  std::vector<at::Tensor> out;
  for (size_t first = 0, last; first < branches.size(); first = last) {
    const auto tokens = [&](size_t i) { return branches[i]->condition.hidden_states.size(1); };
    const bool in_turn = guidance_.in_turn && controls.identity_blocks.empty() && !controls.mid_attention;
    for (last = first + 1; !in_turn && last < branches.size() && tokens(last) == tokens(first);) ++last;
    const std::vector<const Branch*> asked(branches.begin() + static_cast<ptrdiff_t>(first),
                                           branches.begin() + static_cast<ptrdiff_t>(last));
    Told& told = told_by(asked, batch);
    models::DenoiserCondition condition = told.condition;
    condition.keys = &told.keys;
    condition.controls = &controls;
    if (shortcuts_.step_cache > 1) {
      Told::Deep& deep = told.deep[{call.tile, first}];
      if (call.step - deep.step >= static_cast<size_t>(shortcuts_.step_cache)) deep.feature.value.reset();
      if (!deep.feature.value.defined()) deep.step = call.step;
      deep.feature.skip = static_cast<size_t>(shortcuts_.step_cache_branch) + 1;
      controls.deep = &deep.feature;
    }
    std::vector<at::Tensor> inputs;
    for (const Branch* branch : asked)
      inputs.push_back(branch->channels.defined()
                           ? at::cat({input, expanded(branch->channels, batch).to(input.options())}, 1)
                           : input);
    // What comes before the texts is the same for all branches, unless something else tells them apart.
    const bool alike = !condition.text_embeds.defined() && controls.identity_blocks.empty() &&
                       std::ranges::all_of(asked, [&](const Branch* branch) {
                         return branch->channels.is_same(asked.front()->channels);
                       });
    if (alike) {
      condition.copies = static_cast<int64_t>(asked.size());
      inputs.resize(1);
    }
    const at::Tensor made = unet_.forward(at::cat(inputs, 0).to(options), t, condition).to(input.options());
    for (const at::Tensor& part : made.split(batch, 0)) out.push_back(part);
  }
  return out;
}

Prediction GuidedDenoiser::predict_whole(const Call& call, const at::Tensor& latents, const Plan& plan,
                                         const Branches& branches) {
  std::vector<const Branch*> asked;
  if (plan.guided) asked.push_back(&*branches.negative);
  if (plan.guided && branches.image_only) asked.push_back(&*branches.image_only);
  const size_t first_positive = asked.size();
  for (const Branch& branch : branches.positive) asked.push_back(&branch);
  const size_t perturbed = asked.size();
  if (plan.pag_scale > 0) asked.push_back(&branches.positive.front());

  models::UNetControls controls{.token_merging = shortcuts_.token_merging};
  if (guidance_.freeu) controls.freeu = &*guidance_.freeu;
  if (plan.pag_scale > 0) {
    controls.identity_blocks = guidance_.pag_blocks;
    controls.identity_from = static_cast<int64_t>(perturbed) * call.input.size(0);
  }
  at::Tensor attention;
  int64_t height = 0, width = 0;
  if (plan.attends_to_itself) {
    controls.mid_attention = &attention;
    controls.mid_height = &height;
    controls.mid_width = &width;
  }
  const std::vector<at::Tensor> made = run(call, asked, controls);
  const at::Tensor& conditional = made[first_positive];

  Prediction out{conditional, {}};
  if (plan.guided) {
    out.unconditional = made[0];
    const at::Tensor& base = branches.image_only ? made[1] : made[0];
    out.guided = made[0];
    if (branches.image_only) out.guided = out.guided + guidance_.image_scale * (made[1] - made[0]);
    for (size_t i = 0; i < branches.positive.size(); ++i)
      out.guided =
          out.guided + guidance_.scale * branches.positive[i].weight * (made[first_positive + i] - base);
  } else if (branches.positive.size() > 1) {  // A1111: the first in the place of the negative prompt
    for (size_t i = 0; i < branches.positive.size(); ++i)
      out.guided = out.guided + branches.positive[i].weight * (made[first_positive + i] - conditional);
  }
  if (plan.pag_scale > 0) out.guided = out.guided + plan.pag_scale * (conditional - made[perturbed]);
  if (plan.attends_to_itself) {
    const Branch& branch = plan.guided ? *branches.negative : branches.positive.front();
    const at::Tensor& plain = made.front();
    out.guided = out.guided + guidance_.sag_scale *
                                  (plain - self_attention_guidance(latents, plain,
                                                                   attention.slice(0, 0, call.input.size(0)),
                                                                   height, width, call.timestep, branch));
  }
  if (plan.guided && guidance_.rescale > 0) out.guided = rescaled(out.guided, conditional, guidance_.rescale);
  return out;
}

/// What the U-Net makes of a picture that was blurred where it attended most: Hong et al. 2023, alg. 1.
at::Tensor GuidedDenoiser::self_attention_guidance(const at::Tensor& latents, const at::Tensor& output,
                                                   const at::Tensor& probabilities, int64_t height,
                                                   int64_t width, double timestep, const Branch& branch) {
  const double alpha = levels_.alpha_bar(timestep);
  const double signal = std::sqrt(alpha), noise = std::sqrt(1 - alpha);
  at::Tensor x0, epsilon;
  switch (levels_.prediction) {
    case schedulers::Prediction::Epsilon:
      x0 = (latents - noise * output) / signal;
      epsilon = output;
      break;
    case schedulers::Prediction::VPrediction:
      x0 = signal * latents - noise * output;
      epsilon = noise * latents + signal * output;
      break;
    default:
      x0 = output;
      epsilon = (latents - signal * output) / noise;
  }
  // How much all tokens together look at each, over 1: [batch, 1, h, w]
  const at::Tensor mask =
      at::upsample_nearest2d((probabilities.mean(1).sum(1) > 1.0).to(at::kFloat).view({-1, 1, height, width}),
                             {latents.size(2), latents.size(3)});
  const at::Tensor degraded = blurred(x0) * mask + x0 * (1 - mask);
  return run({signal * degraded + noise * epsilon, timestep}, {&branch},
             {.token_merging = shortcuts_.token_merging})
      .front();
}

at::Tensor guidance_scale_embedding(double w, int64_t dim) {
  const int64_t half = dim / 2;
  const at::Tensor frequencies =
      at::exp(at::arange(half, at::kFloat) * (-std::log(10000.0) / static_cast<double>(half - 1)));
  const at::Tensor angles = static_cast<double>(static_cast<float>(w) * 1000.0F) * frequencies;
  return at::cat({angles.sin(), angles.cos()}, 0).unsqueeze(0);
}

}  // namespace limn::pipelines
