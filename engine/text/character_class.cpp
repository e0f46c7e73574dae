#include "engine/text/character_class.h"

#include <algorithm>
#include <utility>

#include "engine/text/utf8.h"

namespace caretd::engine {
namespace {

using Range = CharacterClass::Range;

constexpr std::array<Range, 10> kWhiteSpace = {{{0x09, 0x0D},
                                                {0x20, 0x20},
                                                {0x85, 0x85},
                                                {0xA0, 0xA0},
                                                {0x1680, 0x1680},
                                                {0x2000, 0x200A},
                                                {0x2028, 0x2029},
                                                {0x202F, 0x202F},
                                                {0x205F, 0x205F},
                                                {0x3000, 0x3000}}};

/// The character that an escape stands for, if it stands for one.
std::optional<char32_t> escaped_character(char letter) {
  switch (letter) {
    case 'r':
      return U'\r';
    case 'n':
      return U'\n';
    case 't':
      return U'\t';
    case 'f':
      return U'\f';
    default:
      break;
  }
  constexpr std::string_view punctuation = "\\[]{}()^$.|?*+-/&~!#%,:;<=>@_`'\" ";
  if (punctuation.find(letter) == std::string_view::npos) return {};
  return static_cast<unsigned char>(letter);
}

/// Reads what stands between the brackets.
class BracketReader {
 public:
  explicit BracketReader(std::string_view pattern) : pattern_(pattern) {}

  std::optional<ParsedClass> read() {
    if (next_is('^') || next_is(']')) return {};
    while (at_ < pattern_.size() && !next_is(']')) {
      if (!read_item()) return {};
    }
    if (at_ == pattern_.size() || ranges_.empty()) return {};
    return ParsedClass{CharacterClass(std::move(ranges_)), at_ + 1};
  }

 private:
  [[nodiscard]] bool next_is(char c) const { return at_ < pattern_.size() && pattern_[at_] == c; }

  bool read_item() {
    if (pattern_.substr(at_).starts_with("\\s")) {
      ranges_.insert(ranges_.end(), kWhiteSpace.begin(), kWhiteSpace.end());
      at_ += 2;
      return !next_is('-');
    }
    const auto first = read_character();
    if (!first) return false;
    auto last = first;
    if (next_is('-') && !pattern_.substr(at_ + 1).starts_with(']')) {
      ++at_;
      last = read_character();
      if (!last || *last < *first) return false;
    }
    ranges_.push_back({*first, *last});
    return true;
  }

  std::optional<char32_t> read_character() {
    if (at_ == pattern_.size() || next_is('[') || pattern_.substr(at_).starts_with("&&")) return {};
    if (next_is('\\')) {
      if (at_ + 1 == pattern_.size()) return {};
      at_ += 2;
      return escaped_character(pattern_[at_ - 1]);
    }
    const Utf8Char c = decode_utf8(pattern_, at_);
    if (c.length == 0) return {};
    at_ += c.length;
    return c.code;
  }

  std::string_view pattern_;
  std::size_t at_ = 1;  // past the opening bracket
  std::vector<Range> ranges_;
};

}  // namespace

CharacterClass::CharacterClass(std::vector<Range> ranges) : ranges_(std::move(ranges)) {
  std::sort(ranges_.begin(), ranges_.end(),
            [](const Range& a, const Range& b) { return a.first < b.first; });
  std::vector<Range> merged;
  for (const Range& range : ranges_) {
    if (!merged.empty() && range.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  ranges_ = std::move(merged);
  for (const Range& range : ranges_) {
    for (char32_t code = range.first; code <= range.last && code < ascii_.size(); ++code) {
      ascii_[code] = true;
    }
  }
}

CharacterClass CharacterClass::white_space() {
  return CharacterClass({kWhiteSpace.begin(), kWhiteSpace.end()});
}

bool CharacterClass::contains_beyond_ascii(char32_t code) const {
  const auto after =
      std::upper_bound(ranges_.begin(), ranges_.end(), code,
                       [](char32_t c, const Range& range) { return c < range.first; });
  return after != ranges_.begin() && code <= std::prev(after)->last;
}

std::optional<ParsedClass> parse_character_class(std::string_view pattern) {
  if (pattern.empty()) return {};
  if (pattern.starts_with("\\s")) return ParsedClass{CharacterClass::white_space(), 2};
  if (pattern.front() == '[') return BracketReader(pattern).read();
  if (pattern.front() == '\\') {
    if (pattern.size() < 2) return {};
    const auto code = escaped_character(pattern[1]);
    if (!code) return {};
    return ParsedClass{CharacterClass({{*code, *code}}), 2};
  }
  constexpr std::string_view operators = "^$.|?*+(){}]";
  if (operators.find(pattern.front()) != std::string_view::npos) return {};
  const Utf8Char c = decode_utf8(pattern, 0);
  if (c.length == 0) return {};
  return ParsedClass{CharacterClass({{c.code, c.code}}), c.length};
}

}  // namespace caretd::engine
