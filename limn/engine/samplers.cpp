// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/samplers.h"

#include <algorithm>

#include "limn/base/named_table.h"
#include "limn/schedulers/aliases.h"

namespace limn::engine {
namespace {

constexpr std::string_view kOwnLevels = "-";  // as schedulers/aliases.cpp says it

SamplerName name_of(const schedulers::SamplerAlias& row) {
  return {.label = row.label,
          .aliases = {},
          .schedule = schedulers::label_of_schedule(row.dialect, row.schedule),
          .takes_schedule = row.schedule != kOwnLevels};
}

/// Rows that differ in nothing but the name.
bool is_same(const schedulers::SamplerAlias& a, const schedulers::SamplerAlias& b) {
  return a.dialect == b.dialect && a.scheduler == b.scheduler && a.schedule == b.schedule &&
         a.settings == b.settings && a.discards_next_to_last == b.discards_next_to_last;
}

}  // namespace

std::vector<SamplerName> sampler_names(std::string_view dialect) {
  std::vector<SamplerName> out;
  std::vector<const schedulers::SamplerAlias*> rows;  // of out
  for (const schedulers::SamplerAlias& row : schedulers::sampler_aliases()) {
    if (row.dialect != dialect) continue;
    const auto first = std::ranges::find_if(rows, [&](const auto* other) { return is_same(*other, row); });
    if (first != rows.end()) {
      out[static_cast<size_t>(first - rows.begin())].aliases.push_back(row.label);
      continue;
    }
    rows.push_back(&row);
    out.push_back(name_of(row));
  }
  return out;
}

std::vector<std::string_view> schedule_names(std::string_view dialect) {
  std::vector<std::string_view> out;
  for (const schedulers::ScheduleAlias& row : schedulers::schedule_aliases())
    if (row.dialect == dialect) out.push_back(row.label);
  return out;
}

std::string_view label_of_scheduler(std::string_view name) {
  return schedulers::label_of_sampler("a1111", name);
}

std::optional<KnownSampler> find_sampler(std::string_view dialect, std::string_view name) {
  for (std::string_view program : {dialect, std::string_view("a1111"), std::string_view("comfy"),
                                   std::string_view("sdcpp"), std::string_view("invokeai")})
    if (const auto found = schedulers::find_alias(program, name))
      return KnownSampler{.takes_schedule = found->sampler->schedule != kOwnLevels};
  if (try_find_named(schedulers::all(), name)) return KnownSampler{};
  return {};
}

}  // namespace limn::engine
