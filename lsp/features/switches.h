// What the user switched on and off while working, over what the settings say.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lsp/documents/document_store.h"
#include "lsp/settings.h"

namespace caretd::lsp {

enum class SwitchScope : std::uint8_t { global, language, document, comments };

/// A completion is offered where everything that applies is on: the whole, the document's
/// language, the document, and in a comment also the comments. Not thread-safe.
class Switches {
 public:
  /// `subject` is the languageId or the URI; unused for the other scopes.
  void set(SwitchScope scope, const std::string& subject, bool enabled);
  void forget_document(const std::string& uri) { documents_.erase(uri); }

  [[nodiscard]] bool enabled(const Settings& settings) const;
  [[nodiscard]] bool in_comments(const Settings& settings) const;
  [[nodiscard]] bool enabled_for(const Settings& settings, const Document& document) const;

  /// Sorted, without duplicates.
  [[nodiscard]] std::vector<std::string> disabled_languages(const Settings& settings) const;
  [[nodiscard]] std::vector<std::string> disabled_documents() const;

 private:
  std::optional<bool> global_;
  std::optional<bool> comments_;
  std::map<std::string, bool> languages_;
  std::map<std::string, bool> documents_;
};

}  // namespace caretd::lsp
