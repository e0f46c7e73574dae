// What a replay measured, key by key, and the figures that come of it. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "support/clock.h"

namespace caretd::daemon::replay {

/// Tokens of prompts that the engine was asked to continue.
struct PromptTokens {
  std::int64_t prompt = 0;
  std::int64_t cached = 0;    ///< found in the KV cache
  std::int64_t computed = 0;  ///< run through the model
};

enum class KeyKind : std::uint8_t {
  character,    ///< one that stays
  line_break,   ///< with the indentation behind it
  slip,         ///< one that is taken back
  erase,        ///< takes one back, or deletes what was selected
  accept,       ///< a suggestion as a whole
  accept_word,  ///< the first word of one
};

/// What stood on the screen after a key.
struct Ghost {
  std::size_t characters = 0;
  std::size_t right = 0;    ///< leading ones that are typed next
  bool goes_on = false;     ///< the ghost of the key before, shorter by what was typed
  bool from_cache = false;  ///< answered without asking the model
  Duration in_server{};     ///< from the request's arrival to its answer (caretd/why)

  [[nodiscard]] bool all_right() const { return right == characters; }
};

/// One key and what it caused.
struct KeyRecord {
  KeyKind kind = KeyKind::character;
  bool first_of_stretch = false;
  bool inside_line = false;        ///< on the line on which the key before it left the cursor
  bool as_suggested = false;       ///< it typed the next character of a longer ghost on the screen
  std::optional<Duration> answer;  ///< key to answer; nothing: the next key came first
  std::optional<Ghost> ghost;      ///< nothing: the answer was empty, or there was none
  PromptTokens tokens;             ///< of requests of the class `keystroke` that this key caused
  std::int64_t background_tokens = 0;  ///< computed ahead, of prompts
  std::int64_t generated = 0;          ///< for this key
};

struct TypedFileRecord {
  std::string name;
  std::string language;
  std::size_t keys_without_suggestions = 0;
  std::size_t characters = 0;  ///< of the text, however they came there
  std::size_t accepted_characters = 0;
  std::string text;  ///< of the document at the end
  std::vector<KeyRecord> keys;
};

struct Quantiles {
  std::size_t count = 0;
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
  double most = 0;
};
/// By nearest rank: the smallest value that at least the share of all values does not exceed.
[[nodiscard]] Quantiles quantiles_of(std::vector<double> values);

/// A count and what it is a share of.
struct Share {
  std::int64_t count = 0;
  std::int64_t of = 0;

  [[nodiscard]] double value() const { return of > 0 ? double(count) / double(of) : 0; }
};

/// Shares are of all keys unless the name of `of` says otherwise. Times in milliseconds.
struct Figures {
  std::int64_t keys = 0;
  std::int64_t keys_without_suggestions = 0;
  std::int64_t characters = 0;

  Quantiles time_to_ghost;          ///< keys with a ghost
  Quantiles time_to_model_ghost;    ///< those of them whose ghost was generated for them
  Quantiles typed_as_suggested;     ///< in the server; keys that typed on in a ghost
  Share typed_as_suggested_cached;  ///< of those keys: answered from the cache with a ghost
  Share ghosts;
  Share right;             ///< keys whose whole ghost is typed next
  Share right_of_ghosts;   ///< the same, of keys with a ghost
  Share late;              ///< keys whose answer came after the next key
  Share wrong_characters;  ///< shown, each ghost counted once however long it stays; of characters
  Share saved;             ///< of the keys that it takes without suggestions
  Share accepted_characters;  ///< of characters
  Share next_ghost_ready;     ///< of full accepts
  std::int64_t word_accepts = 0;
  Share cached_tokens;             ///< of prompt tokens
  Quantiles computed_inside_line;  ///< prompt tokens a key, keys inside a line
  Quantiles computed_elsewhere;    ///< line breaks, jumps and the key after them
  Share asked_inside_line;         ///< keys inside a line that asked the model; of those keys
  double background_tokens = 0;    ///< computed ahead a key
  double generated_tokens = 0;     ///< a key
};

[[nodiscard]] Figures figures_of(const std::vector<TypedFileRecord>& files);
[[nodiscard]] std::map<std::string, Figures> figures_by_language(
    const std::vector<TypedFileRecord>& files);

}  // namespace caretd::daemon::replay
