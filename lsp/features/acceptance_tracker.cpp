#include "lsp/features/acceptance_tracker.h"

#include <algorithm>
#include <utility>

namespace caretd::lsp {
namespace {

// One character of any script is at most four bytes.
constexpr std::size_t kOneCharacter = 4;
// Suggestions of a document that may be answered again; older ones were forgotten by then.
constexpr std::size_t kRememberedAsCounted = 64;

// How many bytes of `text` stand at `begin` of `now`, which is otherwise `base` with [begin, end)
// replaced or still there. Nothing when the document was changed elsewhere.
std::optional<std::size_t> present_bytes(const Document& base, std::size_t begin, std::size_t end,
                                         std::string_view text, const Document& now) {
  const std::string_view old_text = base.text.view();
  const std::string_view new_text = now.text.view();
  if (new_text.size() < begin || old_text.substr(0, begin) != new_text.substr(0, begin)) {
    return std::nullopt;
  }
  const std::string_view behind = new_text.substr(begin);
  const auto mismatch = std::mismatch(text.begin(), text.end(), behind.begin(), behind.end());
  const auto agreed = static_cast<std::size_t>(mismatch.first - text.begin());
  // Both the replaced and the kept form of [begin, end) may follow what was typed so far.
  for (std::size_t present = agreed;; --present) {
    const std::string_view tail = behind.substr(present);
    if (tail == old_text.substr(end) || tail == old_text.substr(begin)) return present;
    if (present == 0) return std::nullopt;
  }
}

bool stands_at(const Document& document, std::size_t begin, std::string_view text) {
  const std::string_view all = document.text.view();
  return begin <= all.size() && all.substr(begin, text.size()) == text;
}

}  // namespace

void AcceptanceTracker::on_shown(const PromptQuery& query, const Offer& offer) {
  Watched& watched = documents_[query.document->id];
  watched.language = query.document->language_id;
  if (watched.counted.insert(offer.suggestion).second) {
    statistics_.count_shown(query.document->language_id);
  }
  if (watched.counted.size() > kRememberedAsCounted) watched.counted.erase(watched.counted.begin());
  if (!watched.shown.empty() && watched.shown.front().suggestion == offer.suggestion) return;
  Shown shown{offer.suggestion, query.document, offer.begin, offer.end, offer.text, 0, false};
  watched.shown.assign(1, std::move(shown));
}

bool AcceptanceTracker::on_change(const DocumentSnapshot& before, const DocumentSnapshot& now) {
  const auto found = documents_.find(now->id);
  if (found == documents_.end()) return false;
  Watched& watched = found->second;
  settle(watched, *before, clock_.now() - kKeptAfter);
  for (const ByteEdit& edit : now->edits) {
    for (Accepted& accepted : watched.accepted) {
      if (edit.old_end <= accepted.begin) accepted.begin += edit.new_end - edit.old_end;
    }
  }
  return follow(watched, now);
}

bool AcceptanceTracker::follow(Watched& watched, const DocumentSnapshot& now) {
  if (watched.shown.empty()) return false;
  Shown& shown = watched.shown.front();
  const auto present = present_bytes(*shown.base, shown.begin, shown.end, shown.text, *now);
  if (!present) {
    end_shown(watched);
    return false;
  }
  const std::size_t step = *present > shown.present ? *present - shown.present : 0;
  const bool at_one_stroke = step > kOneCharacter || (step > 1 && step == shown.text.size());
  if (at_one_stroke && *present < shown.text.size()) shown.by_words = true;
  shown.present = *present;
  if (shown.present < shown.text.size()) return false;

  const Acceptance how = shown.by_words  ? Acceptance::words
                         : at_one_stroke ? Acceptance::full
                                         : Acceptance::typed;
  statistics_.count_accepted(how, static_cast<std::int64_t>(shown.text.size()), now->language_id);
  if (how != Acceptance::typed) {
    watched.accepted.push_back({shown.begin, shown.text, clock_.now()});
  }
  watched.shown.clear();
  return how == Acceptance::full;
}

void AcceptanceTracker::end_shown(Watched& watched) {
  for (const Shown& shown : watched.shown) {
    if (!shown.by_words) continue;
    statistics_.count_accepted(Acceptance::words, static_cast<std::int64_t>(shown.present),
                               watched.language);
    watched.accepted.push_back({shown.begin, shown.text.substr(0, shown.present), clock_.now()});
  }
  watched.shown.clear();
}

void AcceptanceTracker::settle(Watched& watched, const Document& document, TimePoint until) {
  std::erase_if(watched.accepted, [&](const Accepted& accepted) {
    if (accepted.at > until) return false;
    statistics_.count_kept(stands_at(document, accepted.begin, accepted.text));
    return true;
  });
}

void AcceptanceTracker::confirm(std::uint64_t suggestion) {
  for (auto& [id, watched] : documents_) {
    if (watched.shown.empty() || watched.shown.front().suggestion != suggestion) continue;
    statistics_.count_accepted(Acceptance::full,
                               static_cast<std::int64_t>(watched.shown.front().text.size()),
                               watched.language);
    watched.shown.clear();
  }
}

void AcceptanceTracker::on_left(std::uint64_t document) {
  const auto found = documents_.find(document);
  if (found != documents_.end()) end_shown(found->second);
}

void AcceptanceTracker::on_close(const DocumentSnapshot& last) {
  const auto found = documents_.find(last->id);
  if (found == documents_.end()) return;
  settle(found->second, *last, clock_.now() - kKeptAfter);
  documents_.erase(found);
}

}  // namespace caretd::lsp
