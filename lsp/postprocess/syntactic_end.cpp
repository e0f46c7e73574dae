#include "lsp/postprocess/syntactic_end.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "lsp/postprocess/closers.h"

namespace caretd::lsp {
namespace {

// Tokens after which a statement cannot be over.
bool continues(std::string_view last, const CompletionSite& site) {
  const Language& language = *site.language;
  // In a list, a comma ends an entry.
  if (last == "," && site.open_above > 0) return false;
  if (language.blocks != BlockStyle::brackets) return false;
  static constexpr std::string_view kOperators[] = {
      "=",  "+",  "-", "*", "/",  "%",  "&&", "||", "??", "=>", "->", ".",  ",",
      "?.", "::", "|", "&", "<<", "==", "!=", "<",  "<=", "+=", "-=", ":=", "?"};
  return contains(kOperators, last);
}

// One line of the source from the hole's line on.
struct Line {
  std::size_t begin = 0;
  std::size_t end = 0;  // without the terminator; of the text if it is not complete
  bool complete = false;
  LineWords words;  // empty where there is no code
  bool first_complete = false;
  bool blank = false;
  bool begins_inside = false;  // a string or comment of the lines above
  bool ends_inside = false;    // one that goes on below
};

// Walks the tokens from the hole's line on, line by line.
class Walk {
 public:
  Walk(const CompletionSite& site, int most_lines, GrowingSource& source)
      : site_(site),
        most_lines_(most_lines),
        text_(source.text()),
        hole_(site.before.size()),
        tokens_(source.tokens_from(site.line_begin)),
        open_(site.open_brackets),
        closable_(site.closable),
        block_indent_(site.block_indent) {
    code_begin_ = begin_of_code();
  }

  std::optional<SyntacticEnd> run() {
    std::size_t begin = site_.line_begin;
    while (begin <= text_.size()) {
      const Line line = line_at(begin);
      if (const auto found = visit(line)) return found;
      if (!line.complete) return std::nullopt;
      begin = line.end + 1;
    }
    return std::nullopt;
  }

 private:
  // In a string nothing is code until its quote is closed.
  std::size_t begin_of_code() const {
    if (site_.quote == 0) return hole_;
    for (std::size_t i = hole_; i < text_.size(); ++i) {
      if (text_[i] == '\\') {
        ++i;
      } else if (text_[i] == site_.quote) {
        return i + 1;
      }
    }
    return text_.size();
  }

  Line line_at(std::size_t begin) {
    Line line;
    line.begin = begin;
    const std::size_t newline = text_.find('\n', begin);
    line.complete = newline != std::string_view::npos;
    line.end = line.complete ? newline : text_.size();
    line.blank = trimmed(text_.substr(begin, line.end - begin)).empty();
    if (next_ > 0 && tokens_[next_ - 1].end > begin) {
      const SourceToken& open = tokens_[next_ - 1];
      line.begins_inside = true;
      line.ends_inside = open.end > line.end + 1;
      if (!line.ends_inside && open.cls != TokenClass::comment) {
        line.words.add(text_.substr(open.begin, open.end - open.begin), *site_.language);
      }
    }
    for (std::size_t i = next_; i < tokens_.size() && tokens_[i].begin < line.end; ++i) {
      line.ends_inside = tokens_[i].end > line.end + 1;
      if (tokens_[i].cls == TokenClass::comment) continue;
      const std::string_view word =
          text_.substr(tokens_[i].begin, tokens_[i].end - tokens_[i].begin);
      if (line.words.first.empty()) line.first_complete = tokens_[i].end < text_.size();
      line.words.add(word, *site_.language);
    }
    return line;
  }

  std::optional<SyntacticEnd> visit(const Line& line) {
    const bool generated_line = line.begin > hole_;
    if (generated_line && !line.blank && !line.begins_inside) {
      if (const auto found = line.words.first.empty() ? dedented_comment(line) : dedent(line)) {
        return found;
      }
    }
    if (const auto found = brackets(line)) return found;
    if (!line.complete || line.end < hole_) return std::nullopt;
    return end_of_line(line);
  }

  bool inside_brackets() const {
    return !opened_.empty() || (open_.size() > site_.open_above && closable_ > 0);
  }

  // A line that is indented no more than the one that opened the block is not in it.
  std::optional<SyntacticEnd> dedent(const Line& line) {
    if (!line.first_complete) return std::nullopt;
    const std::size_t outside = std::exchange(outside_, std::string_view::npos);
    if (!is_dedented(line)) return std::nullopt;
    const std::string_view content = text_.substr(line.begin, line.end - line.begin);
    if (matching_bracket(line.words.first[0]) != 0) return std::nullopt;
    if (contains(site_.language->block_middles, line.words.first)) return std::nullopt;
    if (stands_at_margin(line)) return std::nullopt;
    const bool ends = contains(site_.language->block_ends, line.words.first);
    if (ends && !is_next_line(content)) {
      ended_ = true;
      return std::nullopt;
    }
    return SyntacticEnd{std::min(outside, line.begin), "block"};
  }

  // Labels, the cases of a switch, access specifiers and directives of the preprocessor.
  bool stands_at_margin(const Line& line) const {
    if (site_.language->blocks != BlockStyle::brackets) return false;
    static constexpr std::string_view kWords[] = {"case", "default", "public", "private",
                                                  "protected"};
    if (contains(kWords, line.words.first)) return true;
    if (is_directive(line)) return true;
    const std::size_t end = line.words.first.data() + line.words.first.size() - text_.data();
    const std::string_view behind = text_.substr(end);
    return is_word_character(line.words.first[0]) && behind.starts_with(':') &&
           !behind.starts_with("::");
  }

  static bool is_directive(const Line& line) {
    return line.words.first.size() > 1 && line.words.first.starts_with('#');
  }

  // It belongs to what follows the block, unless the block goes on behind it.
  std::optional<SyntacticEnd> dedented_comment(const Line& line) {
    if (!is_dedented(line)) return std::nullopt;
    if (blank_lines_ > 0) return SyntacticEnd{line.begin, "block"};
    outside_ = std::min(outside_, line.begin);
    return std::nullopt;
  }

  bool is_dedented(const Line& line) const {
    if (block_indent_ < 0 || inside_brackets()) return false;
    const std::string_view content = text_.substr(line.begin, line.end - line.begin);
    return indent_columns(content, site_.indent.width) <= block_indent_;
  }

  bool is_next_line(std::string_view content) const {
    if (site_.following.empty()) return false;
    const std::string_view next = site_.following.front();
    const int width = site_.indent.width;
    return trimmed(next) == trimmed(content) &&
           indent_columns(next, width) == indent_columns(content, width);
  }

  std::optional<SyntacticEnd> brackets(const Line& line) {
    for (; next_ < tokens_.size() && tokens_[next_].begin < line.end; ++next_) {
      const SourceToken& token = tokens_[next_];
      if (token.begin < code_begin_) continue;
      const char c = text_[token.begin];
      if (token.cls == TokenClass::opener) opened_.push_back(c);
      if (token.cls == TokenClass::closer && !close(c) &&
          !ends_case_pattern(*site_.language, text_, token.begin)) {
        return SyntacticEnd{token.begin, "closer"};
      }
      if (token.cls == TokenClass::punctuation && c == ';' && statement_ends_here()) {
        return SyntacticEnd{token.end, "statement"};
      }
    }
    return std::nullopt;
  }

  // False if the bracket closes nothing that the completion may close.
  bool close(char bracket) {
    if (!opened_.empty()) {
      if (opened_.back() != matching_bracket(bracket)) return false;
      opened_.pop_back();
      return true;
    }
    if (open_.empty() || open_.back() != matching_bracket(bracket) || closable_ == 0) return false;
    open_.pop_back();
    --closable_;
    if (open_.size() < site_.open_above) ended_ = true;
    return true;
  }

  bool statement_ends_here() const {
    return site_.language->statements_end_at_semicolon && site_.extent == Extent::statement &&
           !inside_brackets();
  }

  std::optional<SyntacticEnd> end_of_line(const Line& line) {
    ++lines_;
    if (site_.may_begin_below && is_holes_own(line) && lines_ <= 2) return std::nullopt;
    if (site_.extent == Extent::line) return SyntacticEnd{line.end, "line"};
    if (line.blank && !line.begins_inside) return blank_line(line);
    blank_lines_ = 0;
    if (ended_) return SyntacticEnd{line.end, "block"};
    if (lines_ >= most_lines_) return SyntacticEnd{line.end, "lines"};
    // A comment is no statement, and half a string is none.
    if (line.words.first.empty() || line.ends_inside) return std::nullopt;
    if (inside_brackets() || continues(line.words.last, site_)) return std::nullopt;
    // Grammars have no token for it.
    if (trimmed(text_.substr(line.begin, line.end - line.begin)).ends_with('\\'))
      return std::nullopt;
    if (site_.extent == Extent::block) return std::nullopt;
    if (block_indent_ < 0 && opens_block(*site_.language, line.words)) {
      const std::string_view first = text_.substr(site_.line_begin, line.end - site_.line_begin);
      block_indent_ = indent_columns(first_line_with_code(first), site_.indent.width);
      return std::nullopt;
    }
    if (block_indent_ >= 0 || needs_a_body(line) || lacks_semicolon(line)) return std::nullopt;
    return SyntacticEnd{line.end, "statement"};
  }

  static std::string_view first_line_with_code(std::string_view text) {
    const std::size_t code = text.find_first_not_of(" \t\r\n");
    if (code == std::string_view::npos) return text;
    const std::size_t newline = text.rfind('\n', code);
    return newline == std::string_view::npos ? text : text.substr(newline + 1);
  }

  // if (...), else and the like, whose body is the next line, and a decorator of Python.
  bool needs_a_body(const Line& line) const {
    if (site_.language->blocks == BlockStyle::indentation && line.words.first.starts_with('@')) {
      return true;
    }
    return site_.language->blocks == BlockStyle::brackets &&
           contains(site_.language->block_heads, line.words.first) &&
           (line.words.last == ")" || line.words.last == line.words.first);
  }

  // The first line of a chain of calls, a head whose brace is on the next line, an annotation.
  bool lacks_semicolon(const Line& line) const {
    if (!site_.semicolons) return false;
    const bool in_list = !open_.empty() && open_.back() != '{';
    if (in_list || is_directive(line)) return false;
    static constexpr std::string_view kEnds[] = {";", "}", ":", ","};
    return !contains(kEnds, line.words.last);
  }

  // Nothing but white space was generated up to the end of the line.
  bool is_holes_own(const Line& line) const {
    return trimmed(text_.substr(hole_, line.end - hole_)).empty();
  }

  // A blank line ends nothing inside a block; two of them do.
  std::optional<SyntacticEnd> blank_line(const Line& line) {
    if (is_holes_own(line) && lines_ <= 2) return std::nullopt;
    if (++blank_lines_ >= 2) return SyntacticEnd{line.begin, "block"};
    return std::nullopt;
  }

  const CompletionSite& site_;
  int most_lines_;
  std::string_view text_;
  std::size_t hole_;
  std::vector<SourceToken> tokens_;
  std::size_t next_ = 0;  // token
  std::size_t code_begin_ = 0;
  std::string opened_;  // brackets the completion opened and has not closed
  std::string open_;    // those of the site that are still open
  int closable_;
  int block_indent_;    // of the line that opened the block the completion is in, or -1
  bool ended_ = false;  // the line in progress is the last
  // Where comments begin that are not in the block if no line of it follows.
  std::size_t outside_ = std::string_view::npos;
  int lines_ = 0;
  int blank_lines_ = 0;
};

}  // namespace

std::optional<SyntacticEnd> find_syntactic_end(const CompletionSite& site, int most_lines,
                                               GrowingSource& source) {
  return Walk(site, most_lines, source).run();
}

}  // namespace caretd::lsp
