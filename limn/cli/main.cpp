// SPDX-License-Identifier: Apache-2.0
#include <string_view>
#include <vector>

#include <unistd.h>

#include "limn/cli/command.h"

namespace {

// Threads of LibTorch's OpenMP (libgomp) wait for each other by spinning, 300,000 times by default: some milliseconds. Where
// another program has one of the cores, that takes the time which the awaited thread needs, and a picture takes up to eight times
// as long. 2,000 times are enough on a free machine. The library reads the variable when it is loaded, before main.
constexpr char kSpins[] = "GOMP_SPINCOUNT=2000";

/// Begins the program anew with the variable, unless the environment says how to wait.
void wait_politely(int, char** argv, char** environment) {
  std::vector<char*> variables;
  for (char** variable = environment; *variable; ++variable) {
    const std::string_view text(*variable);
    if (text.starts_with("GOMP_SPINCOUNT=") || text.starts_with("OMP_WAIT_POLICY=")) return;
    variables.push_back(*variable);
  }
  variables.push_back(const_cast<char*>(kSpins));
  variables.push_back(nullptr);
  execve("/proc/self/exe", argv, variables.data());  // where it fails, all is as it was
}

// Before the libraries' own beginnings, so that beginning anew costs little.
[[gnu::used, gnu::section(".preinit_array")]] void (*const kFirst)(int, char**, char**) = wait_politely;

}  // namespace

int main(int argc, char** argv) { return limn::cli::run(argc, argv); }
