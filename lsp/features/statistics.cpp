#include "lsp/features/statistics.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace caretd::lsp {
namespace {

constexpr StatisticsCounter kCounters[] = {
    {"requests", &StatisticsSnapshot::requests},
    {"empty", &StatisticsSnapshot::empty},
    {"superseded", &StatisticsSnapshot::superseded},
    {"fromModel", &StatisticsSnapshot::from_model},
    {"fromCache", &StatisticsSnapshot::from_cache},
    {"takenOver", &StatisticsSnapshot::taken_over},
    {"shown", &StatisticsSnapshot::shown},
    {"acceptedFull", &StatisticsSnapshot::accepted_full},
    {"nextReady", &StatisticsSnapshot::next_ready},
    {"acceptedWords", &StatisticsSnapshot::accepted_words},
    {"typedThrough", &StatisticsSnapshot::typed_through},
    {"kept", &StatisticsSnapshot::kept},
    {"changed", &StatisticsSnapshot::changed},
    {"acceptedCharacters", &StatisticsSnapshot::accepted_characters},
    {"promptTokens", &StatisticsSnapshot::prompt_tokens},
    {"cachedTokens", &StatisticsSnapshot::cached_tokens},
    {"computedTokens", &StatisticsSnapshot::computed_tokens},
    {"generatedTokens", &StatisticsSnapshot::generated_tokens},
};

// Nearest rank.
double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0.0;
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

Percentiles percentiles(std::vector<double> values) {
  std::ranges::sort(values);
  return {percentile(values, 0.5), percentile(values, 0.9), percentile(values, 0.99)};
}

void append_latest(std::vector<double>& values, const std::vector<double>& later) {
  values.insert(values.end(), later.begin(), later.end());
  const std::size_t most = Statistics::kRememberedLatencies;
  if (values.size() <= most) return;
  values.erase(values.begin(), std::prev(values.end(), static_cast<std::ptrdiff_t>(most)));
}

}  // namespace

std::span<const StatisticsCounter> statistics_counters() {
  return kCounters;
}

bool StatisticsRecord::empty() const {
  const auto unset = [this](const StatisticsCounter& c) { return counters.*c.member == 0; };
  return std::ranges::all_of(kCounters, unset) && counters.languages.empty() &&
         latencies_model.empty() && latencies_cache.empty();
}

StatisticsRecord& StatisticsRecord::operator+=(const StatisticsRecord& later) {
  for (const StatisticsCounter& counter : kCounters) {
    counters.*counter.member += later.counters.*counter.member;
  }
  for (const auto& [language, counts] : later.counters.languages) {
    LanguageCounts& own = counters.languages[language];
    own.shown += counts.shown;
    own.accepted += counts.accepted;
    own.characters += counts.characters;
  }
  append_latest(latencies_model, later.latencies_model);
  append_latest(latencies_cache, later.latencies_cache);
  return *this;
}

StatisticsSnapshot StatisticsRecord::summary() const {
  StatisticsSnapshot result = counters;
  result.latency_model = percentiles(latencies_model);
  result.latency_cache = percentiles(latencies_cache);
  return result;
}

void Statistics::count_request() {
  const std::lock_guard lock(mutex_);
  ++fresh_.counters.requests;
}

void Statistics::count_empty() {
  const std::lock_guard lock(mutex_);
  ++fresh_.counters.empty;
}

void Statistics::count_superseded() {
  const std::lock_guard lock(mutex_);
  ++fresh_.counters.superseded;
}

void Statistics::count_answer(AnswerSource source, Duration latency) {
  const std::lock_guard lock(mutex_);
  StatisticsSnapshot& counters = fresh_.counters;
  switch (source) {
    case AnswerSource::model:
      ++counters.from_model;
      break;
    case AnswerSource::cache:
      ++counters.from_cache;
      break;
    case AnswerSource::taken_over:
      ++counters.taken_over;
      break;
  }
  const bool cached = source == AnswerSource::cache;
  append_latest(cached ? fresh_.latencies_cache : fresh_.latencies_model,
                {to_milliseconds(latency)});
}

void Statistics::count_tokens(int prompt, int cached, int computed, int generated) {
  const std::lock_guard lock(mutex_);
  StatisticsSnapshot& counters = fresh_.counters;
  counters.prompt_tokens += prompt;
  counters.cached_tokens += cached;
  counters.computed_tokens += computed;
  counters.generated_tokens += generated;
}

void Statistics::count_shown(const std::string& language) {
  const std::lock_guard lock(mutex_);
  ++fresh_.counters.shown;
  ++fresh_.counters.languages[language].shown;
}

void Statistics::count_next_ready() {
  const std::lock_guard lock(mutex_);
  ++fresh_.counters.next_ready;
}

void Statistics::count_accepted(Acceptance how, std::int64_t characters,
                                const std::string& language) {
  const std::lock_guard lock(mutex_);
  StatisticsSnapshot& counters = fresh_.counters;
  if (how == Acceptance::typed) {
    ++counters.typed_through;
    return;
  }
  ++(how == Acceptance::full ? counters.accepted_full : counters.accepted_words);
  counters.accepted_characters += characters;
  LanguageCounts& counts = counters.languages[language];
  ++counts.accepted;
  counts.characters += characters;
}

void Statistics::count_kept(bool kept) {
  const std::lock_guard lock(mutex_);
  ++(kept ? fresh_.counters.kept : fresh_.counters.changed);
}

StatisticsSnapshot Statistics::snapshot() const {
  const std::lock_guard lock(mutex_);
  StatisticsRecord all = kept_;
  all += pending_;
  all += fresh_;
  return all.summary();
}

void Statistics::restore(const StatisticsRecord& record) {
  const std::lock_guard lock(mutex_);
  kept_ = record;
}

StatisticsRecord Statistics::unwritten() {
  const std::lock_guard lock(mutex_);
  pending_ += std::exchange(fresh_, {});
  return pending_;
}

void Statistics::written() {
  const std::lock_guard lock(mutex_);
  kept_ += std::exchange(pending_, {});
}

}  // namespace caretd::lsp
