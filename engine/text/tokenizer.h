// Byte-level BPE as tokenizer.json (the Hugging Face format) describes it.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/types.h"
#include "support/result.h"

namespace caretd::engine {

/// Text to token ids and back. Immutable after load; every member function is thread-safe.
class Tokenizer {
 public:
  /// Reads tokenizer.json and, if it is there, tokenizer_config.json beside it. The files are
  /// untrusted: anything unsupported or inconsistent is an Error that names file and field.
  [[nodiscard]] static Result<std::shared_ptr<const Tokenizer>> load(
      const std::filesystem::path& folder);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// How to treat strings like "<｜fim▁hole｜>" inside text.
  enum class ControlStrings : std::uint8_t {
    as_text,   ///< plain characters: documents, chat messages (the default everywhere)
    as_tokens  ///< the control tokens they name: golden files, `caretd verify`
  };

  /// Encodes any bytes; invalid UTF-8 is encoded byte by byte, so decode(encode(x)) == x (unless
  /// the file asks for prefix spaces or for white space swallowed by added tokens).
  /// Ordinary (not control) added tokens match in both modes. Adds no begin_of_sentence.
  [[nodiscard]] std::vector<TokenId> encode(std::string_view text,
                                            ControlStrings control = ControlStrings::as_text) const;

  /// The bytes a token stands for; empty for control tokens, padding rows and ids out of range.
  [[nodiscard]] std::string_view bytes(TokenId id) const;
  /// The bytes of several tokens, concatenated (not necessarily valid UTF-8), with escapes of
  /// bytes that have no token undone (engine/text/byte_escape.h).
  [[nodiscard]] std::string decode(std::span<const TokenId> ids) const;

  /// The id of a control token; nothing where this tokenizer lacks it.
  [[nodiscard]] std::optional<TokenId> control(ControlToken token) const;
  /// The text that stands for a control token in raw prompts; empty where this tokenizer lacks it.
  [[nodiscard]] std::string_view control_text(ControlToken token) const;
  /// True for control tokens: added tokens marked special or spelled <｜...｜>, as DeepSeek's files
  /// do even where they mark them as ordinary. They have no bytes and never appear in text.
  [[nodiscard]] bool is_special(TokenId id) const;

  /// One above the highest real id. Rows of the embedding from here on are padding.
  [[nodiscard]] TokenId size() const;

  /// True if "\n" always is a token of its own and nothing reaches across it, by the pre-tokenizer
  /// and the added tokens of the file: then text may be cut after any "\n" and encoded piece by
  /// piece, and the ids are those of the whole. An open file's ids can be kept line by line.
  [[nodiscard]] bool splits_at_newlines() const;

  /// Every id whose bytes agree with `prefix`: bytes(id) starts with prefix, or prefix starts with
  /// bytes(id) (and is not empty). Ascending. What token healing may choose from.
  [[nodiscard]] std::vector<TokenId> agreeing_with(std::string_view prefix) const;
  /// True if a token's bytes begin with `prefix` and go on behind it.
  [[nodiscard]] bool has_longer_token(std::string_view prefix) const;

  /// The chat template of tokenizer_config.json, empty if it has none.
  [[nodiscard]] const std::string& chat_template() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Turns a stream of tokens into a stream of whole UTF-8 characters.
class StreamingDetokenizer {
 public:
  explicit StreamingDetokenizer(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  /// Text that is complete with this token; bytes of an unfinished character are held back and
  /// bytes that can never become one are replaced by U+FFFD.
  [[nodiscard]] std::string push(TokenId id) { return push(tokenizer_.bytes(id)); }
  /// The same for bytes that are only a part of a token (what healing leaves of it).
  [[nodiscard]] std::string push(std::string_view bytes);
  /// What is still held back, replaced by U+FFFD if it is not a character.
  [[nodiscard]] std::string finish();

 private:
  const Tokenizer& tokenizer_;
  std::string held_;
};

}  // namespace caretd::engine
