#include "lsp/syntax/tree_store.h"

#include <optional>

namespace caretd::lsp {

SyntaxTreePtr TreeStore::parse_from(const Entry* known, const Document& document) const {
  if (known) {
    const auto edits = documents_.edits_between(document.id, known->revision, document.revision);
    if (edits) return reparse(*known->tree, *edits, document.text.view(), limits_, clock_);
  }
  const Language& language = find_language(document.language_id, document.uri);
  return parse(language, document.text.view(), limits_, clock_);
}

SyntaxTreePtr TreeStore::tree_of(const DocumentSnapshot& document) {
  std::optional<Entry> known;
  {
    const std::lock_guard lock(mutex_);
    const auto entry = entries_.find(document->id);
    if (entry != entries_.end()) known = entry->second;
  }
  if (known && known->tree && known->revision == document->revision) return known->tree;
  if (known && !known->tree && document->revision < known->revision + kRetryAfter) return nullptr;

  const bool reusable = known && known->tree && known->revision < document->revision;
  const SyntaxTreePtr tree = parse_from(reusable ? &*known : nullptr, *document);

  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[document->id];
  if (document->revision >= entry.revision) entry = {document->revision, tree};
  return tree;
}

SyntaxTreePtr TreeStore::find(const Document& document) const {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(document.id);
  if (entry == entries_.end() || entry->second.revision != document.revision) return nullptr;
  return entry->second.tree;
}

bool TreeStore::has_older(const Document& document) const {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(document.id);
  return entry != entries_.end() && entry->second.tree &&
         entry->second.revision < document.revision;
}

void TreeStore::forget(std::uint64_t document_id) {
  const std::lock_guard lock(mutex_);
  entries_.erase(document_id);
}

}  // namespace caretd::lsp
