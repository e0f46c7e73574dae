// What is known of a document beyond its text; what chat and code actions ask.
#pragma once

#include <string>

#include "lsp/documents/document_store.h"
#include "lsp/settings.h"
#include "lsp/syntax/syntax_tree.h"

namespace caretd::lsp {

/// Thread-safe. As it stands here it knows nothing: no rules, no workspace, no syntax.
class SourceKnowledge {
 public:
  virtual ~SourceKnowledge() = default;

  /// Whether an ignore rule or the list of secret files keeps the document out of every prompt.
  [[nodiscard]] virtual bool ignored(const Document&, const Settings&) const { return false; }
  /// As prompts name it: from the workspace folder it is in, else the file's name.
  [[nodiscard]] virtual std::string relative_path(const Document& document) const {
    return document.uri.substr(document.uri.rfind('/') + 1);
  }
  /// Null where there is none.
  [[nodiscard]] virtual SyntaxTreePtr tree_of(const DocumentSnapshot&) { return nullptr; }
};

}  // namespace caretd::lsp
