// A place for a completion in an annotated source.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lsp/context/completion_site.h"
#include "lsp/syntax/syntax_tree.h"
#include "tests/helpers/annotated_source.h"

namespace caretd::test {

/// The document, its tree and what is known about the hole at `^`.
struct CompletionCase {
  lsp::DocumentSnapshot document;
  lsp::SyntaxTreePtr tree;
  lsp::PromptQuery query;
  lsp::CompletionSite site;

  CompletionCase(std::string_view language_id, std::string_view annotated,
                 std::string_view uri = "file:///project/src/sample") {
    const AnnotatedSource source(annotated);
    lsp::DocumentStore documents(1);
    document = documents.open(std::string(uri), std::string(language_id), 1, source.text);
    const lsp::Language& language = lsp::find_language(language_id);
    tree = lsp::parse(language, document->text.view(), {.time = std::chrono::seconds(60)},
                      SteadyClock());
    query = {document, source.cursor, "", source.cursor};
    site = lsp::describe_site(query, language, tree.get());
  }
};

}  // namespace caretd::test
