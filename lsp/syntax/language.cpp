#include "lsp/syntax/language.h"

#include <algorithm>
#include <cctype>
#include <string>

namespace caretd::lsp {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string extension_of(std::string_view path) {
  const std::string_view name = path.substr(path.find_last_of('/') + 1);
  const std::size_t dot = name.find_last_of('.');
  return dot == std::string_view::npos || dot == 0 ? std::string() : lower(name.substr(dot));
}

template <typename Predicate>
const Language* find_if(Predicate matches) {
  for (const std::span<const Language> table : {grammar_languages(), plain_languages()}) {
    const auto found = std::ranges::find_if(table, matches);
    if (found != table.end()) return &*found;
  }
  return nullptr;
}

}  // namespace

bool contains(std::span<const std::string_view> words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

const Language& plain_text() {
  static constexpr Language kPlainText{.id = "plaintext"};
  return kPlainText;
}

const Language& find_language(std::string_view language_id, std::string_view path) {
  const std::string id = lower(language_id);
  const Language* found = find_if([&](const Language& l) { return l.id == id; });
  if (!found) found = find_if([&](const Language& l) { return contains(l.aliases, id); });
  // An editor that says "plaintext" has looked and found nothing, so its word is taken.
  if (!found && id != plain_text().id) {
    const std::string extension = extension_of(path);
    if (!extension.empty()) {
      found = find_if([&](const Language& l) { return contains(l.extensions, extension); });
    }
  }
  return found ? *found : plain_text();
}

}  // namespace caretd::lsp
