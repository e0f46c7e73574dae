// tokenizer.json and tokenizer_config.json (the Hugging Face formats), read and validated but not
// yet put to work. Whatever would change the token ids and is not understood is an Error.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/types.h"
#include "support/result.h"

namespace caretd::engine {

/// One entry of model.vocab, with the byte alphabet undone.
struct VocabularyEntry {
  std::string bytes;
  TokenId id = 0;
  bool reachable = true;  ///< false: contains characters outside the byte alphabet, so that no
                          ///< text is ever encoded to it
};

/// One entry of model.merges; its rank is its position in the list.
struct Merge {
  TokenId left = 0;
  TokenId right = 0;
  TokenId result = 0;
};

/// One entry of added_tokens: text that is matched before any pre-tokenisation.
struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool single_word = false;  ///< only where no word character touches it
  bool lstrip = false;       ///< swallows the white space before it
  bool rstrip = false;       ///< swallows the white space after it
  bool normalized = true;    ///< matched after the tokens that are not
  bool control = false;      ///< never matched in documents, never decoded to text
};

/// How the matches of a Split pattern and the text between them become pieces.
enum class SplitBehavior : std::uint8_t {
  isolated,
  merged_with_previous,
  merged_with_next,
  contiguous
};

/// pre_tokenizer {"type": "Split"}.
struct SplitStep {
  std::string pattern;
  bool is_regex = false;  ///< else `pattern` is literal text
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;  ///< swaps what is a match and what is between matches
};

/// pre_tokenizer {"type": "Digits"}: numeric characters apart from the rest.
struct DigitsStep {
  bool individual = false;
};

/// pre_tokenizer {"type": "ByteLevel"}; always the last step.
struct ByteLevelStep {
  bool add_prefix_space = false;
  bool use_regex = true;  ///< split by GPT-2's pattern
};

using PreTokenizerStep = std::variant<SplitStep, DigitsStep, ByteLevelStep>;

struct TokenizerFile {
  std::vector<VocabularyEntry> vocabulary;  ///< ids unique, not necessarily dense or ascending
  std::vector<Merge> merges;
  bool ignore_merges = false;  ///< a piece that is a vocabulary entry is taken whole
  std::vector<AddedToken> added_tokens;
  std::vector<PreTokenizerStep> pre_tokenizer;
};

/// What the engine wants of tokenizer_config.json; all empty if there is no such file. Newer
/// writers put the chat template into chat_template.jinja beside it, which goes before.
struct TokenizerConfig {
  std::string begin_of_sentence;
  std::string end_of_sentence;
  std::string chat_template;
};

/// Error messages name the file and the field ("x/tokenizer.json: model.merges[7] ...").
[[nodiscard]] Result<TokenizerFile> read_tokenizer_file(const std::filesystem::path& file);
[[nodiscard]] Result<TokenizerConfig> read_tokenizer_config(const std::filesystem::path& file);

}  // namespace caretd::engine
