// What the product measures about itself, on this machine only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "support/clock.h"

namespace caretd::lsp {

enum class AnswerSource : std::uint8_t {
  model,      ///< generated for this request
  cache,      ///< a suggestion that still fitted, no model call
  taken_over  ///< generated for an older request of the document
};

/// How a shown suggestion went into the document.
enum class Acceptance : std::uint8_t {
  full,   ///< at one stroke
  words,  ///< in parts of more than one character
  typed   ///< the user typed what was suggested
};

struct Percentiles {
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
};

struct LanguageCounts {
  std::int64_t shown = 0;
  std::int64_t accepted = 0;  ///< full or by words
  std::int64_t characters = 0;
};

/// All counters since the first process that kept them. Times in milliseconds.
struct StatisticsSnapshot {
  std::int64_t requests = 0;
  std::int64_t empty = 0;       ///< answered without a suggestion
  std::int64_t superseded = 0;  ///< given up for a newer request or cancelled
  std::int64_t from_model = 0;
  std::int64_t from_cache = 0;
  std::int64_t taken_over = 0;
  std::int64_t shown = 0;  ///< suggestions, each counted once however often it was answered
  std::int64_t accepted_full = 0;
  std::int64_t next_ready = 0;  ///< of those: the request that followed had its suggestion waiting
  std::int64_t accepted_words = 0;
  std::int64_t typed_through = 0;
  std::int64_t kept = 0;     ///< accepted ones still in the text after 30 s
  std::int64_t changed = 0;  ///< accepted ones that were not
  std::int64_t accepted_characters = 0;
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t computed_tokens = 0;
  std::int64_t generated_tokens = 0;
  Percentiles latency_model;  ///< of the latest answers (kRememberedLatencies)
  Percentiles latency_cache;
  std::map<std::string, LanguageCounts> languages;
};

/// One plain counter of a snapshot and its name in messages and files.
struct StatisticsCounter {
  const char* name;
  std::int64_t StatisticsSnapshot::*member;
};
[[nodiscard]] std::span<const StatisticsCounter> statistics_counters();

/// What is kept between processes: counters (their percentiles unset) and the latest latencies in
/// milliseconds, oldest first.
struct StatisticsRecord {
  StatisticsSnapshot counters;
  std::vector<double> latencies_model;
  std::vector<double> latencies_cache;

  /// Nothing was counted.
  [[nodiscard]] bool empty() const;
  /// Adds what was counted later.
  StatisticsRecord& operator+=(const StatisticsRecord& later);
  /// The counters with the percentiles of the latencies.
  [[nodiscard]] StatisticsSnapshot summary() const;
};

/// Shared by the sessions of a process. Thread-safe.
class Statistics {
 public:
  static constexpr std::size_t kRememberedLatencies = 2000;

  void count_request();
  void count_empty();
  void count_superseded();
  void count_answer(AnswerSource source, Duration latency);
  void count_tokens(int prompt, int cached, int computed, int generated);
  void count_shown(const std::string& language);
  void count_next_ready();
  void count_accepted(Acceptance how, std::int64_t characters, const std::string& language);
  void count_kept(bool kept);

  [[nodiscard]] StatisticsSnapshot snapshot() const;

  /// Begins with what an earlier process kept.
  void restore(const StatisticsRecord& record);
  /// What was counted here and is not written yet, for the one that writes: it says written() when
  /// that was done, else the next call gives it again.
  [[nodiscard]] StatisticsRecord unwritten();
  void written();

 private:
  mutable std::mutex mutex_;
  StatisticsRecord kept_;     ///< restored or written
  StatisticsRecord pending_;  ///< what unwritten() gave last
  StatisticsRecord fresh_;
};

}  // namespace caretd::lsp
