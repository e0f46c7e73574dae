// Source text that only grows at its end, with a tree that keeps up: what the decode loop looks at.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lsp/syntax/source_tokens.h"
#include "lsp/syntax/syntax_tree.h"

namespace caretd::lsp {

/// One thread at a time. What is appended is parsed when tokens are asked for.
class GrowingSource {
 public:
  /// `tree` is that of `text`, or null: then brackets and strings are told apart without a grammar.
  GrowingSource(const Language& language, std::string text, SyntaxTreePtr tree);

  void append(std::string_view text) { text_ += text; }
  [[nodiscard]] std::string_view text() const { return text_; }

  /// The tokens from byte `begin` on, as the text stands now.
  [[nodiscard]] std::vector<SourceToken> tokens_from(std::size_t begin);

 private:
  void parse_appended();

  const Language& language_;
  Parser parser_;
  std::string text_;
  std::size_t parsed_ = 0;  // bytes of text_ that tree_ covers
  TextPoint parsed_end_;
  SyntaxTreePtr tree_;
};

}  // namespace caretd::lsp
