// What is typed, key by key: planned from a source file with a seed, or read from a recorded
// session. Nothing here knows what a server answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support/clock.h"
#include "support/result.h"

namespace caretd::daemon::replay {

/// One press of a key that puts text into the document.
struct Stroke {
  std::string text;  ///< a character, or a line break with the indentation an editor puts behind it
  Duration wait{};   ///< since the key before
  /// Typed by mistake in front of it and taken back: a key for each character, and one more each.
  std::string slip;
};

/// Text that is typed at one place without the cursor being moved.
struct Stretch {
  std::size_t offset = 0;  ///< byte of the document as it is when the stretch begins
  std::size_t erased = 0;  ///< bytes in front of it that are deleted first, at one key
  Duration wait{};         ///< after the jump to it, before the first key
  std::vector<Stroke> strokes;
};

struct TypedFile {
  std::string name;      ///< for reports and for the document's URI
  std::string language;  ///< languageId
  std::string opening;   ///< the document's text when it is opened
  std::vector<Stretch> stretches;
};

struct TypingOptions {
  double words_per_minute = 100;  ///< of five keys each, pauses not counted
  std::uint64_t seed = 1;
  std::size_t characters = 0;  ///< to type in each file, at least; 0: all lines but the first
  double slips = 0.02;         ///< share of letters that are mistyped first
};

/// Opens the file without some stretches (3 to 12 lines, three in ten a part of one line) and types
/// those, most often the next one below, else another one. All that is random is drawn from (seed,
/// name, byte of the file): the same characters are waited for and mistyped whatever else happens.
/// `source` is valid UTF-8. A pure function.
[[nodiscard]] TypedFile plan_typing(std::string_view name, std::string_view language,
                                    std::string_view source, const TypingOptions& options);

/// Splits text into strokes, without waits and slips: characters, and line breaks together with the
/// white space behind them.
[[nodiscard]] std::vector<Stroke> strokes_of(std::string_view text);

/// Reads a session of JSON lines (docs/replay.md has the form). What was typed and taken back
/// becomes slips. The Error names the line and the field.
[[nodiscard]] Result<std::vector<TypedFile>> parse_session(std::string_view json_lines);

/// Keys that the file takes without any suggestion.
[[nodiscard]] std::size_t keys_without_suggestions(const TypedFile& file);
/// Characters of the text to be typed, slips not counted.
[[nodiscard]] std::size_t characters_of(const TypedFile& file);
/// UTF-8 characters.
[[nodiscard]] std::size_t count_characters(std::string_view text);

}  // namespace caretd::daemon::replay
