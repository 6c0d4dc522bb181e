// SPDX-License-Identifier: Apache-2.0
#include "limn/server/metrics.h"

#include <thread>

#include <gmock/gmock.h>

#include "limn/base/error.h"

namespace limn::server {
namespace {

using ::testing::HasSubstr;

TEST(Metrics, WritesWhatPrometheusReads) {
  Metrics metrics;
  metrics.describe("limn_requests_total", Metrics::Kind::Counter, "Requests \\ and\nmore.");
  metrics.describe("limn_jobs", Metrics::Kind::Gauge, "Jobs.");
  metrics.describe("limn_seconds", Metrics::Kind::Histogram, "Time.", {0.1, 1});
  metrics.describe("limn_unused", Metrics::Kind::Gauge, "Not told.");
  metrics.add("limn_requests_total", {{"route", "a\"b\\c\nd"}, {"status", "200"}});
  metrics.add("limn_requests_total", {{"route", "a\"b\\c\nd"}, {"status", "200"}}, 2);
  metrics.set("limn_jobs", {}, 7.5);
  metrics.set("limn_jobs", {}, 3);
  for (const double seconds : {0.05, 0.1, 0.5, 7.0})
    metrics.observe("limn_seconds", {{"kind", "x"}}, seconds);
  EXPECT_EQ(metrics.text(),
            "# HELP limn_jobs Jobs.\n"
            "# TYPE limn_jobs gauge\n"
            "limn_jobs 3\n"
            "# HELP limn_requests_total Requests \\\\ and\\nmore.\n"
            "# TYPE limn_requests_total counter\n"
            "limn_requests_total{route=\"a\\\"b\\\\c\\nd\",status=\"200\"} 3\n"
            "# HELP limn_seconds Time.\n"
            "# TYPE limn_seconds histogram\n"
            "limn_seconds_bucket{kind=\"x\",le=\"0.1\"} 2\n"
            "limn_seconds_bucket{kind=\"x\",le=\"1\"} 3\n"
            "limn_seconds_bucket{kind=\"x\",le=\"+Inf\"} 4\n"
            "limn_seconds_sum{kind=\"x\"} 7.65\n"
            "limn_seconds_count{kind=\"x\"} 4\n");
}

TEST(Metrics, AsksForWhatNobodyKeeps) {
  Metrics metrics;
  int asked = 0;
  metrics.before_text([&](Metrics& all) { all.set("limn_asked", {}, ++asked); });
  EXPECT_THAT(metrics.text(), HasSubstr("limn_asked 1\n"));
  EXPECT_THAT(metrics.text(), HasSubstr("limn_asked 2\n"));
}

TEST(Metrics, KnowsEachNumberAsOneKind) {
  Metrics metrics;
  metrics.add("limn_a_total");
  EXPECT_THROW(metrics.set("limn_a_total", {}, 1), Error);
}

TEST(Metrics, CountsFromManyThreads) {
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < 1000; ++k) metrics.add("limn_a_total");
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(metrics.text(), HasSubstr("limn_a_total 8000\n"));
}

}  // namespace
}  // namespace limn::server
