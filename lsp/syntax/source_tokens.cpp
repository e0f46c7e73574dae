#include "lsp/syntax/source_tokens.h"

#include <algorithm>
#include <cctype>

namespace caretd::lsp {
namespace {

constexpr std::string_view kOpeners = "([{";
constexpr std::string_view kClosers = ")]}";
constexpr std::string_view kQuotes = "\"'`";

bool is_space(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool is_string_kind(std::string_view kind) {
  if (kind == "string_scalar" || kind == "concatenated_string" || kind == "string_interpolation" ||
      kind == "chained_string") {
    return false;
  }
  return has(kind, "string") || has(kind, "quote_scalar") || has(kind, "heredoc_body") ||
         kind == "char_literal" || kind == "character_literal" || kind == "regex" ||
         kind == "regex_literal" || kind == "quoted_attribute_value" || kind == "raw_text" ||
         kind == "block_scalar";
}

TokenClass class_of_character(char c) {
  if (kOpeners.find(c) != std::string_view::npos) return TokenClass::opener;
  if (kClosers.find(c) != std::string_view::npos) return TokenClass::closer;
  return is_word_character(c) ? TokenClass::word : TokenClass::punctuation;
}

// Collects tokens; the walk over a tree and the plain scanner both feed it.
class Collector {
 public:
  Collector(const Language& language, std::string_view source, std::size_t begin, std::size_t end)
      : language_(language), source_(source), begin_(begin), end_(std::min(end, source.size())) {}

  void add(TokenClass cls, std::size_t begin, std::size_t end) {
    if (end > begin_ && begin < end_ && begin < end) tokens_.push_back({cls, begin, end});
  }

  // A leaf of the tree that is neither string nor comment. Grammars have tokens such as "${" and
  // "((", so brackets are taken one by one.
  void add_leaf(std::size_t begin, std::size_t end) {
    const bool ends_in_bracket = matching_bracket(source_[end - 1]) != 0;
    if (is_word_character(source_[begin]) && !ends_in_bracket) {
      return add(TokenClass::word, begin, end);
    }
    for (std::size_t at = begin; at < end; ++at) {
      const TokenClass cls = class_of_character(source_[at]);
      const bool bracket = cls == TokenClass::opener || cls == TokenClass::closer;
      if (bracket) add(cls, at, at + 1);
      if (!bracket && at == begin && !is_space(source_[at])) {
        add(TokenClass::punctuation, begin, ends_in_bracket ? begin + 1 : end);
      }
    }
  }

  void scan(std::size_t begin, std::size_t end) {
    std::size_t at = begin;
    while (at < end) at = scan_one(at, end);
  }

  [[nodiscard]] std::size_t begin() const { return begin_; }
  [[nodiscard]] std::size_t end() const { return end_; }
  [[nodiscard]] std::vector<SourceToken> take() { return std::move(tokens_); }

 private:
  std::size_t scan_one(std::size_t at, std::size_t end) {
    const char c = source_[at];
    if (is_space(c)) return at + 1;
    if (const std::size_t after = end_of_comment(at, end); after > at) {
      add(TokenClass::comment, at, after);
      return after;
    }
    if (const std::size_t after = end_of_string(at, end); after > at) {
      add(TokenClass::string, at, after);
      return after;
    }
    std::size_t after = at + 1;
    const TokenClass cls = class_of_character(c);
    while (cls == TokenClass::word && after < end && is_word_character(source_[after])) ++after;
    add(cls, at, after);
    return after;
  }

  std::size_t end_of_comment(std::size_t at, std::size_t end) const {
    const std::string_view rest = source_.substr(at, end - at);
    const CommentSyntax& comment = language_.comment;
    if (!comment.open.empty() && rest.starts_with(comment.open)) {
      const std::size_t close = rest.find(comment.close, comment.open.size());
      return close == std::string_view::npos ? end : at + close + comment.close.size();
    }
    if (comment.line.empty() || !rest.starts_with(comment.line)) return at;
    return at + std::min(rest.find('\n'), rest.size());
  }

  // A literal that ends on its line; an apostrophe behind a letter is none.
  std::size_t end_of_string(std::size_t at, std::size_t end) const {
    const char quote = source_[at];
    if (kQuotes.find(quote) == std::string_view::npos) return at;
    if (quote == '\'' && at > 0 && is_word_character(source_[at - 1])) return at;
    for (std::size_t i = at + 1; i < end && source_[i] != '\n'; ++i) {
      if (source_[i] == '\\') {
        ++i;
      } else if (source_[i] == quote) {
        return i + 1;
      }
    }
    return at;
  }

  const Language& language_;
  std::string_view source_;
  std::size_t begin_;
  std::size_t end_;
  std::vector<SourceToken> tokens_;
};

// Emits the node the cursor is at if it is a token; false: its children have to be visited.
bool emit(const TSTreeCursor& cursor, Collector& out) {
  const TSNode node = ts_tree_cursor_current_node(&cursor);
  const std::size_t begin = ts_node_start_byte(node);
  const std::size_t end = ts_node_end_byte(node);
  if (end <= out.begin() || begin >= out.end() || begin == end) return true;
  const std::string_view kind = ts_node_type(node);
  if (ts_node_is_named(node) && has(kind, "comment")) {
    out.add(TokenClass::comment, begin, end);
    return true;
  }
  if (ts_node_is_named(node) && is_string_kind(kind)) {
    out.add(TokenClass::string, begin, end);
    return true;
  }
  if (ts_node_child_count(node) > 0) return false;
  if (ts_node_is_error(node)) {
    out.scan(begin, end);
  } else {
    out.add_leaf(begin, end);
  }
  return true;
}

void walk(const SyntaxTree& tree, Collector& out) {
  TSTreeCursor cursor = ts_tree_cursor_new(tree.root());
  const auto from = static_cast<std::uint32_t>(out.begin());
  bool more = true;
  while (more) {
    if (!emit(cursor, out)) {
      if (ts_tree_cursor_goto_first_child_for_byte(&cursor, from) >= 0) continue;
    }
    const TSNode node = ts_tree_cursor_current_node(&cursor);
    if (ts_node_start_byte(node) >= out.end()) break;
    while (!(more = ts_tree_cursor_goto_next_sibling(&cursor))) {
      if (!ts_tree_cursor_goto_parent(&cursor)) break;
    }
  }
  ts_tree_cursor_delete(&cursor);
}

}  // namespace

char matching_bracket(char bracket) {
  constexpr std::string_view kBrackets = "()[]{}";
  const std::size_t at = kBrackets.find(bracket);
  return at == std::string_view::npos ? '\0' : kBrackets[at ^ 1U];
}

bool is_word_character(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || c == '_' || c == '$' || byte >= 0x80;
}

std::vector<SourceToken> source_tokens(const SyntaxTree* tree, const Language& language,
                                       std::string_view source, std::size_t begin,
                                       std::size_t end) {
  Collector out(language, source, begin, end);
  if (tree) {
    walk(*tree, out);
  } else {
    out.scan(begin, out.end());
  }
  return out.take();
}

}  // namespace caretd::lsp
