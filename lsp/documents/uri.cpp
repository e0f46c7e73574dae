#include "lsp/documents/uri.h"

#include <charconv>

namespace caretd::lsp {
namespace {

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    unsigned value = 0;
    const char* const digits = text.data() + i + 1;
    const auto [stopped, error] = std::from_chars(digits, digits + 2, value, 16);
    if (error != std::errc() || stopped != digits + 2 || value == 0) return std::nullopt;
    decoded += static_cast<char>(value);
    i += 2;
  }
  return decoded;
}

}  // namespace

std::optional<std::string> path_of_uri(std::string_view uri) {
  constexpr std::string_view kScheme = "file://";
  constexpr std::string_view kThisHost = "localhost";
  if (!uri.starts_with(kScheme)) return std::nullopt;
  uri.remove_prefix(kScheme.size());
  if (uri.starts_with(kThisHost)) uri.remove_prefix(kThisHost.size());
  if (!uri.starts_with('/')) return std::nullopt;
  return percent_decoded(uri);
}

}  // namespace caretd::lsp
