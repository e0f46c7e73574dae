// Incremental parsing with tree-sitter.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <tree_sitter/api.h>

#include "lsp/documents/text.h"
#include "lsp/syntax/language.h"
#include "support/clock.h"

namespace caretd::lsp {

/// The tree of one version of a text. It does not hold the text. Immutable, so nodes may be read
/// from any thread for as long as the tree lives.
class SyntaxTree {
 public:
  /// Takes ownership of `tree`, which must not be null.
  SyntaxTree(const Language& language, TSTree* tree) : language_(language), tree_(tree) {}

  [[nodiscard]] const Language& language() const { return language_; }
  [[nodiscard]] TSNode root() const { return ts_tree_root_node(tree_.get()); }
  [[nodiscard]] const TSTree* get() const { return tree_.get(); }
  /// What the tree takes, estimated from the number of its nodes.
  [[nodiscard]] std::size_t bytes() const;

 private:
  struct Delete {
    void operator()(TSTree* tree) const { ts_tree_delete(tree); }
  };

  const Language& language_;
  std::unique_ptr<TSTree, Delete> tree_;
};

using SyntaxTreePtr = std::shared_ptr<const SyntaxTree>;

/// Beyond these a text is treated as plain: a generated file must not hold up the keystroke.
struct ParseLimits {
  Duration time = std::chrono::milliseconds(500);  ///< of the clock that a parse is given
  std::size_t bytes = std::size_t{4} << 20;
};

/// A parser of one language. Keeping one for a series of parses saves the allocations that a fresh
/// one begins with. One thread at a time; movable.
class Parser {
 public:
  explicit Parser(const Language& language);

  /// Parses from the start. Null where the language has no grammar or a limit is reached.
  [[nodiscard]] SyntaxTreePtr parse(std::string_view text, const ParseLimits& limits,
                                    const Clock& clock);

  /// Parses `text`, which is the text of `before` after `edits`, reusing what did not change. Null
  /// where a limit is reached.
  [[nodiscard]] SyntaxTreePtr reparse(const SyntaxTree& before, std::span<const ByteEdit> edits,
                                      std::string_view text, const ParseLimits& limits,
                                      const Clock& clock);

 private:
  struct Delete {
    void operator()(TSParser* parser) const { ts_parser_delete(parser); }
  };

  [[nodiscard]] SyntaxTreePtr run(const TSTree* before, std::string_view text,
                                  const ParseLimits& limits, const Clock& clock);

  const Language* language_;
  std::unique_ptr<TSParser, Delete> parser_;  // null without a grammar
};

/// The same with a parser for the one call.
[[nodiscard]] SyntaxTreePtr parse(const Language& language, std::string_view text,
                                  const ParseLimits& limits, const Clock& clock);
[[nodiscard]] SyntaxTreePtr reparse(const SyntaxTree& before, std::span<const ByteEdit> edits,
                                    std::string_view text, const ParseLimits& limits,
                                    const Clock& clock);

/// The child of the root that contains byte `offset` or begins behind it; the null node if there is
/// none.
[[nodiscard]] TSNode top_level_node(const SyntaxTree& tree, std::size_t offset);

/// The nodes that span [begin, end) and the byte at `begin`, from the root to the innermost. To be
/// used where a loop goes outwards: ts_node_parent() looks for each parent from the root.
[[nodiscard]] std::vector<TSNode> nodes_around(const SyntaxTree& tree, std::size_t begin,
                                               std::size_t end);

/// Whether the node's children are statements, members or entries (Language::block_kinds).
[[nodiscard]] bool is_block(TSNode node, const Language& language);

}  // namespace caretd::lsp
