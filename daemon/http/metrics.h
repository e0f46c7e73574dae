// Figures of the HTTP server for Prometheus (text exposition format 0.0.4).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "engine/engine.h"
#include "support/clock.h"

namespace caretd::daemon::api {

/// Upper bounds in seconds; a last bucket takes the rest.
inline constexpr std::array kLatencyBuckets = {0.005, 0.01, 0.025, 0.05, 0.1,
                                               0.25,  0.5,  1.0,   2.5,  10.0};

struct Histogram {
  std::array<std::uint64_t, kLatencyBuckets.size() + 1> counts{};
  double sum = 0;
  void add(Duration value);
};

/// Thread-safe.
class Metrics {
 public:
  void responded(const std::string& endpoint, int status);
  void first_token(Duration since_request);
  void finished(Duration since_request);
  void count_tokens(const engine::Usage& usage);

  /// What is known, with the engine's own counters and gauges.
  [[nodiscard]] std::string render(const engine::EngineStatistics& engine, bool ready,
                                   std::int64_t connections) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::uint64_t> responses_;
  Histogram first_token_;
  Histogram whole_;
  std::uint64_t prompt_tokens_ = 0;
  std::uint64_t cached_tokens_ = 0;
  std::uint64_t generated_tokens_ = 0;
};

}  // namespace caretd::daemon::api
