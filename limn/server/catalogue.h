// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace limn::engine {
class Models;
}

namespace limn::server {

/// A model file or folder that requests may name. A plain value.
struct CatalogueEntry {
  std::string name;                 // below its folder, with '/': "sd15.safetensors", "xl/base"; "embedded"
  std::string kind, family, title;  // "checkpoint", "sdxl", "Stable Diffusion XL"
  std::filesystem::path path;       // for the engine alone; empty: the embedded model
  int64_t bytes = 0;
  std::string sha256;   // of the file, or of a folder's denoiser; empty: not known yet
  std::string licence;  // as the file says; empty: it does not
  int64_t default_width = 0, default_height = 0;  // pixels, of what makes pictures
  int64_t default_steps = 0;                      // likewise
  double default_guidance_scale = 0;
  bool can_run = false;  // as a request's model
  std::string why_not;   // of a checkpoint that cannot
};

/// The models below the configured folders, by their names. A client's name becomes a path here and nowhere else.
/// Safe to share.
class Catalogue {
 public:
  /// Looks through the folders, and hashes files in a thread of the lowest priority.
  /// @param cache   a file that keeps hashes for the next start
  /// @param models  of the engine: what is in memory
  /// @throws Error{NotFound} for a folder that is none
  Catalogue(std::vector<std::filesystem::path> folders, std::filesystem::path cache,
            std::shared_ptr<engine::Models> models);
  ~Catalogue();

  std::vector<CatalogueEntry> list() const;  // the embedded model first, then by name
  void refresh();                            // looks again

  /// By its whole name, or where only one fits, without ending and folders, whatever the case of letters.
  /// @param kind  empty: any
  std::optional<CatalogueEntry> find(std::string_view name, std::string_view kind = {}) const;
  /// By the first digits of its hash, eight or more.
  std::optional<CatalogueEntry> find_hash(std::string_view digits, std::string_view kind = {}) const;
  /// What a request names. @param name  empty: the embedded model, as checkpoint
  /// @throws Error at the request's `field`: NotFound that lists names of the kind, Unsupported for a checkpoint that
  ///         does not run
  CatalogueEntry get(std::string_view name, std::string_view kind, const std::string& field) const;

  bool is_resident(const CatalogueEntry& entry) const;
  void load(const CatalogueEntry& entry);    // @throws Error as the engine
  void unload(const CatalogueEntry& entry);  // as soon as nobody works with it

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace limn::server
