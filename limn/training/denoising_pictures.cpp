// SPDX-License-Identifier: Apache-2.0
// What a denoising task draws: previews, and pictures to look for in the training data.
#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cdist.h>
#include <ATen/ops/empty.h>

#include "limn/base/error.h"
#include "limn/pipelines/decode.h"
#include "limn/pipelines/pixels.h"
#include "limn/pipelines/text_to_image.h"
#include "limn/schedulers/scheduler.h"
#include "limn/training/denoising_task.h"

namespace limn::training {
namespace {

constexpr int64_t kThumbnail = 16;   // pixels a side, compared to find candidates
constexpr int64_t kCandidates = 64;  // looked at more closely, by embedding

std::unique_ptr<schedulers::Scheduler> scheduler_of(const json::object& config, int64_t steps) {
  const std::string name = Fields(config, "scheduler_config.json").string("_class_name", "DDIMScheduler");
  for (const schedulers::SchedulerEntry& entry : schedulers::all())
    if (entry.class_name == name)
      return entry.make(schedulers::config_for(entry, config), {.num_inference_steps = steps},
                        "scheduler_config.json");
  throw Error(ErrorCode::Unsupported, "scheduler_config.json: _class_name", "no scheduler " + name);
}

at::Tensor thumbnail(const at::Tensor& pixels) {  // [batch, 3, height, width] → [batch, 3 · 16 · 16]
  return at::adaptive_avg_pool2d(pixels, {kThumbnail, kThumbnail}).flatten(1);
}

at::Tensor thumbnails(const datasets::Dataset& data) {
  std::vector<at::Tensor> out;
  for (int64_t i = 0; i < data.size(); ++i) {
    const Batch batch = load_batch(data, {i}, 0, 1, nullptr, {});
    out.push_back(thumbnail(to_unit_pixels(batch.pixels, at::kCPU)));
  }
  return out.empty() ? at::empty({0, 3 * kThumbnail * kThumbnail}) : at::cat(out);
}

Image image_of(const datasets::Example& example) {
  return {example.width, example.height, 3, {example.pixels.begin(), example.pixels.end()}};
}

struct Nearest {
  int64_t example = -1;
  double pixels = 0;      // root mean square difference of 16 × 16 thumbnails, of 2
  double similarity = 0;  // cosine of the latents
};

}  // namespace

std::vector<Image> DenoisingTask::draw(const std::vector<std::string>& prompts, int64_t width,
                                       int64_t height) const {
  const at::NoGradGuard no_grad;
  const auto model = networks_.model();
  std::vector<Image> out;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto scheduler = scheduler_of(networks_.checkpoint.scheduler_config, config_.preview_steps);
    const Autocast autocast(bfloat16_, device_.type());
    const auto generated =
        pipelines::generate_latents(*model, *scheduler,
                                    {.prompts = {.prompt = prompts[i]},
                                     .guidance = {.scale = config_.preview_guidance},
                                     .width = width,
                                     .height = height,
                                     .num_inference_steps = config_.preview_steps,
                                     .seeds = {static_cast<uint64_t>(config_.preview_seed) + i}});
    out.push_back(pipelines::to_image(
        pipelines::decode_latents(*model->vae, generated.latents, {}, {}).to(at::kFloat)));
  }
  return out;
}

std::vector<SamplePicture> DenoisingTask::preview(const datasets::Dataset&) {
  if (word_.defined() || config_.prompts.empty()) return {};
  const datasets::Bucket& bucket = data_->buckets().front();
  const auto pictures = draw(config_.prompts, bucket.width, bucket.height);
  std::vector<SamplePicture> out;
  for (size_t i = 0; i < pictures.size(); ++i) out.push_back({config_.prompts[i], pictures[i]});
  return out;
}

at::Tensor DenoisingTask::embed(const std::vector<Image>& pictures) const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> out;
  for (const Image& picture : pictures) {
    const at::Tensor mean =
        networks_.vae->encode(pipelines::to_pixels(picture).to(device_)).mean.to(at::kCPU, at::kFloat);
    const at::Tensor centred = mean - mean.mean({2, 3}, true);
    out.push_back(centred.flatten(1) / centred.norm().clamp_min(1e-9));
  }
  return at::cat(out);
}

json::object DenoisingTask::memorisation(const datasets::Dataset& train, const datasets::Dataset& held_out) {
  const int64_t count = std::min(config_.memorisation_samples, train.size());
  if (count == 0 || word_.defined()) return {};
  const at::NoGradGuard no_grad;
  const at::Tensor known = thumbnails(train);
  const auto nearest_of = [&](const Image& picture) {
    const at::Tensor distances = at::cdist(thumbnail(pipelines::to_pixels(picture)), known)[0];
    const auto [values, indices] = distances.topk(std::min(kCandidates, train.size()), 0, /*largest=*/false);
    std::vector<Image> candidates;
    for (int64_t k = 0; k < indices.size(0); ++k) {
      const datasets::Example example = train.at(indices[k].item<int64_t>());
      if (example.width == picture.width && example.height == picture.height)
        candidates.push_back(image_of(example));
    }
    Nearest out{indices[0].item<int64_t>(),
                values[0].item<double>() / std::sqrt(3.0 * kThumbnail * kThumbnail), 0};
    if (!candidates.empty())
      out.similarity = embed(candidates).matmul(embed({picture})[0]).max().item<double>();
    return out;
  };

  std::vector<std::string> prompts;
  for (int64_t i = 0; i < count; ++i) prompts.emplace_back(train.at(i * train.size() / count).caption);
  const datasets::Bucket& bucket = train.buckets().front();
  const auto drawn = draw(prompts, bucket.width, bucket.height);
  json::array rows;
  double pixels = 0, similarity = 0;
  for (size_t i = 0; i < drawn.size(); ++i) {
    const Nearest nearest = nearest_of(drawn[i]);
    pixels += nearest.pixels / static_cast<double>(count);
    similarity += nearest.similarity / static_cast<double>(count);
    rows.push_back(json::object{{"prompt", prompts[i]},
                                {"nearest_row", train.at(nearest.example).row},
                                {"nearest_caption", std::string(train.at(nearest.example).caption)},
                                {"pixel_distance", nearest.pixels},
                                {"embedding_similarity", nearest.similarity}});
  }
  double held_pixels = 0, held_similarity = 0;
  const int64_t held = std::min(count, held_out.size());
  for (int64_t i = 0; i < held; ++i) {
    const Nearest nearest = nearest_of(image_of(held_out.at(i * held_out.size() / held)));
    held_pixels += nearest.pixels / static_cast<double>(held);
    held_similarity += nearest.similarity / static_cast<double>(held);
  }
  return {{"generated", count},
          {"mean_pixel_distance", pixels},
          {"mean_embedding_similarity", similarity},
          {"held_out", held},
          {"held_out_mean_pixel_distance", held_pixels},
          {"held_out_mean_embedding_similarity", held_similarity},
          {"pictures", rows}};
}

}  // namespace limn::training
