// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "limn/engine/model_cache.h"
#include "limn/engine/request.h"
#include "limn/image/edit.h"
#include "limn/pipelines/decode.h"
#include "limn/pipelines/hires.h"
#include "limn/pipelines/text_to_image.h"
#include "limn/schedulers/aliases.h"
#include "limn/schedulers/scheduler.h"

namespace limn::engine {

/// Thrown inside the engine when arithmetic overflowed; becomes a second try in float32, or an Error.
struct NotFinite {
  std::string where;
};

/// Type and device a request asks for. @throws Error{InvalidArgument}, Error{Unsupported}
models::LoadOptions load_options_of(const GenerateRequest& request);

/// As a request names it: "bfloat16". @throws Error{Unsupported} for a type that no file holds
std::string dtype_name(at::ScalarType type);

/// Model, VAE and changes a request asks for.
ModelChoice model_choice_of(const GenerateRequest& request);

/// A scheduler with its configuration, to be made anew for every batch.
struct SchedulerChoice {
  const schedulers::SchedulerEntry* entry;
  json::object config;
  std::string where;
  schedulers::RunSettings settings;
  const schedulers::SamplerAlias* alias = nullptr;  // another program's name for it, as the request has it

  std::unique_ptr<schedulers::Scheduler> make() const { return entry->make(config, settings, where); }
};
/// The request's scheduler, else the model's own. @throws Error{InvalidArgument}, Error{Unsupported}
SchedulerChoice choose_scheduler(const GenerateRequest& request, const models::Model& model, int64_t steps);

/// A picture of which a part is made anew.
struct Edit {
  Image canvas, mask;  // of one size; 255 is made anew
  Rect area;           // that the pipeline works on
  double feather = 0;  // pixels, inside the mask

  /// The canvas with what was made in its place; where the mask is 0, the canvas to the bit.
  Image finish(const Image& made) const;
};

/// The second pass of a large picture.
struct Hires {
  int64_t width, height;
  double strength;
  std::optional<int64_t> last_steps;  // see pipelines::GenerateArgs
  const pipelines::Upscaler* upscaler;
  SchedulerChoice scheduler;
};

/// A request with every default filled in and checked against the model.
struct Run {
  int64_t count;
  pipelines::GenerateArgs args;  // for all pictures; args_of cuts out a batch
  provenance::GenerationRecord record;
  std::vector<std::string> warnings;
  SchedulerChoice scheduler;
  std::optional<Edit> edit;
  std::optional<Hires> hires;
  pipelines::Tiling decoding;
  std::shared_future<ModelHashes> hashes;

  pipelines::GenerateArgs args_of(int64_t first, int64_t batch) const;
  provenance::GenerationRecord record_of(int64_t picture,
                                         const std::vector<std::string>& more_warnings) const;
};

/// Pixels of a side. @throws Error{InvalidArgument} naming the field, if it is no multiple of `factor`
int64_t side_of(std::optional<int64_t> asked, int64_t fallback, int64_t factor, const char* field);

/// @throws Error{InvalidArgument} naming the field, Error{NotFound}, Error{BadFile}
Run resolve(const GenerateRequest& request, const LoadedModel& loaded);

}  // namespace limn::engine
