#include "lsp/syntax/tree_store.h"

namespace caretd::lsp {

SyntaxTreePtr TreeStore::parse_from(const Entry* known, const Document& document) const {
  if (known) {
    const auto edits = documents_.edits_between(document.id, known->revision, document.revision);
    if (edits) return reparse(*known->tree, *edits, document.text.view(), limits_, clock_);
  }
  const Language& language = find_language(document.language_id, document.uri);
  return parse(language, document.text.view(), limits_, clock_);
}

std::optional<TreeStore::Entry> TreeStore::use(std::uint64_t document_id) {
  const std::lock_guard lock(mutex_);
  const Entry* entry = entries_.use(document_id);
  return entry ? std::optional(*entry) : std::nullopt;
}

SyntaxTreePtr TreeStore::tree_of(const DocumentSnapshot& document) {
  const std::optional<Entry> known = use(document->id);
  if (known && known->tree && known->revision == document->revision) return known->tree;
  if (known && !known->tree && document->revision < known->revision + kRetryAfter) return nullptr;

  const bool reusable = known && known->tree && known->revision < document->revision;
  const SyntaxTreePtr tree = parse_from(reusable ? &*known : nullptr, *document);

  const std::lock_guard lock(mutex_);
  const Entry* latest = entries_.find(document->id);
  if (!latest || document->revision >= latest->revision) {
    entries_.put(document->id, {document->revision, tree}, tree ? tree->bytes() : 0);
  }
  return tree;
}

SyntaxTreePtr TreeStore::find(const Document& document) const {
  const std::lock_guard lock(mutex_);
  const Entry* entry = entries_.find(document.id);
  return entry && entry->revision == document.revision ? entry->tree : nullptr;
}

bool TreeStore::has_older(const Document& document) const {
  const std::lock_guard lock(mutex_);
  const Entry* entry = entries_.find(document.id);
  return entry && entry->tree && entry->revision < document.revision;
}

void TreeStore::forget(std::uint64_t document_id) {
  const std::lock_guard lock(mutex_);
  entries_.forget(document_id);
}

}  // namespace caretd::lsp
