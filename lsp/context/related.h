// Context from elsewhere, in front of the prompt: definitions of identifiers near the cursor and
// regions edited a moment ago.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lsp/context/prompt_parts.h"
#include "lsp/documents/document_store.h"
#include "lsp/syntax/definitions.h"

namespace caretd::lsp {

/// Switches and sizes.
struct RelatedOptions {
  bool definitions = true;
  bool recent_edits = true;
  double share = 0.25;     ///< of the prompt's budget, at most
  std::size_t lines = 12;  ///< of one definition or region
};

/// A stretch of a document that may go in front of the prompt, secrets cut.
struct RelatedPiece {
  PieceKind kind = PieceKind::definition;
  std::string uri;
  std::string path;  ///< relative to the workspace, for the header
  const Language* language = nullptr;
  std::size_t begin = 0;
  std::size_t end = 0;
  std::string text;  ///< whole lines
};

/// One open document as the search sees it. Documents that match ignore rules are left out by the
/// caller.
struct OpenFile {
  DocumentSnapshot document;
  std::string path;
  /// Of this revision. Null: it has none, or was not parsed since it changed.
  SyntaxTreePtr tree;
};

/// The first definition of each name.
using DefinitionsByName = std::unordered_map<std::string, Definition>;

/// What is known of one file's definitions, for many names. One thread at a time.
class FileDefinitions {
 public:
  /// `definitions` (may be null) are those of `revision` of the file. `documents` is asked for the
  /// edits since, once and only where a name is found.
  FileDefinitions(std::shared_ptr<const DefinitionsByName> definitions, std::uint64_t revision,
                  DocumentSnapshot document, const DocumentStore& documents)
      : definitions_(std::move(definitions)),
        revision_(revision),
        document_(std::move(document)),
        documents_(documents) {}

  /// The first definition of `name`, where it is in the file's present text; one whose beginning or
  /// end was edited away is not found.
  [[nodiscard]] std::optional<Definition> find(const std::string& name);

 private:
  std::shared_ptr<const DefinitionsByName> definitions_;
  std::uint64_t revision_ = 0;
  DocumentSnapshot document_;
  const DocumentStore& documents_;
  std::optional<std::vector<ByteEdit>> edits_;
  bool asked_for_edits_ = false;
};

/// Definitions of open documents, kept until a newer tree of theirs comes. Thread-safe.
class DefinitionIndex {
 public:
  /// `documents` knows what happened to a file since it was parsed; both must outlive the index.
  DefinitionIndex(DefinitionFinder& finder, const DocumentStore& documents)
      : finder_(finder), documents_(documents) {}

  /// Without a tree of this revision the definitions of the last one count, moved by the edits
  /// since.
  [[nodiscard]] FileDefinitions definitions_of(const OpenFile& file);
  void forget(std::uint64_t document_id);

 private:
  struct Entry {
    std::uint64_t revision = 0;
    std::shared_ptr<const DefinitionsByName> definitions;  // null: no tree came yet
  };

  [[nodiscard]] Entry entry_of(const OpenFile& file);

  DefinitionFinder& finder_;
  const DocumentStore& documents_;
  std::mutex mutex_;
  std::map<std::uint64_t, Entry> entries_;
};

/// Regions edited lately, over all documents of a session; the oldest fall out. Thread-safe.
class RecentEdits {
 public:
  explicit RecentEdits(std::size_t capacity = 32) : capacity_(capacity) {}

  /// Notes what led to this revision. Edits near the last noted one extend it.
  void note(const Document& document);
  void forget(std::uint64_t document_id);

  struct Region {
    std::uint64_t document_id = 0;
    std::size_t begin = 0;  ///< bytes of the document's newest noted revision
    std::size_t end = 0;
  };
  /// The latest first.
  [[nodiscard]] std::vector<Region> regions() const;

 private:
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::deque<Region> regions_;  // the latest last
};

/// Bytes of the current document that the prompt shows anyway: nothing from there is related.
struct ShownStretch {
  std::uint64_t document_id = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// What to put in front of the prompt, best first within its kind: definitions of the identifiers
/// nearest to the hole (`names`), then recent edits.
[[nodiscard]] std::vector<RelatedPiece> find_related(
    std::span<const std::string> names, std::span<const OpenFile> files, DefinitionIndex& index,
    const RecentEdits& edits, const ShownStretch& shown, const RelatedOptions& options);

}  // namespace caretd::lsp
