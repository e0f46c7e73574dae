// Finds added tokens in text, before anything else is done to it.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/text/pattern.h"
#include "engine/text/regex.h"
#include "engine/text/tokenizer_file.h"
#include "engine/types.h"
#include "support/result.h"

namespace caretd::engine {

/// A stretch of text: an added token, or text to be encoded.
struct TextSegment {
  Span span;
  std::optional<TokenId> token;
};

/// Immutable after creation; thread-safe. Matches as the reference implementation does: where
/// several tokens begin at the same place the longest wins, tokens with `normalized` unset are
/// looked for first and the others in what is left.
class AddedTokens {
 public:
  /// `tokens` must outlive this.
  [[nodiscard]] static Result<AddedTokens> create(std::span<const AddedToken> tokens);

  /// The segments of `text` in order; not-token segments are not empty.
  [[nodiscard]] std::vector<TextSegment> split(std::string_view text, bool with_control) const;

  /// True if no token that is matched in documents reaches across "\n".
  [[nodiscard]] bool respect_newlines() const;

 private:
  /// Tokens that are looked for together, ascending by content.
  struct Set {
    std::vector<const AddedToken*> tokens;
    std::array<bool, 256> may_start{};
  };
  AddedTokens(Regex word, Regex space) : word_(std::move(word)), space_(std::move(space)) {}

  static Set make_set(std::span<const AddedToken> tokens, bool normalized, bool with_control);
  [[nodiscard]] static const AddedToken* longest_at(const Set& set, std::string_view text,
                                                    std::size_t at);
  void split_stretch(const Set& set, std::string_view text, Span stretch,
                     std::vector<TextSegment>& out) const;
  [[nodiscard]] bool stands_alone(std::string_view text, Span match) const;
  [[nodiscard]] Span with_white_space(const AddedToken& token, std::string_view text, Span match,
                                      std::size_t not_before) const;
  [[nodiscard]] bool is(const Regex& kind, std::string_view text, std::size_t at) const;

  std::array<std::array<Set, 2>, 2> sets_;  ///< [with_control][normalized]
  std::span<const AddedToken> tokens_;
  Regex word_;
  Regex space_;
};

}  // namespace caretd::engine
