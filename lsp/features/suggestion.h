// A suggestion and whether it still fits where the cursor is now.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "lsp/context/prompt_parts.h"

namespace caretd::lsp {

/// Text that belongs at one place of one version of a document: it replaces bytes [begin, end) of
/// `base`, where [after, end) are closers behind the cursor that the text brings itself.
struct Suggestion {
  std::uint64_t id = 0;  ///< names it in statistics and in the accept command
  DocumentSnapshot base;
  std::size_t begin = 0;
  std::size_t after = 0;
  std::size_t end = 0;
  std::string text;
  /// Bytes of `text` that must stand in the document before the rest is offered: the length of the
  /// suggestion this one continues, 0 for one that continues none.
  std::size_t continues = 0;
};

/// What is offered to the editor: replace bytes [begin, end) of the asking document by `text`.
struct Offer {
  std::uint64_t suggestion = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
  std::string text;
  std::size_t typed = 0;  ///< bytes of the suggestion that the user has typed or accepted before
};

/// The rest of `suggestion` at the query's place, if everything in front of it is unchanged, what
/// was typed since is its beginning, and nothing but closers was inserted behind the cursor
/// (editors close brackets by themselves; those that the rest contains are replaced). Nothing else
/// fits.
[[nodiscard]] std::optional<Offer> fit(const Suggestion& suggestion, const PromptQuery& query);

/// The bytes between the beginning of a suggestion for `base` and the query's cursor, if the
/// document is otherwise the same; for a suggestion that is still growing.
[[nodiscard]] std::optional<std::string> typed_since(const PromptQuery& base,
                                                     const PromptQuery& query);

/// The last suggestions of one document. Not thread-safe.
class SuggestionCache {
 public:
  /// Every suggestion keeps the version of the document that it was made for: at most `capacity`
  /// of them, and so many bytes of text, save for the two newest.
  explicit SuggestionCache(std::size_t capacity = 16, std::size_t bytes = std::size_t{4} << 20)
      : capacity_(capacity), bytes_(bytes) {}

  void add(Suggestion suggestion);
  /// As the one that is found last: an alternative.
  void add_last(Suggestion suggestion);
  /// The newest that fits. Exact text comparison, so a hit is never wrong.
  [[nodiscard]] std::optional<Offer> find(const PromptQuery& query) const;
  void clear() { entries_.clear(); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  void drop_oldest();

  const std::size_t capacity_;
  const std::size_t bytes_;
  std::deque<Suggestion> entries_;  // newest first
};

}  // namespace caretd::lsp
