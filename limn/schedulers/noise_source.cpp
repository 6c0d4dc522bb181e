// SPDX-License-Identifier: Apache-2.0
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>

#include "limn/base/error.h"
#include "limn/schedulers/scheduler.h"

namespace limn::schedulers {

NoiseSource NoiseSource::seeded(std::span<const uint64_t> seeds) {
  std::vector<at::Generator> generators;
  for (uint64_t seed : seeds) generators.push_back(at::detail::createCPUGenerator(seed));
  return NoiseSource(std::move(generators));
}

at::Tensor NoiseSource::draw(at::IntArrayRef shape) const {
  LIMN_CHECK(!shape.empty() && shape[0] == static_cast<int64_t>(generators_.size()),
             "noise for a batch of another size than the number of generators");
  std::vector<int64_t> one(shape.begin(), shape.end());
  one[0] = 1;
  std::vector<at::Tensor> drawn;
  for (const at::Generator& generator : generators_) drawn.push_back(at::randn(one, generator, at::kFloat));
  return at::cat(drawn, 0);
}

}  // namespace limn::schedulers
