// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "limn/base/json.h"
#include "limn/weights/index.h"

namespace limn::models {

/// Tensors of one part of a file.
struct PartSize {
  std::string name;  // "unet", "vae", "text_encoder", "ema", …
  int64_t tensors = 0, parameters = 0, bytes = 0;
  std::map<std::string, int64_t> dtypes;  // long name ("float16") → parameters
};

/// What a file or folder is, decided by tensor names, shapes and, where they decide, single values; never by
/// its name.
struct Identity {
  std::filesystem::path path;
  std::string format;  // "safetensors", "pickle (zip)", "diffusers folder", …
  std::string kind =
      "unknown";        // "checkpoint", "denoiser", "vae", "text encoder", "lora", "textual inversion", …
  std::string detail;   // which sort of that kind: "LoHa", "IP-Adapter Plus", …; may be empty
  std::string family;   // "sd1", "sdxl", "flux-dev", …; empty: cannot be told
  std::string title;    // the family's name for people
  std::string variant;  // "inpaint", "instruct-pix2pix", "lcm", …; empty: text to image
  std::string prediction = "unknown";  // "epsilon", "v_prediction", "edm", "flow", or "unknown"
  std::string prediction_basis;        // where that comes from: "stored in the file", "guess: …"
  std::vector<std::string> evidence;   // the decisive keys, with shapes
  std::vector<PartSize> parts;
  std::vector<int64_t> ranks;      // of a LoRA: all that occur, ascending
  std::vector<double> alphas;      // of a LoRA: all that occur, ascending
  std::optional<int64_t> vectors;  // of a textual inversion
  std::map<std::string, std::string> metadata;
  std::vector<std::string> notes;
  bool can_run = false;
  std::string why_not;  // empty when it can run
};

/// Reads a tensor file's header or a folder's, and says what it is. Unknown contents are kind "unknown", no
/// error.
/// @throws Error as weights::open_tensor_file does for files that cannot be read
Identity identify(const std::filesystem::path& path);

/// The same for tensors that are open already; `path` stays empty.
Identity identify_tensors(const weights::Index& index);

/// Sets can_run and why_not from kind, family and variant.
void judge(Identity& identity);

/// One line: "a LoRA (LoHa) for Stable Diffusion XL".
std::string summary_of(const Identity& identity);
/// Some lines for people.
std::string describe(const Identity& identity);
/// All of it, for programs.
json::object to_json(const Identity& identity);

}  // namespace limn::models
