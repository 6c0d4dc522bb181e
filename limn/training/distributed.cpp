// SPDX-License-Identifier: Apache-2.0
#include "limn/training/distributed.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "limn/base/error.h"
#include "limn/training/launch.h"

namespace limn::training {
namespace {

/// Nothing to do for a world of one.
class Alone : public Distributed {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 1; }
  int local_rank() const override { return 0; }
  void broadcast(const std::vector<at::Tensor>&) override {}
  void all_reduce_sum(const at::Tensor&) override {}
  void barrier() override {}
  std::unique_ptr<GradientAverager> average_gradients(std::vector<at::Tensor>, size_t) override {
    struct Nothing : GradientAverager {
      void arm() override {}
      void finish() override {}
    };
    return std::make_unique<Nothing>();
  }
};

/// Gradients fill buckets in the order backward makes them, last parameter first; a full bucket travels at once.
class BucketAverager : public Distributed::GradientAverager {
 public:
  BucketAverager(c10::intrusive_ptr<c10d::Backend> backend, std::vector<at::Tensor> parameters,
                 size_t bucket_bytes)
      : backend_(std::move(backend)), parameters_(std::move(parameters)), place_(parameters_.size()) {
    for (size_t i = parameters_.size(); i-- > 0;) {
      const auto bytes = static_cast<size_t>(parameters_[i].numel()) * sizeof(float);
      if (buckets_.empty() || buckets_.back().bytes + bytes > bucket_bytes) buckets_.emplace_back();
      Bucket& bucket = buckets_.back();
      place_[i] = {buckets_.size() - 1, bucket.bytes / sizeof(float)};
      bucket.bytes += bytes;
      ++bucket.members;
    }
    for (size_t i = 0; i < parameters_.size(); ++i)
      torch::autograd::impl::set_post_acc_grad_hooks(parameters_[i], std::make_unique<Hook>(*this, i));
  }
  ~BucketAverager() override {
    for (const at::Tensor& p : parameters_) torch::autograd::impl::set_post_acc_grad_hooks(p, nullptr);
  }

  void arm() override {
    armed_ = true;
    next_ = 0;
    for (Bucket& bucket : buckets_) {
      bucket.flat = at::zeros({static_cast<int64_t>(bucket.bytes / sizeof(float))},
                              parameters_.front().options().requires_grad(false));
      bucket.ready = 0;
      bucket.work.reset();
    }
  }

  void finish() override {
    const at::NoGradGuard no_grad;
    while (next_ < buckets_.size()) send(buckets_[next_++]);  // parameters without a gradient count as 0
    for (Bucket& bucket : buckets_) wait_for(*bucket.work);
    const auto world = static_cast<double>(backend_->getSize());
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const at::Tensor mean = view_of(i) / world;
      at::Tensor& gradient = parameters_[i].mutable_grad();
      if (gradient.defined())
        gradient.copy_(mean);
      else
        gradient = at::empty_like(parameters_[i].detach()).copy_(mean);
    }
    armed_ = false;
  }

  static void wait_for(c10d::Work& work) {
    try {
      work.wait();
    } catch (const std::exception& error) {
      throw Error(ErrorCode::Cancelled, "training",
                  std::string("another process of the run is gone or stuck: ") + error.what(),
                  "the last checkpoint is whole: start all processes again with --resume");
    }
  }

 private:
  struct Bucket {
    size_t bytes = 0, members = 0, ready = 0;
    at::Tensor flat;
    c10::intrusive_ptr<c10d::Work> work;
  };
  struct Place {
    size_t bucket, offset;  // floats
  };
  struct Hook : torch::autograd::PostAccumulateGradHook {
    Hook(BucketAverager& o, size_t p) : owner(o), parameter(p) {}
    void operator()(const torch::autograd::Variable&) override { owner.gradient_is_ready(parameter); }
    BucketAverager& owner;
    size_t parameter;
  };

  at::Tensor view_of(size_t i) const {
    const auto from = static_cast<int64_t>(place_[i].offset);
    return buckets_[place_[i].bucket]
        .flat.slice(0, from, from + parameters_[i].numel())
        .view(parameters_[i].sizes());
  }

  void gradient_is_ready(size_t i) {
    if (!armed_) return;
    const at::NoGradGuard no_grad;
    view_of(i).copy_(parameters_[i].grad());
    ++buckets_[place_[i].bucket].ready;
    while (next_ < buckets_.size() && buckets_[next_].ready == buckets_[next_].members)
      send(buckets_[next_++]);
  }

  void send(Bucket& bucket) {
    std::vector<at::Tensor> tensors{bucket.flat};
    bucket.work = backend_->allreduce(tensors);
  }

  c10::intrusive_ptr<c10d::Backend> backend_;
  std::vector<at::Tensor> parameters_;
  std::vector<Place> place_;
  std::vector<Bucket> buckets_;
  size_t next_ = 0;  // bucket to travel: the same order in all processes
  bool armed_ = false;
};

class Group : public Distributed {
 public:
  Group(const Launch& launch, double timeout_seconds) : launch_(launch) {
    std::signal(SIGPIPE, SIG_IGN);  // writing to a lost peer must be an error, not the end of this process
    const auto timeout = std::chrono::milliseconds(static_cast<int64_t>(timeout_seconds * 1000));
    try {
      c10d::TCPStoreOptions options;
      options.port = static_cast<uint16_t>(launch.port);
      options.isServer = launch.rank == 0;
      options.numWorkers = launch.world_size;
      options.timeout = timeout;
      store_ = c10::make_intrusive<c10d::TCPStore>(launch.address, options);
      auto gloo = c10d::ProcessGroupGloo::Options::create(timeout);
      gloo->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
      gloo->threads = 2;
      backend_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store_, launch.rank, launch.world_size, gloo);
    } catch (const std::exception& error) {
      throw Error(ErrorCode::NotFound, launch.address + ":" + std::to_string(launch.port),
                  "the " + std::to_string(launch.world_size) +
                      " processes of the run did not come together: " + error.what(),
                  "MASTER_ADDR and MASTER_PORT must be rank 0's, and free there");
    }
  }

  int rank() const override { return launch_.rank; }
  int world_size() const override { return launch_.world_size; }
  int local_rank() const override { return launch_.local_rank; }

  void broadcast(const std::vector<at::Tensor>& tensors) override {
    const at::NoGradGuard no_grad;
    for (const at::Tensor& tensor : tensors) {
      std::vector<at::Tensor> flat{tensor.detach().contiguous()};
      BucketAverager::wait_for(*backend_->broadcast(flat));
      tensor.copy_(flat[0]);
    }
  }
  void all_reduce_sum(const at::Tensor& tensor) override {
    std::vector<at::Tensor> tensors{tensor};
    BucketAverager::wait_for(*backend_->allreduce(tensors));
  }
  void barrier() override { BucketAverager::wait_for(*backend_->barrier()); }
  std::unique_ptr<GradientAverager> average_gradients(std::vector<at::Tensor> parameters,
                                                      size_t bucket_bytes) override {
    return std::make_unique<BucketAverager>(backend_, std::move(parameters), bucket_bytes);
  }

 private:
  Launch launch_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::Backend> backend_;
};

}  // namespace

std::unique_ptr<Distributed> Distributed::from_environment(bool cuda, double timeout_seconds) {
  const Launch launch = read_launch([](const char* name) { return std::getenv(name); });
  if (launch.world_size == 1) return std::make_unique<Alone>();
  if (cuda)
    throw Error(ErrorCode::Unsupported, "run.device",
                "several processes on GPUs need NCCL, which this build lacks",
                "train on one GPU, or on CPUs");
  return std::make_unique<Group>(launch, timeout_seconds);
}

}  // namespace limn::training
