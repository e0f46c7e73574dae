// File URIs (RFC 8089) as editors write them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace caretd::lsp {

/// The absolute path that a file URI names; nothing for other schemes, other hosts and escapes
/// that are none. The URI is untrusted; a NUL in it is refused.
[[nodiscard]] std::optional<std::string> path_of_uri(std::string_view uri);

}  // namespace caretd::lsp
