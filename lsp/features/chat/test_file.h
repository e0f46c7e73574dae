// Where the tests of a file go.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lsp/syntax/language.h"

namespace caretd::lsp {

/// The file beside `uri` that holds its tests by the habit of the language: test_a.py, a_test.go,
/// a.test.ts. Nothing where tests live elsewhere or there is no such habit.
[[nodiscard]] std::optional<std::string> test_file_uri(std::string_view uri,
                                                       const Language& language);

}  // namespace caretd::lsp
