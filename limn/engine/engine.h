// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "limn/engine/request.h"
#include "limn/image/image.h"
#include "limn/provenance/record.h"

namespace limn::engine {

/// Where the time of a request went, in seconds. Encoding and denoising are shared by the pictures of a
/// batch.
struct Timings {
  double load = 0, encode = 0, denoise = 0, decode = 0;
};

/// Numbers without a picture: final latents in diffusers' output_type="latent" scale.
struct Latents {
  std::vector<int64_t> shape;  // [channels, h, w]
  std::vector<float> values;
};

/// One finished picture and everything that is known of it. A plain value.
struct Picture {
  Image image;
  Latents latents;
  provenance::GenerationRecord record;
  Timings timings;

  /// Encodes with the record inside. @param format  a name of image_formats()
  std::string encode(std::string_view format) const;
};

/// News of a running request.
struct Progress {
  enum class Stage { Load, Denoise, Decode } stage;
  int64_t done = 0, total = 0;  // steps, or pictures while decoding; over all batches of the request
  int64_t first_picture = 0;    // of the batch in work
  /// A rough picture of one of the batch, made on demand; empty outside Denoise. Valid during the call only.
  std::function<Image(int64_t picture_of_batch)> preview;
};
using OnProgress = std::function<void(const Progress&)>;

/// What the model answered in a run, call by call, kept by the caller for a run that may be cut off. All else in a run (the
/// sampler, its noise, the second pass) follows from these answers, so a run with the tape of an earlier one goes the same
/// way with its answers in the place of the model's, and on from their end to the same bits, whatever the sampler.
class Tape {
 public:
  virtual ~Tape() = default;
  /// The answer to one call, numbered from 0 through all passes and batches of a request; nothing: it was not reached.
  virtual std::optional<std::string> read(int64_t call) = 0;
  /// Keeps an answer: float32 numbers of the latents' size, twice that with CFG++. Calls come in order, without gaps.
  virtual void write(int64_t call, std::string bytes) = 0;
  /// Forgets every answer: the request is begun again in another type, from call 0.
  virtual void clear() = 0;
};

/// A model that is loaded.
struct ResidentModel {
  std::filesystem::path path;  // as it was first asked for; empty: the embedded model
  int64_t bytes = 0;           // of its parameters, with those that LoRAs and other changes made of it
  bool in_use = false;         // or being loaded
};

class ModelCache;

/// Loaded models, kept from request to request and shared by engines. Safe to share.
class Models {
 public:
  /// @param most_bytes  of parameters. Beyond, the model that was used longest ago goes, but none in use and not the last
  ///                    one. 0: what the last request used stays.
  explicit Models(int64_t most_bytes = 0);
  ~Models();

  std::vector<ResidentModel> resident() const;
  /// Loads a model as a request without further settings does. @throws Error as Engine::generate
  void load(const std::filesystem::path& path);
  /// Forgets a model; requests that use it keep it until they are done. @return whether there was one
  bool unload(const std::filesystem::path& path);

 private:
  friend class Engine;
  std::unique_ptr<ModelCache> cache_;
};

/// The one door: makes pictures from requests. One thread at a time; engines side by side may share their models.
class Engine {
 public:
  /// @param threads  for arithmetic; 0: as many as there are cores
  /// @param models   null: its own, of which it keeps those of the last request
  explicit Engine(int threads = 0, std::shared_ptr<Models> models = {});
  ~Engine();

  /// @param tape  of this request as an earlier call with it was cut off, or empty; the request must say its seed. Null:
  ///              none. With step_cache, whose answers hang on those before, it is left alone.
  /// @throws Error: InvalidArgument naming the field, NotFound, BadFile (at "tape…": it is damaged or another run's),
  ///         Unsupported, Cancelled (stop was requested; nothing is kept but the tape), OutOfMemory
  std::vector<Picture> generate(const GenerateRequest& request, std::stop_token stop = {},
                                const OnProgress& on_progress = {}, Tape* tape = nullptr);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The version, "0.1.0".
std::string_view version();

}  // namespace limn::engine
