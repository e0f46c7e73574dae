#include "lsp/features/statistics.h"

#include <algorithm>
#include <cmath>

namespace caretd::lsp {
namespace {

// Nearest rank.
double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0.0;
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

Percentiles percentiles(const std::deque<double>& values) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  return {percentile(sorted, 0.5), percentile(sorted, 0.9), percentile(sorted, 0.99)};
}

}  // namespace

void Statistics::count_request() {
  const std::lock_guard lock(mutex_);
  ++counters_.requests;
}

void Statistics::count_empty() {
  const std::lock_guard lock(mutex_);
  ++counters_.empty;
}

void Statistics::count_superseded() {
  const std::lock_guard lock(mutex_);
  ++counters_.superseded;
}

void Statistics::count_answer(AnswerSource source, Duration latency) {
  const std::lock_guard lock(mutex_);
  switch (source) {
    case AnswerSource::model:
      ++counters_.from_model;
      break;
    case AnswerSource::cache:
      ++counters_.from_cache;
      break;
    case AnswerSource::taken_over:
      ++counters_.taken_over;
      break;
  }
  std::deque<double>& latencies =
      source == AnswerSource::cache ? latencies_cache_ : latencies_model_;
  latencies.push_back(to_milliseconds(latency));
  if (latencies.size() > kRememberedLatencies) latencies.pop_front();
}

void Statistics::count_tokens(int prompt, int cached, int computed, int generated) {
  const std::lock_guard lock(mutex_);
  counters_.prompt_tokens += prompt;
  counters_.cached_tokens += cached;
  counters_.computed_tokens += computed;
  counters_.generated_tokens += generated;
}

void Statistics::count_shown(const std::string& language) {
  const std::lock_guard lock(mutex_);
  ++counters_.shown;
  ++counters_.languages[language].shown;
}

void Statistics::count_accepted(Acceptance how, std::int64_t characters,
                                const std::string& language) {
  const std::lock_guard lock(mutex_);
  if (how == Acceptance::typed) {
    ++counters_.typed_through;
    return;
  }
  ++(how == Acceptance::full ? counters_.accepted_full : counters_.accepted_words);
  counters_.accepted_characters += characters;
  LanguageCounts& counts = counters_.languages[language];
  ++counts.accepted;
  counts.characters += characters;
}

void Statistics::count_kept(bool kept) {
  const std::lock_guard lock(mutex_);
  ++(kept ? counters_.kept : counters_.changed);
}

StatisticsSnapshot Statistics::snapshot() const {
  const std::lock_guard lock(mutex_);
  StatisticsSnapshot result = counters_;
  result.latency_model = percentiles(latencies_model_);
  result.latency_cache = percentiles(latencies_cache_);
  return result;
}

void Statistics::restore(const StatisticsSnapshot& counters) {
  const std::lock_guard lock(mutex_);
  counters_ = counters;
}

}  // namespace caretd::lsp
