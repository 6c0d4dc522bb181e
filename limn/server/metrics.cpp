// SPDX-License-Identifier: Apache-2.0
#include "limn/server/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "limn/base/error.h"

namespace limn::server {
namespace {

const std::vector<double> kSeconds = {0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60};

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

std::string escaped(std::string_view text, bool quotes) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || (c == '"' && quotes)) out += '\\';
    out += c == '\n' ? "\\n" : std::string(1, c);
  }
  return out;
}

/// a="x",b="y"
std::string text_of(const Metrics::Labels& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    if (!out.empty()) out += ',';
    out.append(name).append("=\"").append(escaped(value, true)).append("\"");
  }
  return out;
}

std::string in_braces(const std::string& labels) { return labels.empty() ? "" : "{" + labels + "}"; }

constexpr std::string_view kKinds[] = {"counter", "gauge", "histogram"};

}  // namespace

void Metrics::describe(std::string_view name, Kind kind, std::string_view help, std::vector<double> buckets) {
  const std::lock_guard lock(mutex_);
  Family& family = families_[std::string(name)];
  family.kind = kind;
  family.help = help;
  family.bounds = buckets.empty() ? kSeconds : std::move(buckets);
}

Metrics::Family& Metrics::family(std::string_view name, Kind kind) {
  auto found = families_.find(name);
  if (found == families_.end()) found = families_.emplace(name, Family{kind, "", kSeconds, {}}).first;
  LIMN_CHECK(found->second.kind == kind, "the metric " + std::string(name) + " is of another kind");
  return found->second;
}

void Metrics::add(std::string_view name, const Labels& labels, double by) {
  const std::lock_guard lock(mutex_);
  family(name, Kind::Counter).series[text_of(labels)].value += by;
}

void Metrics::set(std::string_view name, const Labels& labels, double value) {
  const std::lock_guard lock(mutex_);
  family(name, Kind::Gauge).series[text_of(labels)].value = value;
}

void Metrics::observe(std::string_view name, const Labels& labels, double value) {
  const std::lock_guard lock(mutex_);
  Family& histogram = family(name, Kind::Histogram);
  Series& series = histogram.series[text_of(labels)];
  series.buckets.resize(histogram.bounds.size() + 1);
  ++series.buckets[static_cast<size_t>(std::ranges::lower_bound(histogram.bounds, value) -
                                       histogram.bounds.begin())];
  series.value += value;
}

void Metrics::before_text(std::function<void(Metrics&)> update) {
  const std::lock_guard lock(mutex_);
  updates_.push_back(std::move(update));
}

std::string Metrics::text() {
  std::vector<std::function<void(Metrics&)>> updates;
  {
    const std::lock_guard lock(mutex_);
    updates = updates_;
  }
  for (const auto& update : updates) update(*this);
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [name, family] : families_) {
    if (family.series.empty()) continue;
    if (!family.help.empty()) out += "# HELP " + name + " " + escaped(family.help, false) + "\n";
    out += "# TYPE " + name + " " + std::string(kKinds[static_cast<size_t>(family.kind)]) + "\n";
    for (const auto& [labels, series] : family.series) {
      if (family.kind != Kind::Histogram) {
        out += name + in_braces(labels) + " " + number(series.value) + "\n";
        continue;
      }
      uint64_t count = 0;
      for (size_t i = 0; i < series.buckets.size(); ++i) {
        count += series.buckets[i];
        const std::string bound = i < family.bounds.size() ? number(family.bounds[i]) : "+Inf";
        out += name + "_bucket{" + labels + (labels.empty() ? "" : ",") + "le=\"" + bound + "\"} " +
               std::to_string(count) + "\n";
      }
      out += name + "_sum" + in_braces(labels) + " " + number(series.value) + "\n";
      out += name + "_count" + in_braces(labels) + " " + std::to_string(count) + "\n";
    }
  }
  return out;
}

}  // namespace limn::server
