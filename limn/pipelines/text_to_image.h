// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "limn/image/image.h"
#include "limn/models/model.h"
#include "limn/pipelines/denoise.h"

namespace limn::pipelines {

/// What is under the mask when repainting starts; one table, masked_contents().
enum class MaskedContent { Original, Fill, Noise, Nothing };
struct MaskedContentEntry {
  std::string_view name, help;
  MaskedContent content;
};
std::span<const MaskedContentEntry> masked_contents();

/// What grey in a mask means; one table, mask_modes().
enum class MaskMode { Hard, Soft, Differential };
struct MaskModeEntry {
  std::string_view name, help;
  MaskMode mode;
};
std::span<const MaskModeEntry> mask_modes();

/// How what the mask does not cover is kept while the rest is made.
enum class BlendRule {
  Samples,           // diffusers: the picture's latents at each step's level, after the step
  Denoised,          // A1111: the picture's latents in the clean picture of every model call
  InputAndDenoised,  // ComfyUI: so, and noised in what the model sees
};

/// What of a picture is made anew.
struct Inpainting {
  Image mask;  // one channel, width × height: 255 is made anew, 0 is kept
  MaskMode mode = MaskMode::Hard;
  MaskedContent content = MaskedContent::Original;  // Fill is the caller's: it changes the picture
  BlendRule blend = BlendRule::Samples;
};

/// Where noise comes from.
struct NoiseRules {
  schedulers::NoiseGenerator generator = schedulers::NoiseGenerator::Cpu;
  schedulers::NoiseVariation variation;
  schedulers::PartOfBatch part;  // of what one generator draws for
  uint64_t seed_delta = 0;       // added to the seeds for the sampler's own noise (A1111's "ENSD")
};

/// How strength becomes a step to start at.
enum class StartRule { Diffusers, A1111, ComfyUi };

/// What is drawn: one prompt, one picture a seed, all in one batch.
struct GenerateArgs {
  Prompts prompts;
  MicroConditioning sizes;
  Guidance guidance;
  int64_t width = 512, height = 512;  // pixels, multiples of the model's factor
  int64_t num_inference_steps = 50;   // the scheduler was made for
  std::vector<uint64_t> seeds;        // a picture each
  at::Tensor init_latents;            // [pictures, channels, h, w], instead of unit noise; may be undefined
  std::optional<Image> init_image;    // image to image: RGB, any size
  double strength = 0.8;              // of the change to init_image or start_latents, 0 to 1
  std::optional<int64_t> last_steps;  // how many of num_inference_steps are done, whatever the strength
  std::optional<int64_t> first_pass_steps;  // of a pass before this one: prompt editing counts on from them
  std::optional<Inpainting> inpainting;     // with init_image
  /// Latents to go on from, in the denoiser's scale: clean ones, noised by `strength`; with denoising_start those that
  /// another model left at that share of the noise levels. May be undefined.
  at::Tensor start_latents;
  std::optional<double> denoising_start, denoising_end;  // shares of the noise levels, 0 to 1
  NoiseRules noise;
  StartRule start_rule = StartRule::Diffusers;
  bool encodes_mean = false;  // a picture's latents are the encoder's mean, not drawn
  NoiseLevels levels;         // of the checkpoint; for self-attention guidance
  TiledDiffusion tiling;
  Shortcuts shortcuts;
  AnswerModel answer;  // empty: the model itself
  std::stop_token stop;
  std::function<void(const Step&)> on_step;
};

struct Generated {
  at::Tensor latents;  // float32 [pictures, channels, h, w], the denoiser's scale
  std::vector<std::string> warnings;
  double encode_seconds = 0, denoise_seconds = 0;
};

/// Text to image; with init_image, image to image, inpainting or editing by instruction, as the U-Net's input channels
/// and `inpainting` say. Equal to diffusers' pipelines for the same (StableDiffusion, Img2Img, Inpaint, InstructPix2Pix
/// and their XL forms) with a list of CPU generators, one a seed.
/// @param scheduler  made for this run
/// @throws Error{Cancelled}; Error{InvalidArgument} for latents of another shape, a strength that leaves no step, or
///         inputs that the model cannot use or lacks
Generated generate_latents(const models::Model& model, schedulers::Scheduler& scheduler,
                           const GenerateArgs& args);

/// Step of the schedule at which image to image starts (diffusers' get_timesteps), in model calls.
size_t first_step_of(double strength, int64_t num_inference_steps, const schedulers::Scheduler& scheduler,
                     StartRule rule = StartRule::Diffusers);

}  // namespace limn::pipelines
