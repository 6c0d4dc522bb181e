// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

namespace limn::training {

/// The processes of one run: rank r of world_size, joined by c10d (Gloo on CPUs, NCCL on GPUs).
/// One thread at a time.
class Distributed {
 public:
  /// Reads torchrun's environment (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT) or Slurm's (SLURM_PROCID,
  /// SLURM_NTASKS, SLURM_LOCALID, SLURM_STEP_NODELIST or MASTER_ADDR); with neither, a world of one that needs nothing.
  /// @param timeout_seconds  how long a peer may keep the others waiting
  /// @throws Error{InvalidArgument} naming a wrong variable; Error{NotFound} when the peers do not come together
  static std::unique_ptr<Distributed> from_environment(bool cuda, double timeout_seconds = 600);
  virtual ~Distributed() = default;

  virtual int rank() const = 0;
  virtual int world_size() const = 0;
  virtual int local_rank() const = 0;
  /// Rank 0's values, everywhere. In place.
  virtual void broadcast(const std::vector<at::Tensor>& tensors) = 0;
  /// The sum over processes, in place. @throws Error{Cancelled} naming the rank when a peer is lost
  virtual void all_reduce_sum(const at::Tensor& tensor) = 0;
  virtual void barrier() = 0;

  /// Averages gradients over the processes, bucket by bucket, while backward still runs.
  class GradientAverager {
   public:
    virtual ~GradientAverager() = default;
    /// Before a backward pass whose gradients shall be averaged (the last of an accumulation).
    virtual void arm() = 0;
    /// After it: waits for what is still on its way. Gradients that were not made count as 0.
    virtual void finish() = 0;
  };
  /// @param parameters    leaves that require gradients, the same in all processes
  /// @param bucket_bytes  gradients that travel together
  virtual std::unique_ptr<GradientAverager> average_gradients(std::vector<at::Tensor> parameters,
                                                              size_t bucket_bytes = 25 << 20) = 0;
};

}  // namespace limn::training
