// The open documents of one session as immutable snapshots.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lsp/documents/position.h"
#include "lsp/documents/text.h"
#include "support/result.h"

namespace caretd::lsp {

/// One version of one open document. Immutable once published; hold it as long as needed.
struct Document {
  /// Unique over all sessions of the process and never used again; the engine's CacheOwner.
  std::uint64_t id = 0;
  std::string uri;             ///< as the client wrote it
  std::string language_id;     ///< as the client wrote it ("python", "typescriptreact", ...)
  std::int64_t version = 0;    ///< the client's number
  std::uint64_t revision = 0;  ///< ours: 0 at didOpen, one more for each didChange
  Text text;
  /// What leads from revision - 1 to this one, in order; empty at revision 0. A change without a
  /// range is one edit of the whole text.
  std::vector<ByteEdit> edits;
};

using DocumentSnapshot = std::shared_ptr<const Document>;

/// One entry of didChange's contentChanges.
struct ContentChange {
  std::optional<Range> range;  ///< absent: `text` is the whole document
  std::string text;
};

/// All member functions are thread-safe; changes of one document are expected in order.
class DocumentStore {
 public:
  /// `session` numbers the sessions of a process from 1; it makes Document::id unique.
  explicit DocumentStore(std::uint64_t session) : session_(session) {}

  /// A document that is open already is replaced (a new id, revision 0).
  DocumentSnapshot open(std::string uri, std::string language_id, std::int64_t version,
                        std::string text);

  /// Applies the changes in order, each against the state after the one before. Positions are
  /// clamped, so the only failure is ErrorKind::not_found for a document that is not open.
  Result<DocumentSnapshot> change(const std::string& uri, std::int64_t version,
                                  std::span<const ContentChange> changes,
                                  PositionEncoding encoding);

  /// The last snapshot; null if the document was not open.
  DocumentSnapshot close(const std::string& uri);

  /// Null if the document is not open.
  [[nodiscard]] DocumentSnapshot find(const std::string& uri) const;
  [[nodiscard]] std::vector<DocumentSnapshot> all() const;

  /// The edits that lead from one revision of the document with this id to a later one. Nothing if
  /// the document was closed or `from` is too long ago (kRememberedEdits): start afresh then.
  [[nodiscard]] std::optional<std::vector<ByteEdit>> edits_between(std::uint64_t id,
                                                                   std::uint64_t from,
                                                                   std::uint64_t to) const;
  static constexpr std::size_t kRememberedEdits = 1024;

 private:
  struct Entry {
    DocumentSnapshot latest;
    /// The edits of each revision, oldest first; the last belongs to latest->revision.
    std::deque<std::vector<ByteEdit>> history;
  };

  const std::uint64_t session_;
  mutable std::mutex mutex_;
  std::uint64_t opened_ = 0;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace caretd::lsp
