#include "lsp/features/switches.h"

#include <algorithm>
#include <set>

namespace caretd::lsp {

void Switches::set(SwitchScope scope, const std::string& subject, bool enabled) {
  switch (scope) {
    case SwitchScope::global:
      global_ = enabled;
      break;
    case SwitchScope::comments:
      comments_ = enabled;
      break;
    case SwitchScope::language:
      languages_[subject] = enabled;
      break;
    case SwitchScope::document:
      documents_[subject] = enabled;
      break;
  }
}

bool Switches::enabled(const Settings& settings) const {
  return global_.value_or(settings.enabled);
}

bool Switches::in_comments(const Settings& settings) const {
  return comments_.value_or(settings.in_comments);
}

bool Switches::enabled_for(const Settings& settings, const Document& document) const {
  if (!enabled(settings)) return false;
  const auto at = documents_.find(document.uri);
  if (at != documents_.end() && !at->second) return false;
  const std::vector<std::string> disabled = disabled_languages(settings);
  return std::find(disabled.begin(), disabled.end(), document.language_id) == disabled.end();
}

std::vector<std::string> Switches::disabled_languages(const Settings& settings) const {
  std::set<std::string> disabled(settings.disabled_languages.begin(),
                                 settings.disabled_languages.end());
  for (const auto& [language, on] : languages_) {
    if (on) {
      disabled.erase(language);
    } else {
      disabled.insert(language);
    }
  }
  return {disabled.begin(), disabled.end()};
}

std::vector<std::string> Switches::disabled_documents() const {
  std::vector<std::string> disabled;
  for (const auto& [uri, on] : documents_) {
    if (!on) disabled.push_back(uri);
  }
  return disabled;
}

}  // namespace caretd::lsp
