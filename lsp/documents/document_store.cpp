#include "lsp/documents/document_store.h"

#include <utility>

namespace caretd::lsp {
namespace {

// Documents one session may open before their ids reach into the next session's.
constexpr int kDocumentBits = 32;

ByteEdit apply(Text& text, const ContentChange& change, PositionEncoding encoding) {
  if (!change.range) {
    const ByteEdit all{0, text.size(), change.text.size(), {}, text.point_at(text.size()), {}};
    text = Text(change.text);
    ByteEdit edit = all;
    edit.new_end_point = text.point_at(text.size());
    return edit;
  }
  std::size_t begin = text.offset_at(change.range->start, encoding);
  std::size_t end = text.offset_at(change.range->end, encoding);
  if (end < begin) std::swap(begin, end);
  return text.replace(begin, end, change.text);
}

}  // namespace

DocumentSnapshot DocumentStore::open(std::string uri, std::string language_id, std::int64_t version,
                                     std::string text) {
  auto document = std::make_shared<Document>();
  document->language_id = std::move(language_id);
  document->version = version;
  document->text = Text(std::move(text));
  document->uri = uri;

  const std::lock_guard lock(mutex_);
  document->id = (session_ << kDocumentBits) | ++opened_;
  entries_[std::move(uri)] = Entry{document, {}};
  return document;
}

Result<DocumentSnapshot> DocumentStore::change(const std::string& uri, std::int64_t version,
                                               std::span<const ContentChange> changes,
                                               PositionEncoding encoding) {
  const DocumentSnapshot before = find(uri);
  if (!before) {
    return fail(ErrorKind::not_found, "a change of a document that is not open was ignored");
  }
  auto document = std::make_shared<Document>(*before);
  document->version = version;
  ++document->revision;
  document->edits.clear();
  document->edits.reserve(changes.size());
  for (const ContentChange& change : changes) {
    document->edits.push_back(apply(document->text, change, encoding));
  }

  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[uri];
  entry.latest = document;
  entry.history.push_back(document->edits);
  if (entry.history.size() > kRememberedEdits) entry.history.pop_front();
  return document;
}

DocumentSnapshot DocumentStore::close(const std::string& uri) {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(uri);
  if (entry == entries_.end()) return nullptr;
  DocumentSnapshot last = entry->second.latest;
  entries_.erase(entry);
  return last;
}

DocumentSnapshot DocumentStore::find(const std::string& uri) const {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(uri);
  return entry == entries_.end() ? nullptr : entry->second.latest;
}

std::vector<DocumentSnapshot> DocumentStore::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<DocumentSnapshot> documents;
  documents.reserve(entries_.size());
  for (const auto& [uri, entry] : entries_) documents.push_back(entry.latest);
  return documents;
}

std::optional<std::vector<ByteEdit>> DocumentStore::edits_between(std::uint64_t id,
                                                                  std::uint64_t from,
                                                                  std::uint64_t to) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [uri, entry] : entries_) {
    if (entry.latest->id != id) continue;
    const std::uint64_t oldest = entry.latest->revision - entry.history.size();
    if (from < oldest || to < from || to > entry.latest->revision) return std::nullopt;
    std::vector<ByteEdit> edits;
    for (std::uint64_t revision = from; revision < to; ++revision) {
      const auto& step = entry.history[revision - oldest];
      edits.insert(edits.end(), step.begin(), step.end());
    }
    return edits;
  }
  return std::nullopt;
}

}  // namespace caretd::lsp
