// Which tokens go to which expert: the router's choices, grouped so that every expert's weights are
// read once for all of its tokens.
#pragma once

#include <span>
#include <vector>

#include "kernels/cpu/router.h"

namespace caretd::engine {

/// A slot is one (token, chosen expert) pair. Slots of one expert are neighbours, in the order of
/// their tokens.
class ExpertLists {
 public:
  struct List {
    int expert = 0;
    int first_slot = 0;
    int slots = 0;
  };

  void start(int tokens, int experts_per_token);
  /// To be filled for every token, then group().
  [[nodiscard]] std::span<kernels::cpu::ChosenExpert> choices(int token);
  void group(int experts);

  /// The experts that have tokens, ascending.
  [[nodiscard]] std::span<const List> lists() const { return lists_; }
  [[nodiscard]] int slots() const { return static_cast<int>(choices_.size()); }
  [[nodiscard]] int token_of(int slot) const { return tokens_[static_cast<std::size_t>(slot)]; }
  /// The slots of a token, in the order of its choices.
  [[nodiscard]] std::span<const int> slots_of(int token) const;

 private:
  std::size_t per_token_ = 0;
  std::vector<kernels::cpu::ChosenExpert> choices_;  ///< [tokens][per_token_]
  std::vector<int> slots_;                           ///< [tokens][per_token_]
  std::vector<int> tokens_;                          ///< [slots]
  std::vector<int> next_slot_;                       ///< [experts], while grouping
  std::vector<List> lists_;
};

}  // namespace caretd::engine
