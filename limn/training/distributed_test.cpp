// SPDX-License-Identifier: Apache-2.0
#include "limn/training/distributed.h"

#include <cstdlib>
#include <map>
#include <string>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limn/base/error.h"
#include "limn/training/launch.h"
#include "limn/training/random.h"

extern char** environ;

namespace limn::training {
namespace {

int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  socklen_t length = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  ::close(fd);
  return ntohs(address.sin_port);
}

/// This program again, as one process of two, running one test of the suite Part. (A fork would not do: LibTorch has threads.)
pid_t start_part(const std::string& part, int rank, int port) {
  std::vector<std::string> environment{
      "RANK=" + std::to_string(rank),        "WORLD_SIZE=2",     "MASTER_ADDR=127.0.0.1",
      "MASTER_PORT=" + std::to_string(port), "LIMN_TEST_PART=1", "OMP_NUM_THREADS=1"};
  for (char** entry = environ; *entry; ++entry) environment.emplace_back(*entry);
  std::vector<char*> pointers;
  for (std::string& entry : environment) pointers.push_back(entry.data());
  pointers.push_back(nullptr);
  std::string filter = "--gtest_filter=Part." + part, program = "/proc/self/exe";
  char resolved[4096] = {};
  if (::readlink(program.c_str(), resolved, sizeof resolved - 1) < 0) return -1;
  char* arguments[] = {resolved, filter.data(), nullptr};
  pid_t pid = -1;
  return ::posix_spawn(&pid, resolved, nullptr, nullptr, arguments, pointers.data()) == 0 ? pid : -1;
}

int exit_of(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool is_part() { return std::getenv("LIMN_TEST_PART") != nullptr; }

struct Model {
  at::Tensor first = normal_rows(1, Stream::Initialisation, 0, 6, {5}).requires_grad_(true);
  at::Tensor second = normal_rows(1, Stream::Initialisation, 50, 2, {6}).requires_grad_(true);
  at::Tensor unused = at::ones({3}).requires_grad_(true);
  std::vector<at::Tensor> parameters() const { return {first, second, unused}; }
  at::Tensor loss(const at::Tensor& x) const {
    return at::linear(at::linear(x, first).tanh(), second).square().mean();
  }
};

at::Tensor batch() { return normal_rows(2, Stream::Noise, 0, 8, {5}); }

// What each of the two processes does; run by the tests below.
TEST(Part, AveragesGradients) {
  if (!is_part()) GTEST_SKIP() << "run by TwoProcesses";
  const auto processes = Distributed::from_environment(false, 60);
  Model model;
  if (processes->rank() == 1) {
    const at::NoGradGuard no_grad;
    model.first.add_(1);
  }
  processes->broadcast({model.first});
  const auto averager = processes->average_gradients(model.parameters(), 100);  // bytes: a bucket each
  const at::Tensor mine = batch().slice(0, processes->rank() * 4, processes->rank() * 4 + 4);
  model.loss(mine.slice(0, 0, 2)).div(2).backward();  // accumulation: not averaged yet
  averager->arm();
  model.loss(mine.slice(0, 2, 4)).div(2).backward();
  averager->finish();

  Model whole;
  whole.loss(batch()).backward();
  EXPECT_LT((model.first.grad() - whole.first.grad()).abs().max().item<double>(), 1e-6);
  EXPECT_LT((model.second.grad() - whole.second.grad()).abs().max().item<double>(), 1e-6);
  EXPECT_EQ(model.unused.grad().abs().max().item<double>(), 0);
  const at::Tensor sum = at::full({1}, 1.0 + processes->rank());
  processes->all_reduce_sum(sum);
  EXPECT_EQ(sum.item<double>(), 3);
  processes->barrier();
}

TEST(Part, LosesAPeer) {
  if (!is_part()) GTEST_SKIP() << "run by TwoProcesses";
  const auto processes = Distributed::from_environment(false, 20);
  Model model;
  const auto averager = processes->average_gradients(model.parameters());
  if (processes->rank() == 1) std::_Exit(0);
  averager->arm();
  try {
    model.loss(batch()).backward();
    averager->finish();
    FAIL() << "nobody noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::Cancelled);
    EXPECT_THAT(error.what(), testing::HasSubstr("--resume"));
  }
}

TEST(TwoProcesses, MakeTheGradientOfOneWithTwiceTheBatch) {
  const int port = free_port();
  const pid_t a = start_part("AveragesGradients", 0, port), b = start_part("AveragesGradients", 1, port);
  EXPECT_EQ(exit_of(a), 0);
  EXPECT_EQ(exit_of(b), 0);
}

TEST(TwoProcesses, OneEndsWithAnErrorWhenTheOtherIsGone) {
  const int port = free_port();
  const pid_t a = start_part("LosesAPeer", 0, port), b = start_part("LosesAPeer", 1, port);
  EXPECT_EQ(exit_of(b), 0);
  EXPECT_EQ(exit_of(a), 0);
}

Launch launch_of(const std::map<std::string, std::string>& environment) {
  return read_launch([&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

TEST(Launch, ReadsTorchrunAndSlurm) {
  EXPECT_EQ(launch_of({}).world_size, 1);
  const Launch torchrun = launch_of(
      {{"RANK", "3"}, {"WORLD_SIZE", "4"}, {"LOCAL_RANK", "1"}, {"MASTER_ADDR", "h"}, {"MASTER_PORT", "77"}});
  EXPECT_EQ(torchrun.rank, 3);
  EXPECT_EQ(torchrun.local_rank, 1);
  EXPECT_EQ(torchrun.address, "h");
  EXPECT_EQ(torchrun.port, 77);
  const Launch slurm = launch_of({{"SLURM_PROCID", "1"},
                                  {"SLURM_NTASKS", "2"},
                                  {"SLURM_LOCALID", "0"},
                                  {"SLURM_STEP_NODELIST", "gpu[07-09,12],x"}});
  EXPECT_EQ(slurm.rank, 1);
  EXPECT_EQ(slurm.world_size, 2);
  EXPECT_EQ(slurm.address, "gpu07");
  EXPECT_EQ(first_host("a,b[1-2]"), "a");
  EXPECT_EQ(first_host("single"), "single");
}

TEST(Launch, RefusesGarbage) {
  EXPECT_THROW(launch_of({{"WORLD_SIZE", "two"}}), Error);
  EXPECT_THROW(launch_of({{"WORLD_SIZE", "2"}}), Error);
  EXPECT_THROW(launch_of({{"WORLD_SIZE", "2"}, {"RANK", "2"}}), Error);
  EXPECT_THROW(launch_of({{"WORLD_SIZE", "2"}, {"RANK", "0"}, {"MASTER_PORT", "99999"}}), Error);
}

}  // namespace
}  // namespace limn::training
