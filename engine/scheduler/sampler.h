// The choice of the next token from a row of the model's output.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "engine/runner.h"

namespace caretd::engine {

struct SampledToken {
  TokenId id = 0;
  float logprob = 0.0F;          ///< at temperature 1, before anything was masked
  float allowed_logprob = 0.0F;  ///< see TokenEvent
  float margin = 0.0F;           ///< see TokenEvent
};

/// Chooses tokens for one sequence. The choice depends on the row, the options and the number of
/// the step alone, not on what else is in the batch. Holds buffers; not thread-safe.
///
/// Order of the filters: temperature, then top_k, then top_p of what is left.
class Sampler {
 public:
  /// Ids at or above `vocab` are padding and never chosen.
  Sampler(const Sampling& sampling, TokenId vocab);

  /// What choose() most likely needs of the next row. `restricted`: it will be given `allowed`.
  [[nodiscard]] Output needed_output(bool restricted) const;

  /// `step` counts the sequence's tokens. `allowed` (ascending ids; empty: all) restricts the
  /// choice and needs a row with logits. Nothing: the candidates of this row do not hold enough
  /// probability mass to decide; the same row with Output::logits does. Nothing, too, where the
  /// row is not a distribution.
  [[nodiscard]] std::optional<SampledToken> choose(const OutputRow& row,
                                                   std::span<const TokenId> allowed, int step);

 private:
  /// Bounds of the sum of the weights of all tokens that may be chosen, listed or not.
  struct Mass {
    double low = 0.0;
    double high = 0.0;
  };

  [[nodiscard]] std::optional<SampledToken> choose_from(const OutputRow& row,
                                                        std::span<const TokenId> allowed, int step);
  [[nodiscard]] SampledToken result(const OutputRow& row, Candidate chosen, float best_other) const;
  [[nodiscard]] std::optional<SampledToken> sample_candidates(const OutputRow& row, double u);
  [[nodiscard]] std::optional<SampledToken> sample_logits(const OutputRow& row, double u);
  [[nodiscard]] std::optional<SampledToken> sample_descending(const OutputRow& row, Mass mass,
                                                              double u);
  [[nodiscard]] std::optional<size_t> draw(Mass mass, double u) const;
  [[nodiscard]] Mass total_mass(const OutputRow& row, double listed) const;
  void keep_top_k();
  double weigh();
  void list_logits(const OutputRow& row, std::span<const TokenId> allowed);

  const Sampling sampling_;
  const TokenId vocab_;
  std::vector<Candidate> listed_;  ///< what may be chosen
  std::vector<double> weights_;    ///< exp((logit - largest) / temperature) of listed_
};

/// The `count` likeliest tokens of a row in descending order, ties by ascending id.
[[nodiscard]] std::vector<TokenLogprob> likeliest(const OutputRow& row, TokenId vocab, int count);

/// The n-th number of a seed's sequence, uniform in [0, 1).
[[nodiscard]] double uniform(std::uint64_t seed, std::uint64_t n);

}  // namespace caretd::engine
