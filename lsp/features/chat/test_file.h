// Where the tests of a file go.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lsp/documents/document_store.h"
#include "lsp/protocol/json.h"
#include "lsp/syntax/language.h"

namespace caretd::lsp {

/// The file beside `uri` that holds its tests by the habit of the language: test_a.py, a_test.go,
/// a.test.ts. Nothing where tests live elsewhere or there is no such habit.
[[nodiscard]] std::optional<std::string> test_file_uri(std::string_view uri,
                                                       const Language& language);

/// A WorkspaceEdit that appends `code` to the test file if it is open, and else makes the file;
/// making fails where it exists, so that no tests are overwritten.
[[nodiscard]] Json test_file_edit(const std::string& uri, const Document* open,
                                  const std::string& code, PositionEncoding encoding);

}  // namespace caretd::lsp
