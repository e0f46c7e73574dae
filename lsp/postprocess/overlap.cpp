#include "lsp/postprocess/overlap.h"

#include <algorithm>
#include <vector>

#include "lsp/syntax/source_tokens.h"

namespace caretd::lsp {
namespace {

// A cut line has to be so long before its beginning counts as a repetition.
constexpr std::size_t kTellingBeginning = 6;
// The rest of a line has to be so long not to come by chance.
constexpr std::size_t kTellingRest = 3;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

std::string_view rest_of_line(const CompletionSite& site) {
  return trimmed(std::string_view(site.rest).substr(site.replaceable));
}

// The word that `text` begins with; empty if it begins with none.
std::string_view leading_word(std::string_view text) {
  const auto end = std::ranges::find_if_not(text, is_word_character);
  return text.substr(0, static_cast<std::size_t>(end - text.begin()));
}

// Whether the rest of the line may begin at `at`: "data" does not end in the "a" of "and". Where no
// space is in front of the rest, what was typed and it may have been one word.
bool begins_word(std::string_view completion, std::size_t at, const CompletionSite& site) {
  const std::string_view rest = std::string_view(site.rest).substr(site.replaceable);
  const bool spaced = rest.starts_with(' ') || rest.starts_with('\t');
  if (!spaced || !is_word_character(trimmed(rest).front())) return true;
  const std::string_view before = at > 0 ? completion.substr(0, at) : site.typed();
  return before.empty() || !is_word_character(before.back());
}

// Whether the lines from `first` on, blank ones left out, are the document's next lines. A line of
// brackets alone says nothing: whether it repeats one is for match_closers() to tell. A closing
// word is repeated where it is indented the same.
bool are_next_lines(const std::vector<std::string_view>& lines, std::size_t first,
                    const CompletionSite& site) {
  const std::vector<std::string>& following = site.following;
  if (std::ranges::none_of(lines[first], is_word_character)) return false;
  if (following.empty()) return false;
  const int width = site.indent.width;
  if (contains(site.language->block_ends, trimmed(lines[first])) &&
      indent_columns(lines[first], width) != indent_columns(following[0], width)) {
    return false;
  }
  std::size_t next = 0;
  for (std::size_t i = first; i < lines.size(); ++i) {
    const std::string_view line = trimmed(lines[i]);
    if (line.empty()) continue;
    if (next == following.size()) return false;
    const std::string_view expected = trimmed(following[next++]);
    const bool telling = next > 1 || line.size() >= kTellingBeginning;
    const bool cut_short = i + 1 == lines.size() && telling;
    if (line != expected && !(cut_short && expected.starts_with(line))) return false;
  }
  return next > 0;
}

}  // namespace

void cut_lines_that_follow(std::string& completion, const CompletionSite& site) {
  const std::vector<std::string_view> lines = lines_of(completion);
  std::size_t end = lines[0].size();
  for (std::size_t i = 1; i < lines.size(); end += lines[i].size() + 1, ++i) {
    if (trimmed(lines[i]).empty() || !are_next_lines(lines, i, site)) continue;
    completion.resize(end);
    return;
  }
  // The first line is one with what has been typed of it.
  const std::string first = std::string(site.typed()) + std::string(lines[0]);
  if (lines.size() == 1 && !site.following.empty() && !trimmed(lines[0]).empty() &&
      trimmed(first).size() >= kTellingBeginning && trimmed(first) == trimmed(site.following[0])) {
    completion.clear();
  }
}

std::size_t find_rest_of_line(std::string_view completion, const CompletionSite& site) {
  const std::string_view rest = rest_of_line(site);
  if (rest.size() < kTellingRest) return std::string_view::npos;
  for (std::size_t at = completion.find(rest); at != std::string_view::npos;
       at = completion.find(rest, at + 1)) {
    const std::size_t end = at + rest.size();
    // Whether the word is over the next token says.
    const bool word_over = !is_word_character(rest.back()) ||
                           (end < completion.size() && !is_word_character(completion[end]));
    if (word_over && begins_word(completion, at, site)) return at;
  }
  return std::string_view::npos;
}

void cut_rest_of_line(std::string& completion, const CompletionSite& site) {
  const std::string_view rest = rest_of_line(site);
  if (rest.empty()) return;
  completion.resize(std::min(completion.find('\n'), completion.size()));
  const std::size_t least = std::max<std::size_t>(1, leading_word(rest).size());
  for (std::size_t length = std::min(rest.size(), completion.size()); length >= least; --length) {
    if (!completion.ends_with(rest.substr(0, length))) continue;
    if (!begins_word(completion, completion.size() - length, site)) continue;
    completion.resize(completion.size() - length);
    // The space in front of the rest is there as well.
    const bool spaced = site.rest.substr(site.replaceable).starts_with(' ');
    if (spaced && completion.ends_with(' ')) completion.pop_back();
    return;
  }
}

}  // namespace caretd::lsp
