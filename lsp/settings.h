// What a session can be told about completions. The daemon fills it from its configuration.
#pragma once

#include <string>
#include <vector>

#include "lsp/postprocess/gate.h"
#include "support/clock.h"

namespace caretd::lsp {

struct Settings {
  bool enabled = true;
  std::vector<std::string> disabled_languages;  ///< languageIds
  bool in_comments = true;
  bool multiline = true;
  int prompt_tokens = 1024;
  int max_tokens = 64;
  Duration time_budget = std::chrono::seconds(2);
  GatePolicy gate;
  bool related_code = true;         ///< definitions and recent edits of other files in the prompt
  std::vector<std::string> ignore;  ///< gitignore patterns of files that never enter a prompt
  bool respect_gitignore = true;    ///< the workspace's .gitignore counts; .caretignore always does
  /// Decode what follows a shown suggestion, and warm the cache, while nobody waits.
  bool think_ahead = true;
  bool warm_opened = true;  ///< compute the beginning of a document ahead when it is opened
  int alternatives = 3;     ///< beside the first, on an invoked request
};

}  // namespace caretd::lsp
