// SPDX-License-Identifier: Apache-2.0
// A program that embeds limn: consumer MODEL PICTURE.png
#include <fstream>
#include <iostream>

#include <limn/base/error.h>
#include <limn/engine/engine.h>

int main(int, char** arguments) try {
  limn::engine::GenerateRequest request;
  request.prompt = "a lighthouse in fog";
  request.model = arguments[1];
  request.steps = 2;
  request.seed = 7;
  const auto pictures = limn::engine::Engine().generate(request);
  std::ofstream(arguments[2], std::ios::binary) << pictures.front().encode("png");
} catch (const limn::Error& error) {
  std::cerr << error.what() << "\n";
  return limn::status_of(error.code()).exit_status;
}
