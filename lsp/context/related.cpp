#include "lsp/context/related.h"

#include <algorithm>
#include <utility>

#include "lsp/context/secrets.h"

namespace caretd::lsp {
namespace {

// Two edits belong to one region if so few bytes lie between them.
constexpr std::size_t kSameRegion = 200;

// More than a prompt has room for: a line of minified code is left out unread.
constexpr std::size_t kLongestPiece = std::size_t{16} << 10;

bool overlaps(const ShownStretch& shown, std::uint64_t document_id, std::size_t begin,
              std::size_t end) {
  return shown.document_id == document_id && begin < shown.end && end > shown.begin;
}

std::size_t line_end_with_terminator(const Text& text, std::size_t line) {
  return line + 1 < text.line_count() ? text.line_start(line + 1) : text.size();
}

// Nothing where it is too long to be of use.
std::optional<RelatedPiece> make_piece(PieceKind kind, const OpenFile& file, std::size_t begin,
                                       std::size_t end, std::size_t max_lines) {
  const Text& text = file.document->text;
  const std::size_t first = text.line_of(begin);
  const std::size_t last = std::min(text.line_of(end > begin ? end - 1 : end),
                                    first + std::max<std::size_t>(max_lines, 1) - 1);
  const std::size_t piece_end = line_end_with_terminator(text, last);
  if (piece_end - text.line_start(first) > kLongestPiece) return std::nullopt;
  RelatedPiece piece;
  piece.kind = kind;
  piece.uri = file.document->uri;
  piece.path = file.path;
  piece.language = &find_language(file.document->language_id, file.document->uri);
  piece.begin = text.line_start(first);
  piece.end = piece_end;
  piece.text = redact(text.view().substr(piece.begin, piece.end - piece.begin),
                      redaction_state_at(text.view(), piece.begin));
  if (!piece.text.empty() && piece.text.back() != '\n') piece.text += '\n';
  return piece;
}

// Where the definition is after these edits; nothing if its beginning or its end was edited away.
std::optional<Definition> moved(Definition definition, const std::vector<ByteEdit>& edits) {
  for (const ByteEdit& edit : edits) {
    if (edit.start >= definition.end) continue;
    const std::size_t growth = edit.new_end - edit.old_end;  // wraps when it shrinks
    if (edit.old_end <= definition.begin) {
      definition.begin += growth;
    } else if (edit.start < definition.begin || edit.old_end > definition.end) {
      return std::nullopt;
    }
    definition.end += growth;
  }
  return definition;
}

bool is_covered(const std::vector<RelatedPiece>& pieces, const RelatedPiece& piece) {
  return std::ranges::any_of(pieces, [&](const RelatedPiece& other) {
    return other.uri == piece.uri && other.begin < piece.end && piece.begin < other.end;
  });
}

void add_definitions(std::vector<RelatedPiece>& pieces, std::span<const std::string> names,
                     std::span<const OpenFile> files, DefinitionIndex& index,
                     const ShownStretch& shown, const RelatedOptions& options) {
  std::vector<FileDefinitions> known;
  known.reserve(files.size());
  for (const OpenFile& file : files) known.push_back(index.definitions_of(file));
  for (const std::string& name : names) {
    for (std::size_t i = 0; i < files.size(); ++i) {
      const OpenFile& file = files[i];
      const std::optional<Definition> found = known[i].find(name);
      if (!found) continue;
      if (overlaps(shown, file.document->id, found->begin, found->end)) break;
      std::optional<RelatedPiece> piece =
          make_piece(PieceKind::definition, file, found->begin, found->end, options.lines);
      if (piece && !is_covered(pieces, *piece)) pieces.push_back(*std::move(piece));
      break;
    }
  }
}

void add_recent_edits(std::vector<RelatedPiece>& pieces, std::span<const OpenFile> files,
                      const RecentEdits& edits, const ShownStretch& shown,
                      const RelatedOptions& options) {
  for (const RecentEdits::Region& region : edits.regions()) {
    const auto file = std::ranges::find_if(
        files, [&](const OpenFile& f) { return f.document->id == region.document_id; });
    if (file == files.end() || region.end > file->document->text.size()) continue;
    const Text& text = file->document->text;
    // A line of context on either side.
    const std::size_t line = text.line_of(region.begin);
    const std::size_t begin = text.line_start(line > 0 ? line - 1 : 0);
    const std::size_t last = std::min(text.line_of(region.end) + 1, text.line_count() - 1);
    const std::size_t end = line_end_with_terminator(text, last);
    if (overlaps(shown, region.document_id, begin, end)) continue;
    std::optional<RelatedPiece> piece =
        make_piece(PieceKind::recent_edit, *file, begin, end, options.lines);
    if (piece && !is_covered(pieces, *piece)) pieces.push_back(*std::move(piece));
  }
}

}  // namespace

DefinitionIndex::Entry DefinitionIndex::entry_of(const OpenFile& file) {
  const Document& document = *file.document;
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(document.id);
    const Entry known = found == entries_.end() ? Entry{} : found->second;
    const bool current = known.definitions && known.revision == document.revision;
    if (current || !file.tree) return known;
  }
  auto definitions = std::make_shared<DefinitionsByName>();
  for (Definition& definition : finder_.definitions(*file.tree, document.text.view())) {
    definitions->emplace(definition.name, std::move(definition));
  }
  const Entry fresh{document.revision, std::move(definitions)};
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[document.id];
  if (!entry.definitions || entry.revision <= fresh.revision) entry = fresh;
  return fresh;
}

FileDefinitions DefinitionIndex::definitions_of(const OpenFile& file) {
  Entry entry = entry_of(file);
  return {std::move(entry.definitions), entry.revision, file.document, documents_};
}

std::optional<Definition> FileDefinitions::find(const std::string& name) {
  if (!definitions_) return std::nullopt;
  const auto found = definitions_->find(name);
  if (found == definitions_->end()) return std::nullopt;
  if (!std::exchange(asked_for_edits_, true)) {
    edits_ = documents_.edits_between(document_->id, revision_, document_->revision);
  }
  return edits_ ? moved(found->second, *edits_) : std::nullopt;
}

void DefinitionIndex::forget(std::uint64_t document_id) {
  const std::lock_guard lock(mutex_);
  entries_.erase(document_id);
}

void RecentEdits::note(const Document& document) {
  const std::lock_guard lock(mutex_);
  for (const ByteEdit& edit : document.edits) {
    for (Region& region : regions_) {
      if (region.document_id != document.id || edit.start >= region.end) continue;
      const std::size_t begin = std::min(region.begin, edit.start);
      const std::size_t end = std::max(region.end, edit.old_end) - edit.old_end + edit.new_end;
      if (edit.old_end <= region.begin) {
        region.begin = region.begin - edit.old_end + edit.new_end;
      } else {
        region.begin = begin;
      }
      region.end = std::max(end, region.begin);
    }
    const bool near = !regions_.empty() && regions_.back().document_id == document.id &&
                      edit.start <= regions_.back().end + kSameRegion &&
                      edit.new_end + kSameRegion >= regions_.back().begin;
    if (near) {
      regions_.back().begin = std::min(regions_.back().begin, edit.start);
      regions_.back().end = std::max(regions_.back().end, edit.new_end);
    } else {
      regions_.push_back({document.id, edit.start, edit.new_end});
    }
    if (regions_.size() > capacity_) regions_.pop_front();
  }
}

void RecentEdits::forget(std::uint64_t document_id) {
  const std::lock_guard lock(mutex_);
  std::erase_if(regions_, [&](const Region& r) { return r.document_id == document_id; });
}

std::vector<RecentEdits::Region> RecentEdits::regions() const {
  const std::lock_guard lock(mutex_);
  return {regions_.rbegin(), regions_.rend()};
}

std::vector<RelatedPiece> find_related(std::span<const std::string> names,
                                       std::span<const OpenFile> files, DefinitionIndex& index,
                                       const RecentEdits& edits, const ShownStretch& shown,
                                       const RelatedOptions& options) {
  std::vector<RelatedPiece> pieces;
  if (options.definitions) add_definitions(pieces, names, files, index, shown, options);
  if (options.recent_edits) add_recent_edits(pieces, files, edits, shown, options);
  return pieces;
}

}  // namespace caretd::lsp
