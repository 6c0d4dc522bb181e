// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

namespace limn::schedulers {

/// Who makes random numbers.
enum class NoiseGenerator {
  Cpu,     // torch's on the CPU, a generator a picture: diffusers with a list of generators, A1111's "CPU"
  Philox,  // torch's on CUDA, made on the CPU, a generator a picture: A1111's "NV"
  Shared,  // torch's on the CPU, one for the batch: ComfyUI
};
/// One row of the table of generators that --noise names.
struct NoiseGeneratorEntry {
  std::string_view name, help;
  NoiseGenerator generator;
};
std::span<const NoiseGeneratorEntry> noise_generators();

/// How the noise of a sampler's steps hangs together.
enum class NoiseKind {
  Independent,  // drawn anew at each step
  Brownian,  // increments of one Brownian motion over σ, so that it does not depend on the number of steps
};

/// Pictures of a larger batch that one generator draws for.
struct PartOfBatch {
  int64_t first = 0;
  int64_t whole = 0;  // pictures of the batch; 0: no more than there are seeds
};

/// Standard normal noise for a batch. One thread at a time.
class NoiseSource {
 public:
  /// A generator seeded with each of `seeds`, as torch.Generator().manual_seed(seed); with NoiseGenerator::Shared the
  /// first seed alone counts, and `part` says which of the pictures it draws for are made.
  static NoiseSource seeded(std::span<const uint64_t> seeds, NoiseGenerator generator = NoiseGenerator::Cpu,
                            const PartOfBatch& part = {});

  /// The same generators, made anew with `delta` added to their seeds (A1111's "ENSD"). Brownian noise stays as it is.
  NoiseSource reseeded(uint64_t delta) const;

  /// @param shape  [batch, …]; batch must equal the number of seeds
  /// @return       float32 on the CPU
  at::Tensor draw(at::IntArrayRef shape) const;

  /// Noise for a sampler's steps: a function of the level it comes from and the level it goes to.
  /// @param shape   [batch, …]
  /// @param levels  of the run, the first the highest; positive but for a final 0
  std::function<at::Tensor(double sigma, double sigma_next)> sampler(NoiseKind kind,
                                                                     std::vector<int64_t> shape,
                                                                     std::span<const double> levels) const;

  /// Draws from a generator made for the purpose.
  static at::Tensor draw_once(uint64_t seed, at::IntArrayRef shape, NoiseGenerator generator);

  class Stream;

 private:
  std::vector<int64_t> drawn_shape(at::IntArrayRef shape) const;
  at::Tensor made_part(const at::Tensor& drawn, int64_t count) const;

  std::vector<uint64_t> seeds_, brownian_seeds_;
  PartOfBatch part_;
  NoiseGenerator generator_ = NoiseGenerator::Cpu;
  std::vector<std::shared_ptr<Stream>> streams_;
};

/// A second seed that a picture's noise is mixed with, and a size it was first drawn at.
struct NoiseVariation {
  uint64_t seed = 0;                                  // of the first picture; picture i has seed + i
  double strength = 0;                                // 0: none, 1: the second seed's noise alone
  std::optional<std::array<int64_t, 2>> resize_from;  // height, width, latents
};

/// Unit noise as A1111's web UI makes it: slerp between two seeds' noise, and noise of another size in the middle, drawn
/// by generators made for it. Draws once from `noise`, as NoiseSource::draw, whatever the variation.
at::Tensor initial_noise(const NoiseSource& noise, std::span<const uint64_t> seeds, NoiseGenerator generator,
                         const NoiseVariation& variation, at::IntArrayRef shape);

/// Spherical interpolation as A1111 computes it: angles along each row of the last dimension but one.
at::Tensor slerp(double share, const at::Tensor& low, const at::Tensor& high);

}  // namespace limn::schedulers
