// What is derived from open documents and kept for the next time, within a budget of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>
#include <utility>

namespace caretd::lsp {

/// One value a document. When all of them together cost more than the budget, those go that were
/// used the longest ago; the one used last stays, whatever it costs. Not thread-safe.
template <typename Value>
class DocumentCache {
 public:
  explicit DocumentCache(std::size_t budget_bytes) : budget_(budget_bytes) {}

  /// Null if there is none. Valid until the next put() or forget().
  [[nodiscard]] const Value* find(std::uint64_t document_id) const {
    const auto place = places_.find(document_id);
    return place == places_.end() ? nullptr : &place->second->value;
  }

  /// The same, and counts as a use.
  [[nodiscard]] const Value* use(std::uint64_t document_id) {
    const auto place = places_.find(document_id);
    if (place == places_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, place->second);
    return &place->second->value;
  }

  /// Replaces what is there; counts as a use.
  void put(std::uint64_t document_id, Value value, std::size_t bytes) {
    forget(document_id);
    entries_.push_front({document_id, std::move(value), bytes});
    places_.emplace(document_id, entries_.begin());
    bytes_ += bytes;
    while (bytes_ > budget_ && entries_.size() > 1) forget(entries_.back().document_id);
  }

  void forget(std::uint64_t document_id) {
    const auto place = places_.find(document_id);
    if (place == places_.end()) return;
    bytes_ -= place->second->bytes;
    entries_.erase(place->second);
    places_.erase(place);
  }

 private:
  struct Entry {
    std::uint64_t document_id = 0;
    Value value;
    std::size_t bytes = 0;
  };

  const std::size_t budget_;
  std::size_t bytes_ = 0;
  std::list<Entry> entries_;  // the one used last in front
  std::unordered_map<std::uint64_t, typename std::list<Entry>::iterator> places_;
};

}  // namespace caretd::lsp
