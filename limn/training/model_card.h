// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "limn/base/json.h"
#include "limn/training/config.h"

namespace limn::training {

struct TrainedFacts {
  int64_t samples = 0, step = 0;
  double seconds = 0;
  int processes = 1;
  json::object memorisation;  // of Task::memorisation; empty: not looked at
};

/// The card of what was trained, Markdown with YAML front matter as model hubs read it: data with licences and
/// attributions, settings, samples seen, hardware, limits, memorisation. In a folder README.md, beside a file NAME.md;
/// memorisation.json beside it with every picture looked at.
/// @param data  Dataset::summary()
void write_model_card(const std::filesystem::path& written, const TrainConfig& config,
                      const json::object& data, const TrainedFacts& facts);

}  // namespace limn::training
