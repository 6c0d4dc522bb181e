// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace limn::engine {

/// A model file or folder, or a file that changes models, found in a folder. A plain value.
struct CatalogEntry {
  std::string name;            // its path below the folder, with '/'; UTF-8, no other entry's
  std::filesystem::path path;  // as a request takes it; empty: the embedded model
  std::string kind;            // "checkpoint", "vae", "lora", "textual inversion", …: models::Identity
  std::string family, title, variant;  // likewise; may be empty
  int64_t bytes = 0;                   // of its weights, in files
  std::optional<std::string> licence;  // as its metadata or model card says, "creativeml-openrail-m"
  // What a request to a checkpoint that limn runs has by default; else 0.
  int64_t default_size = 0;  // pixels of a side
  int64_t default_steps = 0;
  double default_guidance_scale = 0;
  std::string why_not;  // a checkpoint does not run; empty: it does, or it is none
};

/// A file that looks like weights and is none that limn knows.
struct CatalogProblem {
  std::string name;  // as an entry's
  std::filesystem::path path;
  std::string problem;
};

struct Catalog {
  std::vector<CatalogEntry>
      entries;  // the first, called "embedded", is the embedded model; then by folder and name
  std::vector<CatalogProblem> problems;
};

/// Looks for models in folders and four levels below, by their contents: nothing is loaded, headers are read. Hidden files
/// are passed over, and links that lead out of their folder are problems. Where folders hold the same name, those of the
/// later ones get a number: "a.safetensors (2)".
/// @throws Error{NotFound} for a folder that is none
Catalog catalog_of(std::span<const std::filesystem::path> folders);

/// The SHA-256 that stands for it in records: of the file, or of the denoiser's weights in a folder. Reads the file whole.
/// @throws Error{Cancelled} when stop is requested meanwhile
std::string hash_of(const CatalogEntry& entry, const std::stop_token& stop = {});

/// How much of a model's text encoder a prompt takes.
struct PromptLength {
  int64_t tokens = 0;  // without start and end
  int64_t chunks = 1;  // runs of the encoder that hold them, where the syntax allows more than one
  int64_t limit = 75;  // tokens a chunk
};

/// Counts a prompt's tokens as a model's (first) tokenizer does, each character as it stands. No weights are loaded. Quick
/// for the model that was asked about last. May be called by several threads.
/// @param model  empty: the embedded model. @throws Error as Engine::generate
PromptLength prompt_length(std::string_view prompt, const std::filesystem::path& model);

}  // namespace limn::engine
