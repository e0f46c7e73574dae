// JSON as it comes from an untrusted peer.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "support/result.h"

namespace caretd::lsp {

using Json = nlohmann::json;

/// Deeper than any message of the protocol; keeps recursive readers and writers off the end of the
/// stack.
inline constexpr int kMaxJsonDepth = 128;

/// Parses one JSON text without throwing. Editors may send half a surrogate pair as an escape
/// (a string of JavaScript can hold one) or bytes that are not UTF-8; both become U+FFFD, which
/// takes the same one UTF-16 code unit, so that later positions still agree with the editor's.
[[nodiscard]] Result<Json> parse_json(std::string_view text);

/// Compact, valid UTF-8 whatever the strings hold.
[[nodiscard]] std::string to_string(const Json& json);

}  // namespace caretd::lsp
