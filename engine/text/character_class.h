// Sets of characters, as the bracket expressions of pre-tokenizer patterns write them.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

namespace caretd::engine {

/// An immutable set of code points.
class CharacterClass {
 public:
  struct Range {
    char32_t first = 0;
    char32_t last = 0;  ///< inclusive
  };

  /// Ranges may overlap and come in any order.
  explicit CharacterClass(std::vector<Range> ranges);

  /// Unicode's White_Space property, which is what \s means in Oniguruma.
  [[nodiscard]] static CharacterClass white_space();

  [[nodiscard]] bool contains(char32_t code) const {
    return code < ascii_.size() ? ascii_[code] : contains_beyond_ascii(code);
  }
  [[nodiscard]] const std::vector<Range>& ranges() const { return ranges_; }

 private:
  [[nodiscard]] bool contains_beyond_ascii(char32_t code) const;

  std::vector<Range> ranges_;  ///< ascending, disjoint
  std::array<bool, 128> ascii_{};
};

/// A class read from the start of a pattern, and how many bytes of the pattern it took.
struct ParsedClass {
  CharacterClass members;
  std::size_t length = 0;
};

/// Reads "[...]" with literal characters, ranges, \s and escaped control or punctuation
/// characters, or a lone "\s", or a lone literal character. Nothing for everything else
/// (negation, properties, nested classes, intersections): those need a regex engine.
[[nodiscard]] std::optional<ParsedClass> parse_character_class(std::string_view pattern);

}  // namespace caretd::engine
