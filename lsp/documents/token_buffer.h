// The token ids of an open document, line by line: only edited lines are encoded again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "lsp/context/secrets.h"
#include "lsp/documents/document_cache.h"
#include "lsp/documents/document_store.h"

namespace caretd::lsp {

/// The tokens of one revision. Lines are those of Text, each with its terminator. Secrets are cut
/// (lsp/context/secrets.h) before anything is encoded. Immutable and cheap to copy from: revisions
/// share the lines that are equal. Lines beyond 16 KiB (minified code) are not encoded until a part
/// of them is asked for.
class TokenBuffer {
 public:
  /// Encodes `document`, reusing what `before` (may be null) has of it. Without a tokenizer (an
  /// engine elsewhere that has none here) tokens are estimated from bytes.
  static std::shared_ptr<const TokenBuffer> build(
      DocumentSnapshot document, std::shared_ptr<const engine::Tokenizer> tokenizer,
      const TokenBuffer* before);

  [[nodiscard]] const Document& document() const { return *document_; }
  [[nodiscard]] std::size_t line_count() const { return lines_.size(); }

  /// How many tokens the line is; an estimate where !exact().
  [[nodiscard]] int tokens(std::size_t line) const { return lines_[line]->tokens; }

  /// Whether ids are there and those of neighbouring lines put together are the ids of the text.
  [[nodiscard]] bool exact() const { return exact_; }

  /// The bytes [begin, end) of the document with secrets cut. A cut through a secret cuts it whole.
  [[nodiscard]] std::string text(std::size_t begin, std::size_t end) const;

  /// The same as ids; only where exact(). `begin` and `end` lie anywhere; parts of lines are
  /// encoded now.
  [[nodiscard]] std::vector<engine::TokenId> ids(std::size_t begin, std::size_t end) const;

  /// How many tokens [begin, end) is.
  [[nodiscard]] int count(std::size_t begin, std::size_t end) const;

  /// Whether a secret begins or ends in [begin, end] or covers it.
  [[nodiscard]] bool touches_secret(std::size_t begin, std::size_t end) const;

  [[nodiscard]] const engine::Tokenizer* tokenizer() const { return tokenizer_.get(); }

  /// What the buffer takes, the version of the document that it holds included; lines shared with
  /// other buffers or with one another count as often as they are there.
  [[nodiscard]] std::size_t bytes() const;

  /// Of arbitrary text, in the same way as the lines.
  [[nodiscard]] int count(std::string_view text) const;

 private:
  struct Line {
    std::vector<engine::TokenId> ids;  // empty without a tokenizer
    std::vector<SecretSpan> secrets;   // bytes of the line
    RedactionState before;
    RedactionState after;
    int tokens = 0;
    /// Longer than kLongLine: neither encoded nor searched as a whole, `tokens` is an estimate.
    bool is_long = false;
  };
  static constexpr std::size_t kLongLine = std::size_t{16} << 10;
  using LinePtr = std::shared_ptr<const Line>;

  [[nodiscard]] std::string_view line_text(std::size_t line) const;
  [[nodiscard]] LinePtr encode(std::string_view line, RedactionState state) const;
  void fill(const TokenBuffer* before);
  [[nodiscard]] std::vector<SecretSpan> secrets_in(std::size_t line, std::size_t begin,
                                                   std::size_t end) const;
  [[nodiscard]] std::string redacted_part(std::size_t line, std::size_t begin,
                                          std::size_t end) const;

  DocumentSnapshot document_;
  std::shared_ptr<const engine::Tokenizer> tokenizer_;
  bool exact_ = false;
  std::vector<LinePtr> lines_;
};

using TokenBufferPtr = std::shared_ptr<const TokenBuffer>;

/// The newest token buffers of the open documents used last. Thread-safe; encoding runs on the
/// caller's thread.
class TokenBuffers {
 public:
  static constexpr std::size_t kBudget = std::size_t{32} << 20;

  /// The buffers kept take `budget` bytes at most, save a single one that is larger.
  explicit TokenBuffers(std::size_t budget = kBudget) : buffers_(budget) {}

  /// The buffer of exactly this revision, encoded now if need be.
  [[nodiscard]] TokenBufferPtr buffer_of(const DocumentSnapshot& document,
                                         const std::shared_ptr<const engine::Tokenizer>& tokenizer);
  void forget(std::uint64_t document_id);

 private:
  std::mutex mutex_;
  DocumentCache<TokenBufferPtr> buffers_;
};

}  // namespace caretd::lsp
