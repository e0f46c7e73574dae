#include "engine/scheduler/sampler.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>
#include <utility>

namespace caretd::engine {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

bool likelier(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

/// The two best of a list in any order; a missing one has the logit kNothing.
struct BestTwo {
  Candidate first{.id = std::numeric_limits<TokenId>::max(), .logit = kNothing};
  Candidate second = first;

  void offer(Candidate candidate) {
    if (likelier(candidate, first)) {
      second = first;
      first = candidate;
    } else if (likelier(candidate, second)) {
      second = candidate;
    }
  }
};

BestTwo best_of(const OutputRow& row, std::span<const TokenId> allowed, TokenId vocab) {
  BestTwo best;
  const auto limit = std::min<size_t>(row.logits.size(), static_cast<size_t>(vocab));
  if (!allowed.empty()) {
    for (const TokenId id : allowed) {
      if (std::cmp_less(id, limit)) best.offer({id, row.logits[static_cast<size_t>(id)]});
    }
  } else if (!row.candidates.empty()) {
    for (const Candidate& candidate : row.candidates) {
      if (candidate.id < vocab) best.offer(candidate);
    }
  } else {
    for (size_t id = 0; id < limit; ++id) best.offer({static_cast<TokenId>(id), row.logits[id]});
  }
  return best;
}

/// The natural logarithm of the probability that `allowed` has together; 0 where it is empty, which
/// allows all. That of `chosen`, one of them, is taken out of the sum, which is then never 0.
float logprob_of_all(std::span<const TokenId> allowed, const OutputRow& row, TokenId vocab,
                     const SampledToken& chosen) {
  if (allowed.empty()) return 0.0F;
  const double reference = static_cast<double>(chosen.logprob) + row.log_sum_exp;
  const auto limit = std::min<size_t>(row.logits.size(), static_cast<size_t>(vocab));
  double sum = 0.0;
  for (const TokenId id : allowed) {
    if (std::cmp_less(id, limit)) {
      sum += std::exp(static_cast<double>(row.logits[static_cast<size_t>(id)]) - reference);
    }
  }
  return chosen.logprob + static_cast<float>(std::log(sum));
}

}  // namespace

double uniform(std::uint64_t seed, std::uint64_t n) {
  // SplitMix64 (Steele, Lea, Flood, 2014) at position n + 1 of the stream that starts at `seed`.
  std::uint64_t x = seed + (n + 1) * 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
  x ^= x >> 31U;
  return static_cast<double>(x >> 11U) * 0x1.0p-53;
}

std::vector<TokenLogprob> likeliest(const OutputRow& row, TokenId vocab, int count) {
  std::vector<Candidate> list;
  if (row.candidates.empty()) {
    const auto limit = std::min<size_t>(row.logits.size(), static_cast<size_t>(vocab));
    list.reserve(limit);
    for (size_t id = 0; id < limit; ++id)
      list.push_back({static_cast<TokenId>(id), row.logits[id]});
  } else {
    std::ranges::copy_if(row.candidates, std::back_inserter(list),
                         [&](const Candidate& candidate) { return candidate.id < vocab; });
  }
  const auto kept = std::min(list.size(), static_cast<size_t>(count));
  std::ranges::partial_sort(list, list.begin() + static_cast<std::ptrdiff_t>(kept), likelier);
  std::vector<TokenLogprob> result;
  for (const Candidate& candidate : std::span(list).first(kept)) {
    result.push_back({candidate.id, candidate.logit - row.log_sum_exp});
  }
  return result;
}

Sampler::Sampler(const Sampling& sampling, TokenId vocab) : sampling_(sampling), vocab_(vocab) {}

Output Sampler::needed_output(bool restricted) const {
  if (restricted) return Output::logits;
  if (sampling_.temperature <= 0.0F) return Output::candidates;
  if (sampling_.top_k > 0) {
    return sampling_.top_k <= kCandidates ? Output::candidates : Output::logits;
  }
  // Above 1 the tail gains so much weight that the candidates would seldom decide.
  return sampling_.temperature <= 1.0F ? Output::candidates : Output::logits;
}

std::optional<SampledToken> Sampler::choose(const OutputRow& row, std::span<const TokenId> allowed,
                                            int step) {
  if (!allowed.empty() && row.logits.empty()) return std::nullopt;
  if (!std::isfinite(row.log_sum_exp)) return std::nullopt;
  auto chosen = choose_from(row, allowed, step);
  if (chosen) chosen->allowed_logprob = logprob_of_all(allowed, row, vocab_, *chosen);
  return chosen;
}

std::optional<SampledToken> Sampler::choose_from(const OutputRow& row,
                                                 std::span<const TokenId> allowed, int step) {
  if (sampling_.temperature <= 0.0F) {
    const BestTwo best = best_of(row, allowed, vocab_);
    if (best.first.logit == kNothing) return std::nullopt;
    return result(row, best.first, best.second.logit);
  }
  const double u = uniform(sampling_.seed, static_cast<std::uint64_t>(step));
  if (row.logits.empty()) return sample_candidates(row, u);
  list_logits(row, allowed);
  return sample_logits(row, u);
}

SampledToken Sampler::result(const OutputRow& row, Candidate chosen, float best_other) const {
  return {.id = chosen.id,
          .logprob = chosen.logit - row.log_sum_exp,
          .margin = chosen.logit - best_other};
}

/// Without NaN, which has no place in an order.
void Sampler::list_logits(const OutputRow& row, std::span<const TokenId> allowed) {
  listed_.clear();
  const auto limit = std::min<size_t>(row.logits.size(), static_cast<size_t>(vocab_));
  const auto list = [&](TokenId id) {
    const float logit = row.logits[static_cast<size_t>(id)];
    if (!std::isnan(logit)) listed_.push_back({id, logit});
  };
  if (allowed.empty()) {
    for (size_t id = 0; id < limit; ++id) list(static_cast<TokenId>(id));
    return;
  }
  for (const TokenId id : allowed) {
    if (std::cmp_less(id, limit)) list(id);
  }
}

std::optional<SampledToken> Sampler::sample_candidates(const OutputRow& row, double u) {
  listed_.clear();
  std::ranges::copy_if(row.candidates, std::back_inserter(listed_),
                       [&](const Candidate& candidate) { return candidate.id < vocab_; });
  if (listed_.empty()) return std::nullopt;
  keep_top_k();
  const double listed = weigh();
  if (sampling_.top_k > 0) return sample_descending(row, {listed, listed}, u);
  return sample_descending(row, total_mass(row, listed), u);
}

/// The weights of all tokens from those of the listed ones, for a temperature of at most 1. With
/// L the log-sum-exp, the unlisted tokens have exp(L - largest) - sum(exp(logit - largest)) at
/// temperature 1; at a lower one each of them shrinks at least as much as the least listed one.
Sampler::Mass Sampler::total_mass(const OutputRow& row, double listed) const {
  const double largest = listed_.front().logit;
  const double all = std::exp(row.log_sum_exp - largest);
  if (sampling_.temperature == 1.0F) return {std::max(all, listed), std::max(all, listed)};
  double at_one = 0.0;
  for (const Candidate& candidate : listed_) at_one += std::exp(candidate.logit - largest);
  constexpr double kRounding = 1e-5;  // of float32 sums over the vocabulary
  const double unlisted = std::max(0.0, all - at_one) + kRounding * all;
  const double shrink = (listed_.back().logit - largest) * (1.0 / sampling_.temperature - 1.0);
  return {listed, listed + unlisted * std::exp(shrink)};
}

/// All that may be chosen is listed. Sorts as much of it as the draw reaches.
std::optional<SampledToken> Sampler::sample_logits(const OutputRow& row, double u) {
  if (listed_.empty()) return std::nullopt;
  std::ranges::nth_element(listed_, listed_.begin(), likelier);
  keep_top_k();
  const double all = weigh();
  std::vector<Candidate> rest = listed_;
  for (size_t sorted = std::min<size_t>(kCandidates, rest.size());; sorted *= 8) {
    sorted = std::min(sorted, rest.size());
    std::ranges::partial_sort(rest, rest.begin() + static_cast<std::ptrdiff_t>(sorted), likelier);
    listed_.assign(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(sorted));
    const double listed = weigh();
    // Summed in this order for the whole list, so that rounding leaves nothing behind its end.
    const double mass = sorted == rest.size() ? listed : all;
    if (auto chosen = sample_descending(row, {mass, mass}, u)) return chosen;
    if (sorted == rest.size()) return result(row, listed_.back(), listed_.front().logit);
  }
}

void Sampler::keep_top_k() {
  const auto k = static_cast<size_t>(std::max(0, sampling_.top_k));
  if (k == 0 || listed_.size() <= k) return;
  std::ranges::partial_sort(listed_, listed_.begin() + static_cast<std::ptrdiff_t>(k), likelier);
  listed_.resize(k);
}

/// Fills weights_ for listed_, of which the first is the largest, and returns their sum.
double Sampler::weigh() {
  weights_.clear();
  double sum = 0.0;
  for (const Candidate& candidate : listed_) {
    const double over = static_cast<double>(candidate.logit) - listed_.front().logit;
    weights_.push_back(std::exp(over / sampling_.temperature));
    sum += weights_.back();
  }
  return sum;
}

std::optional<SampledToken> Sampler::sample_descending(const OutputRow& row, Mass mass, double u) {
  const std::optional<size_t> at = draw(mass, u);
  if (!at) return std::nullopt;
  const float best_other = *at > 0              ? listed_.front().logit
                           : listed_.size() > 1 ? listed_[1].logit
                                                : kNothing;
  return result(row, listed_[*at], best_other);
}

/// The index of the drawn token, or nothing where it depends on which mass within the bounds is
/// the true one, or is not listed.
std::optional<size_t> Sampler::draw(Mass mass, double u) const {
  const auto first_reaching = [&](double target, bool inclusive) {
    double sum = 0.0;
    size_t i = 0;
    for (; i < weights_.size(); ++i) {
      sum += weights_[i];
      if (inclusive ? sum >= target : sum > target) break;
    }
    return i;
  };
  double low = u * mass.low;
  double high = u * mass.high;
  if (sampling_.top_p < 1.0F) {
    const size_t last = first_reaching(sampling_.top_p * mass.low, true);
    if (last == weights_.size()) return std::nullopt;
    if (first_reaching(sampling_.top_p * mass.high, true) != last) return std::nullopt;
    const auto end = weights_.begin() + static_cast<std::ptrdiff_t>(last) + 1;
    low = high = u * std::accumulate(weights_.begin(), end, 0.0);
  }
  const size_t at = first_reaching(low, false);
  if (at == weights_.size() || first_reaching(high, false) != at) return std::nullopt;
  return at;
}

}  // namespace caretd::engine
