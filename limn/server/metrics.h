// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace limn::server {

/// Numbers about the server, as Prometheus reads them (text format 0.0.4). Safe to share.
class Metrics {
 public:
  enum class Kind { Counter, Gauge, Histogram };
  using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

  /// Says what a number means; before its first use.
  /// @param name     "limn_http_requests_total"
  /// @param buckets  of a histogram: upper bounds, rising
  void describe(std::string_view name, Kind kind, std::string_view help, std::vector<double> buckets = {});

  void add(std::string_view name, const Labels& labels = {}, double by = 1);  // to a counter
  void set(std::string_view name, const Labels& labels, double value);        // a gauge
  void observe(std::string_view name, const Labels& labels, double value);    // into a histogram
  /// Called at each text(), to set gauges that nobody keeps up to date.
  void before_text(std::function<void(Metrics&)> update);

  std::string text();

 private:
  struct Series {
    double value = 0;               // or the sum, of a histogram
    std::vector<uint64_t> buckets;  // counts; the last: over all bounds
  };
  struct Family {
    Kind kind;
    std::string help;
    std::vector<double> bounds;
    std::map<std::string, Series> series;  // by their labels as text
  };
  Family& family(std::string_view name, Kind kind);

  std::mutex mutex_;
  std::map<std::string, Family, std::less<>> families_;
  std::vector<std::function<void(Metrics&)>> updates_;
};

}  // namespace limn::server
