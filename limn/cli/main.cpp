// SPDX-License-Identifier: Apache-2.0
#include "limn/cli/command.h"

int main(int argc, char** argv) { return limn::cli::run(argc, argv); }
