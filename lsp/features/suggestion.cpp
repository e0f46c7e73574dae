#include "lsp/features/suggestion.h"

#include <algorithm>
#include <utility>

namespace caretd::lsp {
namespace {

// More than editors insert at one keystroke.
constexpr std::size_t kMostClosers = 8;

bool is_closer(char c) {
  return std::string_view(")]}>\"'`").find(c) != std::string_view::npos;
}

// What stands in `now` in front of `before`, nothing if that is no run of closers.
std::optional<std::string_view> closers_inserted(std::string_view before, std::string_view now) {
  if (now.size() < before.size() || now.size() - before.size() > kMostClosers) return std::nullopt;
  const std::string_view inserted = now.substr(0, now.size() - before.size());
  if (!std::all_of(inserted.begin(), inserted.end(), is_closer)) return std::nullopt;
  if (!now.ends_with(before)) return std::nullopt;
  return inserted;
}

std::string typed_text(const PromptQuery& query, std::size_t begin) {
  std::string typed(query.document->text.view().substr(begin, query.before - begin));
  typed += query.pending;
  return typed;
}

bool same_before(const Document& base, const Document& now, std::size_t begin) {
  return base.text.view().substr(0, begin) == now.text.view().substr(0, begin);
}

// Whether all of `closers` occur in `text` in this order.
bool brings(std::string_view text, std::string_view closers) {
  std::size_t at = 0;
  for (const char closer : closers) {
    at = text.find(closer, at);
    if (at == std::string_view::npos) return false;
    ++at;
  }
  return true;
}

}  // namespace

std::optional<Offer> fit(const Suggestion& suggestion, const PromptQuery& query) {
  const Document& base = *suggestion.base;
  const Document& now = *query.document;
  if (base.id != now.id || query.before < suggestion.begin) return std::nullopt;
  if (query.before - suggestion.begin > suggestion.text.size()) return std::nullopt;

  const std::string typed = typed_text(query, suggestion.begin);
  if (typed.size() < suggestion.continues || typed.size() >= suggestion.text.size() ||
      !suggestion.text.starts_with(typed)) {
    return std::nullopt;
  }
  const auto closers = closers_inserted(base.text.view().substr(suggestion.after),
                                        now.text.view().substr(query.after));
  if (!closers || !same_before(base, now, suggestion.begin)) return std::nullopt;

  const std::string_view rest = std::string_view(suggestion.text).substr(typed.size());
  Offer offer{suggestion.id, query.before, query.after, query.pending + std::string(rest),
              typed.size() - query.pending.size()};
  if (brings(rest, *closers)) {
    offer.end += closers->size() + (suggestion.end - suggestion.after);
  } else if (suggestion.end != suggestion.after) {
    return std::nullopt;
  }
  return offer;
}

std::optional<std::string> typed_since(const PromptQuery& base, const PromptQuery& query) {
  if (base.document->id != query.document->id || query.before < base.before) return std::nullopt;
  const auto closers = closers_inserted(base.document->text.view().substr(base.after),
                                        query.document->text.view().substr(query.after));
  if (!closers || !same_before(*base.document, *query.document, base.before)) return std::nullopt;
  std::string typed = typed_text(query, base.before);
  if (!typed.starts_with(base.pending)) return std::nullopt;
  return typed.substr(base.pending.size());
}

void SuggestionCache::add(Suggestion suggestion) {
  entries_.push_front(std::move(suggestion));
  drop_oldest();
}

void SuggestionCache::drop_oldest() {
  constexpr std::size_t kKept = 2;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    bytes += entries_[i].base->text.size();
    if (i < capacity_ && (i < kKept || bytes <= bytes_)) continue;
    return entries_.resize(i);
  }
}

void SuggestionCache::add_last(Suggestion suggestion) {
  if (entries_.size() >= capacity_) entries_.pop_back();
  entries_.push_back(std::move(suggestion));
}

std::optional<Offer> SuggestionCache::find(const PromptQuery& query) const {
  for (const Suggestion& suggestion : entries_) {
    if (std::optional<Offer> offer = fit(suggestion, query)) return offer;
  }
  return std::nullopt;
}

}  // namespace caretd::lsp
