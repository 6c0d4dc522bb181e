// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
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

/// The one door: makes pictures from requests. Keeps the last model loaded. One thread at a time.
class Engine {
 public:
  /// @param threads  for arithmetic; 0: as many as there are cores
  explicit Engine(int threads = 0);
  ~Engine();

  /// @throws Error: InvalidArgument naming the field, NotFound, BadFile, Unsupported, Cancelled (stop was
  ///         requested; nothing is kept), OutOfMemory
  std::vector<Picture> generate(const GenerateRequest& request, std::stop_token stop = {},
                                const OnProgress& on_progress = {});

 private:
  std::vector<Picture> generate_as_worded(const GenerateRequest& request, std::stop_token stop,
                                          const OnProgress& on_progress);
  struct State;
  std::unique_ptr<State> state_;
};

/// The version, "0.1.0".
std::string_view version();

}  // namespace limn::engine
