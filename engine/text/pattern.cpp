#include "engine/text/pattern.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "engine/text/character_class.h"
#include "engine/text/regex.h"
#include "engine/text/utf8.h"

namespace caretd::engine {
namespace {

class LiteralPattern final : public Pattern {
 public:
  explicit LiteralPattern(std::string text) : text_(std::move(text)) {}

  void find_all(std::string_view text, std::vector<Span>& matches) const override {
    for (std::size_t at = text.find(text_); at != std::string_view::npos;
         at = text.find(text_, at + text_.size())) {
      matches.push_back({at, at + text_.size()});
    }
  }

 private:
  std::string text_;
};

/// The parts of a pattern that a linear scanner can follow.
struct ScannerShape {
  std::optional<CharacterClass> lead;  ///< A? before the body
  CharacterClass body;
  bool repeat = false;       ///< the body is followed by +
  bool at_line_end = false;  ///< and by $
};

std::optional<ScannerShape> parse_shape(std::string_view pattern) {
  auto first = parse_character_class(pattern);
  if (!first) return {};
  pattern.remove_prefix(first->length);
  std::optional<CharacterClass> lead;
  if (pattern.starts_with('?')) {
    auto second = parse_character_class(pattern.substr(1));
    if (!second) return {};
    pattern.remove_prefix(1 + second->length);
    lead = std::move(first->members);
    first = std::move(second);
  }
  const bool repeat = pattern.starts_with('+');
  if (repeat) pattern.remove_prefix(1);
  const bool at_line_end = repeat && !lead && pattern == "$";
  if (!pattern.empty() && !at_line_end) return {};
  return ScannerShape{std::move(lead), std::move(first->members), repeat, at_line_end};
}

class Scanner final : public Pattern {
 public:
  explicit Scanner(ScannerShape shape) : shape_(std::move(shape)) {
    for (char32_t code = 0; code < may_start_.size(); ++code) {
      may_start_[code] = code >= 0x80 || shape_.body.contains(code) ||
                         (shape_.lead && shape_.lead->contains(code));
    }
  }

  void find_all(std::string_view text, std::vector<Span>& matches) const override {
    std::size_t at = 0;
    while (true) {
      while (at < text.size() && !may_start_[static_cast<unsigned char>(text[at])]) ++at;
      if (at == text.size()) return;
      const Utf8Char c = character(text, at);
      const auto body = body_start(text, at, c);
      if (!body) {
        at += c.length;
        continue;
      }
      const std::size_t end =
          shape_.repeat ? run_end(text, *body) : *body + character(text, *body).length;
      const std::size_t match_end = shape_.at_line_end ? last_line_end(text, at, end) : end;
      if (match_end > at) matches.push_back({at, match_end});
      at = end;
    }
  }

 private:
  static Utf8Char character(std::string_view text, std::size_t at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    return byte < 0x80 ? Utf8Char{byte, 1} : decode_utf8(text, at);
  }

  /// Where the body of a match that begins with `c` at `at` begins, if one does.
  [[nodiscard]] std::optional<std::size_t> body_start(std::string_view text, std::size_t at,
                                                      const Utf8Char& c) const {
    const std::size_t next = at + c.length;
    if (shape_.lead && shape_.lead->contains(c.code) && next < text.size() &&
        shape_.body.contains(character(text, next).code)) {
      return next;
    }
    return shape_.body.contains(c.code) ? std::optional(at) : std::nullopt;
  }

  [[nodiscard]] std::size_t run_end(std::string_view text, std::size_t at) const {
    while (at < text.size()) {
      const Utf8Char c = character(text, at);
      if (!shape_.body.contains(c.code)) break;
      at += c.length;
    }
    return at;
  }

  /// The end of the longest start of the run [begin, end) that stops where $ matches, or `begin`.
  /// What is left of the run afterwards holds no further match: it would have been longer.
  static std::size_t last_line_end(std::string_view text, std::size_t begin, std::size_t end) {
    if (end == text.size()) return end;
    const std::size_t newline = text.substr(begin, end + 1 - begin).rfind('\n');
    return newline == std::string_view::npos ? begin : begin + newline;
  }

  ScannerShape shape_;
  std::array<bool, 256> may_start_{};
};

class NumberPattern final : public Pattern {
 public:
  explicit NumberPattern(Regex number) : number_(std::move(number)) {}

  void find_all(std::string_view text, std::vector<Span>& matches) const override {
    for (std::size_t at = 0; at < text.size();) {
      const auto byte = static_cast<unsigned char>(text[at]);
      const std::size_t length = byte < 0x80 ? 1 : decode_utf8(text, at).length;
      const bool numeric =
          byte < 0x80 ? byte >= '0' && byte <= '9' : number_.matches_at(text.substr(at, length), 0);
      if (numeric) matches.push_back({at, at + length});
      at += length;
    }
  }

 private:
  Regex number_;
};

class RegexPattern final : public Pattern {
 public:
  explicit RegexPattern(Regex regex) : regex_(std::move(regex)) {}
  void find_all(std::string_view text, std::vector<Span>& matches) const override {
    regex_.find_all(text, matches);
  }

 private:
  Regex regex_;
};

}  // namespace

std::unique_ptr<Pattern> make_literal_pattern(std::string text) {
  return std::make_unique<LiteralPattern>(std::move(text));
}

std::unique_ptr<Pattern> make_number_pattern() {
  auto number = Regex::compile("\\p{N}");
  return std::make_unique<NumberPattern>(*std::move(number));
}

std::unique_ptr<Pattern> make_scanner(std::string_view oniguruma) {
  auto shape = parse_shape(oniguruma);
  return shape ? std::make_unique<Scanner>(*std::move(shape)) : nullptr;
}

Result<std::unique_ptr<Pattern>> make_pcre2_pattern(std::string_view oniguruma) {
  auto translated = pcre2_from_oniguruma(oniguruma);
  if (!translated) return pass_on(std::move(translated));
  auto regex = Regex::compile(*translated);
  if (!regex) return pass_on(std::move(regex));
  if (regex->may_match_nothing()) {
    return fail(ErrorKind::unsupported, "a pattern that can match nothing is not supported");
  }
  return std::make_unique<RegexPattern>(*std::move(regex));
}

Result<std::unique_ptr<Pattern>> make_regex_pattern(std::string_view oniguruma) {
  if (auto scanner = make_scanner(oniguruma)) return scanner;
  return make_pcre2_pattern(oniguruma);
}

bool isolates_newlines(std::string_view oniguruma) {
  const auto shape = parse_shape(oniguruma);
  return shape && !shape->lead && !shape->repeat && shape->body.contains(U'\n');
}

}  // namespace caretd::engine
