#include "engine/cpu/expert_lists.h"

namespace caretd::engine {

void ExpertLists::start(int tokens, int experts_per_token) {
  per_token_ = static_cast<std::size_t>(experts_per_token);
  choices_.resize(static_cast<std::size_t>(tokens) * per_token_);
  slots_.resize(choices_.size());
  tokens_.resize(choices_.size());
}

std::span<kernels::cpu::ChosenExpert> ExpertLists::choices(int token) {
  return std::span(choices_).subspan(static_cast<std::size_t>(token) * per_token_, per_token_);
}

std::span<const int> ExpertLists::slots_of(int token) const {
  return std::span(slots_).subspan(static_cast<std::size_t>(token) * per_token_, per_token_);
}

void ExpertLists::group(int experts) {
  next_slot_.assign(static_cast<std::size_t>(experts), 0);
  for (const auto& choice : choices_) ++next_slot_[static_cast<std::size_t>(choice.expert)];
  lists_.clear();
  int slot = 0;
  for (int expert = 0; expert < experts; ++expert) {
    int& next = next_slot_[static_cast<std::size_t>(expert)];
    const int count = next;
    if (count > 0) lists_.push_back({.expert = expert, .first_slot = slot, .slots = count});
    next = slot;
    slot += count;
  }
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    slots_[i] = next_slot_[static_cast<std::size_t>(choices_[i].expert)]++;
    tokens_[static_cast<std::size_t>(slots_[i])] = static_cast<int>(i / per_token_);
  }
}

}  // namespace caretd::engine
