#include "engine/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "engine/text/utf8.h"

namespace caretd::engine {
namespace {

/// Where the character that ends at `end` begins (UTF-8, well-formed or not).
std::size_t character_before(std::string_view text, std::size_t end, std::size_t begin) {
  std::size_t at = end - 1;
  const auto continues = [&] { return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80; };
  while (at > begin && end - at < 4 && continues()) --at;
  return at;
}

}  // namespace

Result<AddedTokens> AddedTokens::create(std::span<const AddedToken> tokens) {
  // What \w and \s mean where the reference implementation looks around a token.
  auto word = Regex::compile("[\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{200C}\\x{200D}]");
  auto space = Regex::compile("(?!\\x{180E})\\s");
  if (!word) return pass_on(std::move(word));
  if (!space) return pass_on(std::move(space));
  AddedTokens made(*std::move(word), *std::move(space));
  made.tokens_ = tokens;
  for (const bool with_control : {false, true}) {
    for (const bool normalized : {false, true}) {
      made.sets_[with_control][normalized] = make_set(tokens, normalized, with_control);
    }
  }
  return made;
}

AddedTokens::Set AddedTokens::make_set(std::span<const AddedToken> tokens, bool normalized,
                                       bool with_control) {
  Set set;
  for (const AddedToken& token : tokens) {
    if (token.normalized != normalized || (token.control && !with_control)) continue;
    set.tokens.push_back(&token);
    set.may_start[static_cast<unsigned char>(token.content.front())] = true;
  }
  std::sort(set.tokens.begin(), set.tokens.end(),
            [](const AddedToken* a, const AddedToken* b) { return a->content < b->content; });
  return set;
}

std::vector<TextSegment> AddedTokens::split(std::string_view text, bool with_control) const {
  std::vector<TextSegment> segments{{{0, text.size()}, {}}};
  if (text.empty()) return {};
  for (const Set& set : sets_[with_control]) {
    if (set.tokens.empty()) continue;
    std::vector<TextSegment> next;
    for (const TextSegment& segment : segments) {
      if (segment.token) {
        next.push_back(segment);
      } else {
        split_stretch(set, text, segment.span, next);
      }
    }
    segments = std::move(next);
  }
  return segments;
}

bool AddedTokens::respect_newlines() const {
  return std::none_of(tokens_.begin(), tokens_.end(), [](const AddedToken& token) {
    return !token.control &&
           (token.lstrip || token.rstrip || token.content.find('\n') != std::string::npos);
  });
}

/// Narrows the sorted contents byte by byte to those that the text goes on with.
const AddedToken* AddedTokens::longest_at(const Set& set, std::string_view text, std::size_t at) {
  const AddedToken* longest = nullptr;
  auto first = set.tokens.begin();
  auto last = set.tokens.end();
  for (std::size_t length = 0; first != last && at + length < text.size(); ++length) {
    const auto byte = static_cast<unsigned char>(text[at + length]);
    const auto byte_of = [length](const AddedToken* token) {
      return length < token->content.size()
                 ? static_cast<int>(static_cast<unsigned char>(token->content[length]))
                 : -1;
    };
    first = std::partition_point(first, last, [&](auto* token) { return byte_of(token) < byte; });
    last = std::partition_point(first, last, [&](auto* token) { return byte_of(token) == byte; });
    if (first != last && (*first)->content.size() == length + 1) longest = *first;
  }
  return longest;
}

void AddedTokens::split_stretch(const Set& set, std::string_view text, Span stretch,
                                std::vector<TextSegment>& out) const {
  const std::string_view inside = text.substr(0, stretch.end).substr(stretch.begin);
  std::size_t emitted = 0;
  const auto emit = [&](Span span, std::optional<TokenId> token) {
    if (span.begin == span.end) return;
    out.push_back({{stretch.begin + span.begin, stretch.begin + span.end}, token});
    emitted = span.end;
  };
  for (std::size_t at = 0; at < inside.size();) {
    const AddedToken* token = set.may_start[static_cast<unsigned char>(inside[at])]
                                  ? longest_at(set, inside, at)
                                  : nullptr;
    if (token == nullptr) {
      ++at;
      continue;
    }
    Span match{at, at + token->content.size()};
    at = match.end;
    if (token->single_word && !stands_alone(inside, match)) continue;
    match = with_white_space(*token, inside, match, emitted);
    emit({emitted, match.begin}, {});
    emit(match, token->id);
    at = match.end;
  }
  emit({emitted, inside.size()}, {});
}

bool AddedTokens::stands_alone(std::string_view text, Span match) const {
  const bool word_before =
      match.begin > 0 && is(word_, text, character_before(text, match.begin, 0));
  return !word_before && !(match.end < text.size() && is(word_, text, match.end));
}

Span AddedTokens::with_white_space(const AddedToken& token, std::string_view text, Span match,
                                   std::size_t not_before) const {
  while (token.lstrip && match.begin > not_before) {
    const std::size_t before = character_before(text, match.begin, not_before);
    if (!is(space_, text, before)) break;
    match.begin = before;
  }
  while (token.rstrip && match.end < text.size() && is(space_, text, match.end)) {
    match.end += decode_utf8(text, match.end).length;
  }
  return match;
}

bool AddedTokens::is(const Regex& kind, std::string_view text, std::size_t at) const {
  const std::size_t length = decode_utf8(text, at).length;
  return length > 0 && kind.matches_at(text.substr(at, length), 0);
}

}  // namespace caretd::engine
