// The newest syntax trees of the open documents in use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>

#include "lsp/documents/document_cache.h"
#include "lsp/documents/document_store.h"
#include "lsp/syntax/syntax_tree.h"

namespace caretd::lsp {

/// Thread-safe. Parsing runs on the caller's thread, outside the lock. A tree takes some twenty
/// times the bytes of its text, so only those used last are kept.
class TreeStore {
 public:
  static constexpr std::size_t kBudget = std::size_t{64} << 20;

  /// `documents` knows the edits between revisions; both must outlive the store. The trees kept
  /// take `budget` bytes at most, save a single one that is larger.
  TreeStore(const DocumentStore& documents, const Clock& clock, ParseLimits limits = {},
            std::size_t budget = kBudget)
      : documents_(documents), clock_(clock), limits_(limits), entries_(budget) {}

  /// The tree of exactly this revision, parsed from the newest known one where that is possible.
  /// Null: no grammar, or the file is too slow or large to parse (see ParseLimits); such a file is
  /// tried again after kRetryAfter revisions.
  [[nodiscard]] SyntaxTreePtr tree_of(const DocumentSnapshot& document);

  /// The same if it is there already, without parsing; no use that keeps it.
  [[nodiscard]] SyntaxTreePtr find(const Document& document) const;

  /// Whether the tree of an older revision is there, which tree_of() would parse from.
  [[nodiscard]] bool has_older(const Document& document) const;

  void forget(std::uint64_t document_id);

  static constexpr std::uint64_t kRetryAfter = 200;

 private:
  struct Entry {
    std::uint64_t revision = 0;
    SyntaxTreePtr tree;  // null: given up at `revision`
  };

  [[nodiscard]] std::optional<Entry> use(std::uint64_t document_id);
  [[nodiscard]] SyntaxTreePtr parse_from(const Entry* known, const Document& document) const;

  const DocumentStore& documents_;
  const Clock& clock_;
  const ParseLimits limits_;
  mutable std::mutex mutex_;
  DocumentCache<Entry> entries_;
};

}  // namespace caretd::lsp
