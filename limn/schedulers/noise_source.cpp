// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/noise_source.h"

#include <algorithm>
#include <cmath>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/acos.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/randn.h>

#include "limn/base/error.h"
#include "limn/schedulers/brownian_tree.h"
#include "limn/schedulers/philox.h"

namespace limn::schedulers {

/// One generator.
class NoiseSource::Stream {
 public:
  virtual ~Stream() = default;
  virtual at::Tensor draw(at::IntArrayRef shape) = 0;
};

namespace {

class CpuStream : public NoiseSource::Stream {
 public:
  explicit CpuStream(uint64_t seed) : generator_(at::detail::createCPUGenerator(seed)) {}
  at::Tensor draw(at::IntArrayRef shape) override { return at::randn(shape, generator_, at::kFloat); }

 private:
  at::Generator generator_;
};

class PhiloxStream : public NoiseSource::Stream {
 public:
  explicit PhiloxStream(uint64_t seed) : generator_(seed) {}
  at::Tensor draw(at::IntArrayRef shape) override { return generator_.randn(shape); }

 private:
  Philox generator_;
};

std::shared_ptr<NoiseSource::Stream> stream_of(uint64_t seed, NoiseGenerator generator) {
  if (generator == NoiseGenerator::Philox) return std::make_shared<PhiloxStream>(seed);
  return std::make_shared<CpuStream>(seed);
}

constexpr NoiseGeneratorEntry kGenerators[] = {
    {"cpu", "torch's on the CPU, a generator a picture", NoiseGenerator::Cpu},
    {"philox", "torch's on CUDA, a generator a picture", NoiseGenerator::Philox},
    {"shared", "torch's on the CPU, one for all pictures of a batch", NoiseGenerator::Shared},
};

}  // namespace

std::span<const NoiseGeneratorEntry> noise_generators() { return kGenerators; }

NoiseSource NoiseSource::seeded(std::span<const uint64_t> seeds, NoiseGenerator generator,
                                const PartOfBatch& part) {
  NoiseSource out;
  out.seeds_.assign(seeds.begin(), seeds.end());
  out.brownian_seeds_ = out.seeds_;
  out.generator_ = generator;
  out.part_ = part;
  const size_t streams =
      generator == NoiseGenerator::Shared ? std::min<size_t>(1, seeds.size()) : seeds.size();
  for (size_t i = 0; i < streams; ++i) out.streams_.push_back(stream_of(seeds[i], generator));
  return out;
}

NoiseSource NoiseSource::reseeded(uint64_t delta) const {
  std::vector<uint64_t> seeds;
  for (const uint64_t seed : seeds_) seeds.push_back(seed + delta);
  NoiseSource out = seeded(seeds, generator_, part_);
  out.brownian_seeds_ = brownian_seeds_;
  return out;
}

std::vector<int64_t> NoiseSource::drawn_shape(at::IntArrayRef shape) const {
  std::vector<int64_t> out = shape.vec();
  if (part_.whole > 0) out[0] = part_.whole;
  return out;
}

at::Tensor NoiseSource::made_part(const at::Tensor& drawn, int64_t count) const {
  return drawn.slice(0, part_.first, part_.first + count);
}

at::Tensor NoiseSource::draw(at::IntArrayRef shape) const {
  LIMN_CHECK(!shape.empty() && shape[0] == static_cast<int64_t>(seeds_.size()),
             "noise for a batch of another size than the number of seeds");
  if (generator_ == NoiseGenerator::Shared)
    return made_part(streams_.front()->draw(drawn_shape(shape)), shape[0]);
  std::vector<int64_t> one(shape.begin(), shape.end());
  one[0] = 1;
  std::vector<at::Tensor> drawn;
  for (const auto& stream : streams_) drawn.push_back(stream->draw(one));
  return at::cat(drawn, 0);
}

at::Tensor NoiseSource::draw_once(uint64_t seed, at::IntArrayRef shape, NoiseGenerator generator) {
  return stream_of(seed, generator)->draw(shape);
}

std::function<at::Tensor(double, double)> NoiseSource::sampler(NoiseKind kind, std::vector<int64_t> shape,
                                                               std::span<const double> levels) const {
  if (kind == NoiseKind::Independent)
    return [source = *this, shape](double, double) { return source.draw(shape); };
  double least = levels.front();
  for (const double level : levels)
    if (level > 0) least = std::min(least, level);
  std::vector<BrownianTree> trees;
  std::vector<int64_t> one = shape;
  one.erase(one.begin());
  const NoiseGenerator generator = generator_;
  const auto draw = [generator](uint64_t seed, at::IntArrayRef size) {
    return draw_once(seed, size, generator);
  };
  if (generator_ == NoiseGenerator::Shared) {
    const BrownianTree tree(brownian_seeds_.front(), least, levels.front(), drawn_shape(shape), draw);
    return [source = *this, tree, count = shape[0]](double sigma, double sigma_next) {
      return source.made_part(tree.noise(sigma, sigma_next), count);
    };
  }
  for (const uint64_t seed : brownian_seeds_) trees.emplace_back(seed, least, levels.front(), one, draw);
  return [trees, shape](double sigma, double sigma_next) {
    std::vector<at::Tensor> parts;
    for (const BrownianTree& tree : trees) parts.push_back(tree.noise(sigma, sigma_next));
    return trees.size() == 1 ? parts.front().view(shape) : at::cat(parts, 0).view(shape);
  };
}

at::Tensor slerp(double share, const at::Tensor& low, const at::Tensor& high) {
  const auto unit = [](const at::Tensor& x) {
    return x / at::linalg_vector_norm(x, 2, at::IntArrayRef{1}, true);
  };
  const at::Tensor dot = (unit(low) * unit(high)).sum(1);
  constexpr double kParallel = 0.9995;
  if (dot.mean().item<double>() > kParallel) return low * share + high * (1 - share);  // as it stands there
  const at::Tensor omega = at::acos(dot), sine = omega.sin();
  return (((1.0 - share) * omega).sin() / sine).unsqueeze(1) * low +
         ((share * omega).sin() / sine).unsqueeze(1) * high;
}

at::Tensor initial_noise(const NoiseSource& source, std::span<const uint64_t> seeds, NoiseGenerator generator,
                         const NoiseVariation& v, at::IntArrayRef shape) {
  const at::Tensor drawn = source.draw(shape);
  if (v.strength == 0 && !v.resize_from) return drawn;
  const std::vector<int64_t> whole(shape.begin() + 1, shape.end());
  std::vector<int64_t> drawn_shape = whole;
  if (v.resize_from) {
    drawn_shape[1] = (*v.resize_from)[0];
    drawn_shape[2] = (*v.resize_from)[1];
  }
  std::vector<at::Tensor> out;
  for (size_t i = 0; i < seeds.size(); ++i) {
    const at::Tensor large = drawn[static_cast<int64_t>(i)];
    at::Tensor noise =
        drawn_shape == whole ? large : NoiseSource::draw_once(seeds[i], drawn_shape, generator);
    if (v.strength != 0)
      noise = slerp(v.strength, noise, NoiseSource::draw_once(v.seed + i, drawn_shape, generator));
    if (drawn_shape != whole) {
      const auto span = [](int64_t target, int64_t from) {
        const int64_t gap = (target - from - (target < from ? 1 : 0)) / 2;  // rounded down, as A1111 does
        const int64_t length = gap >= 0 ? from : from + 2 * gap;
        return std::array{std::max<int64_t>(gap, 0), std::max<int64_t>(-gap, 0), length};
      };
      const auto [y, from_y, height] = span(whole[1], drawn_shape[1]);
      const auto [x, from_x, width] = span(whole[2], drawn_shape[2]);
      large.slice(1, y, y + height)
          .slice(2, x, x + width)
          .copy_(noise.slice(1, from_y, from_y + height).slice(2, from_x, from_x + width));
      noise = large;
    }
    out.push_back(noise.unsqueeze(0));
  }
  return at::cat(out, 0);
}

}  // namespace limn::schedulers
