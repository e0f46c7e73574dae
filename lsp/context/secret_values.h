// What looks like a key, token or password in a line, by its form or by the name it is assigned to.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "lsp/context/secrets.h"

namespace caretd::lsp {

/// The secret that is recognised at byte `at` of a line without its terminator: where a token of a
/// known form begins, at the sign that assigns a value, in front of a URL's user, at the name of an
/// authorization scheme. What is secret may begin behind `at`.
[[nodiscard]] std::optional<SecretSpan> secret_value_at(std::string_view line, std::size_t at);

}  // namespace caretd::lsp
