#include "daemon/replay/typing_script.h"

#include <algorithm>
#include <optional>

#include "lsp/documents/text.h"

namespace caretd::daemon::replay {

namespace {

constexpr std::size_t kFewestLines = 3;
constexpr std::size_t kMostLines = 12;
constexpr double kWithinLine = 0.3;  // share of stretches that are a part of one line
constexpr double kGoesOnBelow = 0.7;
constexpr double kPausesAtLineBreak = 0.25;
constexpr double kPauseSeconds = 0.5;       // at least, and up to four times as long
constexpr double kLookAroundSeconds = 1.0;  // at least, and up to twice as long
constexpr double kNoticesLate = 0.4;        // share of slips seen one character later

/// What a number is drawn for, so that draws at one place are independent of each other.
enum class Draw : std::uint64_t {
  stretch_length,
  stretch_choice,
  within_line,
  part_line,
  part_begin,
  part_end,
  next_place,
  rhythm,
  pauses,
  pause_length,
  slips,
  wrong_letter,
  notices_late,
  look_around
};

/// Numbers that depend on nothing but a place: counter-based, with the finaliser of SplitMix64
/// (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
class Dice {
 public:
  Dice(std::uint64_t seed, std::string_view name) : key_(mix(seed)) {
    for (const char c : name) key_ = mix(key_ ^ static_cast<unsigned char>(c));
  }

  [[nodiscard]] std::uint64_t number(Draw draw, std::size_t place) const {
    return mix(mix(key_ ^ static_cast<std::uint64_t>(draw)) ^ place);
  }
  /// In [0, 1).
  [[nodiscard]] double share(Draw draw, std::size_t place) const {
    return static_cast<double>(number(draw, place) >> 11) * 0x1.0p-53;
  }

 private:
  static std::uint64_t mix(std::uint64_t value) {
    value += 0x9E3779B97F4A7C15ULL;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ULL;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL;
    return value ^ (value >> 31);
  }

  std::uint64_t key_;
};

Duration seconds(double value) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value));
}

bool is_letter(std::string_view text) {
  if (text.size() != 1) return false;
  const char lower = static_cast<char>(text[0] | 0x20);
  return lower >= 'a' && lower <= 'z';
}

bool is_line_break(std::string_view text) {
  return text.starts_with('\n') || text.starts_with("\r\n");
}

/// Bytes of the file that are not there when it is opened: from the end of a line to the end of a
/// later one, or a part of a line.
struct Gap {
  std::size_t begin = 0;
  std::size_t end = 0;
};

std::size_t character_begin(std::string_view text, std::size_t offset) {
  while (offset > 0 && offset < text.size() &&
         (static_cast<unsigned char>(text[offset]) & 0xC0) == 0x80) {
    --offset;
  }
  return offset;
}

/// A part of one of the lines [first, last]; nothing where that one is blank.
std::optional<Gap> part_of_line(const lsp::Text& text, std::size_t first, std::size_t last,
                                const Dice& dice) {
  const std::size_t line = first + dice.number(Draw::part_line, first) % (last - first + 1);
  const std::size_t indent = text.line(line).find_first_not_of(" \t");
  if (indent == std::string_view::npos) return std::nullopt;
  const std::size_t code = text.line_start(line) + indent;
  const std::size_t end = text.line_end(line);
  const std::size_t begin =
      character_begin(text.view(), code + dice.number(Draw::part_begin, first) % (end - code));
  const std::size_t length = 1 + dice.number(Draw::part_end, first) % (end - begin);
  const std::size_t until = character_begin(text.view(), begin + length);
  return until > begin ? std::optional(Gap{begin, until}) : std::nullopt;
}

std::vector<Gap> cut_into_gaps(const lsp::Text& text, const TypingOptions& options,
                               const Dice& dice) {
  std::vector<Gap> gaps;
  for (std::size_t line = 1; line < text.line_count();) {
    const std::size_t span = kMostLines - kFewestLines + 1;
    const std::size_t lines = kFewestLines + dice.number(Draw::stretch_length, line) % span;
    const std::size_t last = std::min(line + lines, text.line_count()) - 1;
    std::optional<Gap> part;
    if (options.characters > 0 && dice.share(Draw::within_line, line) < kWithinLine) {
      part = part_of_line(text, line, last, dice);
    }
    gaps.push_back(part.value_or(Gap{text.line_end(line - 1), text.line_end(last)}));
    line = last + 1;
  }
  return gaps;
}

/// So many of them, chosen by lot, that their text is long enough; in the order of the file.
std::vector<Gap> choose_gaps(std::vector<Gap> gaps, std::size_t characters, const Dice& dice) {
  if (characters == 0) return gaps;
  std::ranges::sort(gaps, {},
                    [&](const Gap& gap) { return dice.number(Draw::stretch_choice, gap.begin); });
  std::size_t count = 0;
  for (std::size_t bytes = 0; count < gaps.size() && bytes < characters; ++count) {
    bytes += gaps[count].end - gaps[count].begin;
  }
  gaps.resize(count);
  std::ranges::sort(gaps, {}, &Gap::begin);
  return gaps;
}

std::vector<Gap> in_typing_order(std::vector<Gap> gaps, const Dice& dice) {
  std::vector<Gap> ordered;
  std::size_t next = 0;
  while (!gaps.empty()) {
    const std::size_t place = gaps.size();
    const bool goes_on =
        next < gaps.size() && dice.share(Draw::next_place, 2 * place) < kGoesOnBelow;
    if (!goes_on) next = dice.number(Draw::next_place, 2 * place + 1) % gaps.size();
    ordered.push_back(gaps[next]);
    gaps.erase(gaps.begin() + static_cast<std::ptrdiff_t>(next));
  }
  return ordered;
}

std::string without(std::string_view source, const std::vector<Gap>& gaps) {
  std::string kept;
  std::size_t at = 0;
  for (const Gap& gap : gaps) {
    kept += source.substr(at, gap.begin - at);
    at = gap.end;
  }
  kept += source.substr(at);
  return kept;
}

char wrong_letter(char right, std::uint64_t number) {
  const char first = static_cast<char>(right & 0x20 ? 'a' : 'A');
  const auto shift = static_cast<char>(1 + number % 25);
  return static_cast<char>(first + (right - first + shift) % 26);
}

/// Adds waits and slips. `place` is the byte of the file at which the strokes begin.
void give_rhythm(std::vector<Stroke>& strokes, std::size_t place, const TypingOptions& options,
                 const Dice& dice) {
  const double interval = 60.0 / (5.0 * options.words_per_minute);
  for (std::size_t i = 0; i < strokes.size(); ++i) {
    Stroke& stroke = strokes[i];
    double wait = interval * (0.5 + dice.share(Draw::rhythm, place));
    if (i > 0 && is_line_break(strokes[i - 1].text) &&
        dice.share(Draw::pauses, place) < kPausesAtLineBreak) {
      wait += kPauseSeconds * (1 + 3 * dice.share(Draw::pause_length, place));
    }
    stroke.wait = seconds(wait);
    if (is_letter(stroke.text) && dice.share(Draw::slips, place) < options.slips) {
      stroke.slip = wrong_letter(stroke.text[0], dice.number(Draw::wrong_letter, place));
      const bool late = dice.share(Draw::notices_late, place) < kNoticesLate;
      if (late && i + 1 < strokes.size() && is_letter(strokes[i + 1].text)) {
        stroke.slip += strokes[i + 1].text;
      }
    }
    place += stroke.text.size();
  }
}

}  // namespace

std::vector<Stroke> strokes_of(std::string_view text) {
  std::vector<Stroke> strokes;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at + lsp::character_bytes(text, at);
    if (text.substr(at).starts_with("\r\n")) end = at + 2;
    if (is_line_break(text.substr(at))) {
      end = std::min(text.find_first_not_of(" \t", end), text.size());
    }
    strokes.push_back({std::string(text.substr(at, end - at)), {}, {}});
    at = end;
  }
  return strokes;
}

TypedFile plan_typing(std::string_view name, std::string_view language, std::string_view source,
                      const TypingOptions& options) {
  const Dice dice(options.seed, name);
  const lsp::Text text{std::string(source)};
  const std::vector<Gap> gaps =
      choose_gaps(cut_into_gaps(text, options, dice), options.characters, dice);
  TypedFile file{std::string(name), std::string(language), without(source, gaps), {}};
  std::vector<Gap> open = gaps;  // not typed yet
  for (const Gap& gap : in_typing_order(gaps, dice)) {
    Stretch stretch;
    stretch.offset = gap.begin;
    for (const Gap& other : open) {
      if (other.begin < gap.begin) stretch.offset -= other.end - other.begin;
    }
    stretch.wait = seconds(kLookAroundSeconds * (1 + dice.share(Draw::look_around, gap.begin)));
    stretch.strokes = strokes_of(source.substr(gap.begin, gap.end - gap.begin));
    give_rhythm(stretch.strokes, gap.begin, options, dice);
    file.stretches.push_back(std::move(stretch));
    std::erase_if(open, [&](const Gap& other) { return other.begin == gap.begin; });
  }
  return file;
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::size_t keys_without_suggestions(const TypedFile& file) {
  std::size_t keys = 0;
  for (const Stretch& stretch : file.stretches) {
    if (stretch.erased > 0) ++keys;
    for (const Stroke& stroke : stretch.strokes) keys += 1 + 2 * count_characters(stroke.slip);
  }
  return keys;
}

std::size_t characters_of(const TypedFile& file) {
  std::size_t characters = 0;
  for (const Stretch& stretch : file.stretches) {
    for (const Stroke& stroke : stretch.strokes) characters += count_characters(stroke.text);
  }
  return characters;
}

}  // namespace caretd::daemon::replay
