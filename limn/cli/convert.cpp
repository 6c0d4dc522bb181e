// SPDX-License-Identifier: Apache-2.0
#include "limn/models/convert.h"

#include <iostream>
#include <memory>

#include "limn/base/error.h"
#include "limn/cli/command.h"

namespace limn::cli {
namespace {

weights::DType dtype_named(const std::string& name) {
  for (const weights::DTypeInfo& info : weights::all_dtypes())
    if (info.long_name == name) return info.dtype;
  throw Error(ErrorCode::InvalidArgument, "dtype", "no '" + name + "'",
              "known: float32, float16, bfloat16, float64");
}

}  // namespace

std::function<int()> add_convert(CLI::App& app) {
  struct Options {
    std::string in, out, dtype;
    bool force = false, quiet = false;
  };
  auto options = std::make_shared<Options>();
  app.add_option("in", options->in, "diffusers folder, .safetensors, .ckpt, .pt or .bin")->required();
  app.add_option("out", options->out, "a name that ends in .safetensors, or a folder in diffusers' layout")
      ->required();
  app.add_option("--dtype", options->dtype, "float32, float16, bfloat16 or float64 (default: as it is)");
  app.add_flag("--force", options->force, "overwrite what exists");
  app.add_flag("--quiet", options->quiet, "print nothing but errors");
  return [options] {
    models::ConvertOptions convert;
    if (!options->dtype.empty()) convert.dtype = dtype_named(options->dtype);
    convert.force = options->force;
    for (const std::string& warning : models::convert(options->in, options->out, convert))
      if (!options->quiet) std::cerr << "limn: warning: " << warning << "\n";
    if (!options->quiet) std::cout << options->out << "\n";
    return 0;
  };
}

}  // namespace limn::cli
