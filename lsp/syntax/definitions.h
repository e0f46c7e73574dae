// Definitions in a file and the identifiers near the cursor: what relates files to each other.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "lsp/syntax/syntax_tree.h"

namespace caretd::lsp {

/// One definition; byte offsets of its file.
struct Definition {
  std::string name;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// The definition queries of all languages, each compiled when it is first needed (some grammars
/// take milliseconds). Thread-safe.
class DefinitionFinder {
 public:
  DefinitionFinder();
  ~DefinitionFinder();

  /// In source order, outer ones before inner ones. `source` is the text of `tree`.
  [[nodiscard]] std::vector<Definition> definitions(const SyntaxTree& tree,
                                                    std::string_view source);

 private:
  struct Query;
  [[nodiscard]] const Query* query_for(const Language& language);

  std::mutex mutex_;
  std::map<std::string_view, std::unique_ptr<Query>> queries_;
};

/// Distinct identifiers within `radius` bytes of `offset`, the nearest first, without keywords
/// where a tree tells them apart. At most `limit`.
[[nodiscard]] std::vector<std::string> identifiers_near(const SyntaxTree* tree,
                                                        const Language& language,
                                                        std::string_view source, std::size_t offset,
                                                        std::size_t radius, std::size_t limit);

}  // namespace caretd::lsp
