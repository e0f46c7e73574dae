#include "engine/scheduler/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>

#include "tests/helpers/catch.h"

using namespace caretd::engine;  // NOLINT(google-build-using-namespace)

namespace {

/// A row as a runner would give it.
struct Row {
  explicit Row(std::vector<float> all) : logits(std::move(all)) {
    double sum = 0.0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    log_sum_exp = static_cast<float>(std::log(sum));
    for (size_t id = 0; id < logits.size(); ++id) {
      candidates.push_back({static_cast<TokenId>(id), logits[id]});
    }
    std::ranges::stable_sort(candidates, std::greater<>(), &Candidate::logit);
    candidates.resize(std::min<size_t>(candidates.size(), kCandidates));
  }

  [[nodiscard]] OutputRow with_candidates() const { return {log_sum_exp, candidates, {}}; }
  [[nodiscard]] OutputRow with_logits() const { return {log_sum_exp, {}, logits}; }

  std::vector<float> logits;
  std::vector<Candidate> candidates;
  float log_sum_exp = 0.0F;
};

Row random_row(int vocab, unsigned seed, float spread) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> logits(static_cast<size_t>(vocab));
  for (float& logit : logits) logit = normal(random);
  return Row(logits);
}

}  // namespace

TEST_CASE("greedy takes the largest logit, of equal ones the lower id, and never padding") {
  const Row row({1.0F, 3.0F, 3.0F, 2.5F, 9.0F});
  Sampler sampler({}, 4);
  for (const OutputRow& output : {row.with_candidates(), row.with_logits()}) {
    const auto token = sampler.choose(output, {}, 0);
    REQUIRE(token);
    CHECK(token->id == 1);
    CHECK(token->margin == 0.0F);
    CHECK(token->logprob == Approx(3.0F - row.log_sum_exp));
  }
  CHECK(sampler.needed_output(false) == Output::candidates);
}

TEST_CASE("nothing is chosen from a row that is not a distribution") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float wrong : {kNan, kInfinity}) {
    std::vector<float> logits(300, 0.0F);
    logits[7] = wrong;
    const Row row(logits);
    const Row all(std::vector<float>(300, wrong));
    for (const float temperature : {0.0F, 0.7F, 1.0F, 2.0F}) {
      CAPTURE(wrong, temperature);
      Sampler sampler({.temperature = temperature, .seed = 3}, 300);
      for (const OutputRow& output :
           {row.with_candidates(), row.with_logits(), all.with_candidates(), all.with_logits()}) {
        CHECK_FALSE(sampler.choose(output, {}, 0));
      }
    }
  }
  // A sum that passed over a NaN does not make a token of it either.
  Row row({1.0F, 2.0F, 0.5F});
  row.logits[1] = kNan;
  for (int step = 0; step < 20; ++step) {
    Sampler sampler({.temperature = 1.5F, .seed = 5}, 3);
    CHECK(sampler.choose(row.with_logits(), {}, step)->id != 1);
  }
}

TEST_CASE("a restricted choice looks at all logits and reports the unrestricted probability") {
  const Row row({1.0F, 3.0F, 2.0F, 1.5F});
  Sampler sampler({}, 4);
  CHECK(sampler.needed_output(true) == Output::logits);
  const std::vector<TokenId> allowed{0, 3};
  CHECK_FALSE(sampler.choose(row.with_candidates(), allowed, 0));
  const auto token = sampler.choose(row.with_logits(), allowed, 0);
  REQUIRE(token);
  CHECK(token->id == 3);
  CHECK(token->margin == Approx(0.5F));
  CHECK(token->logprob == Approx(1.5F - row.log_sum_exp));
  const float among_allowed = token->logprob - token->allowed_logprob;
  CHECK(among_allowed == Approx(1.5F - std::log(std::exp(1.0F) + std::exp(1.5F))));
  CHECK(sampler.choose(row.with_logits(), {}, 0)->allowed_logprob == 0.0F);
  const std::vector<TokenId> single{2};
  CHECK(std::isinf(sampler.choose(row.with_logits(), single, 0)->margin));
}

TEST_CASE("sampling follows the distribution") {
  const Row row({2.0F, 1.0F, 0.0F, -1.0F});
  const float temperature = GENERATE(0.5F, 1.0F, 2.0F);
  double sum = 0.0;
  for (const float logit : row.logits) sum += std::exp(logit / temperature);
  std::map<TokenId, int> counts;
  constexpr int kDraws = 20000;
  Sampler sampler({.temperature = temperature, .seed = 5}, 4);
  for (int step = 0; step < kDraws; ++step)
    ++counts[sampler.choose(row.with_logits(), {}, step)->id];
  for (TokenId id = 0; id < 4; ++id) {
    const double expected = std::exp(row.logits[static_cast<size_t>(id)] / temperature) / sum;
    CHECK(static_cast<double>(counts[id]) / kDraws == Approx(expected).margin(0.012));
  }
}

TEST_CASE("top_k and top_p leave exactly the tokens they should") {
  const Row row({4.0F, 3.0F, 2.0F, 1.0F, 0.0F});
  const auto drawn = [&](Sampling sampling, const OutputRow& output) {
    std::map<TokenId, int> counts;
    Sampler sampler(sampling, 5);
    for (int step = 0; step < 3000; ++step) {
      if (const auto token = sampler.choose(output, {}, step)) ++counts[token->id];
    }
    std::vector<TokenId> ids;
    for (const auto& [id, count] : counts) ids.push_back(id);
    return ids;
  };
  for (const OutputRow& output : {row.with_candidates(), row.with_logits()}) {
    CHECK(drawn({.temperature = 1.0F, .top_k = 2}, output) == std::vector<TokenId>{0, 1});
    // Shares: 0.636, 0.234, 0.086, 0.032, 0.012.
    CHECK(drawn({.temperature = 1.0F, .top_p = 0.6F}, output) == std::vector<TokenId>{0});
    CHECK(drawn({.temperature = 1.0F, .top_p = 0.9F}, output) == std::vector<TokenId>{0, 1, 2});
    // Of the two that top_k leaves, 0.731 and 0.269.
    CHECK(drawn({.temperature = 1.0F, .top_k = 2, .top_p = 0.7F}, output) ==
          std::vector<TokenId>{0});
  }
}

TEST_CASE("candidates decide as all logits would, or say that they cannot") {
  const float temperature = GENERATE(0.3F, 0.8F, 1.0F);
  const float top_p = GENERATE(0.5F, 0.95F, 1.0F);
  int decided = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    const Row row = random_row(2000, seed, 6.0F);
    const Sampling sampling{.temperature = temperature, .top_p = top_p, .seed = seed};
    Sampler sampler(sampling, 2000);
    const auto from_all = sampler.choose(row.with_logits(), {}, 3);
    REQUIRE(from_all);
    const auto from_candidates = sampler.choose(row.with_candidates(), {}, 3);
    if (!from_candidates) continue;
    ++decided;
    CHECK(from_candidates->id == from_all->id);
    CHECK(from_candidates->logprob == from_all->logprob);
  }
  CHECK(decided > 200);
}

TEST_CASE("the same seed draws the same numbers, another seed others") {
  CHECK(uniform(1, 0) == uniform(1, 0));
  CHECK(uniform(1, 0) != uniform(1, 1));
  CHECK(uniform(1, 0) != uniform(2, 0));
  double sum = 0.0;
  for (std::uint64_t n = 0; n < 10000; ++n) {
    const double u = uniform(42, n);
    REQUIRE(u >= 0.0);
    REQUIRE(u < 1.0);
    sum += u;
  }
  CHECK(sum / 10000 == Approx(0.5).margin(0.01));
}

TEST_CASE("the likeliest tokens come in order with their probabilities") {
  const Row row({0.0F, 2.0F, 1.0F, 2.0F, 5.0F});
  for (const OutputRow& output : {row.with_candidates(), row.with_logits()}) {
    const auto top = likeliest(output, 4, 3);
    REQUIRE(top.size() == 3);
    CHECK(top[0].id == 1);
    CHECK(top[1].id == 3);
    CHECK(top[2].id == 2);
    CHECK(top[2].logprob == Approx(1.0F - row.log_sum_exp));
  }
}
