// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "limn/engine/model_cache.h"
#include "limn/engine/request.h"
#include "limn/pipelines/text_to_image.h"
#include "limn/schedulers/scheduler.h"

namespace limn::engine {

/// Thrown inside the engine when arithmetic overflowed; becomes a second try in float32, or an Error.
struct NotFinite {
  std::string where;
};

/// Type and device a request asks for. @throws Error{InvalidArgument}, Error{Unsupported}
models::LoadOptions load_options_of(const GenerateRequest& request);

/// A request with every default filled in and checked against the model.
struct Run {
  int64_t count;
  pipelines::GenerateArgs args;  // for all pictures; args_of cuts out a batch
  provenance::GenerationRecord record;
  std::vector<std::string> warnings;
  const schedulers::SchedulerEntry* scheduler;
  json::object scheduler_config;
  std::string scheduler_where;
  schedulers::RunSettings settings;
  std::shared_future<ModelHashes> hashes;

  pipelines::GenerateArgs args_of(int64_t first, int64_t batch) const;
  std::unique_ptr<schedulers::Scheduler> make_scheduler() const;
  provenance::GenerationRecord record_of(int64_t picture,
                                         const std::vector<std::string>& more_warnings) const;
};

/// @throws Error{InvalidArgument} naming the field, Error{NotFound}, Error{BadFile}
Run resolve(const GenerateRequest& request, const LoadedModel& loaded);

}  // namespace limn::engine
