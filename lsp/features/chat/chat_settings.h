// What a session can be told about chat. The daemon fills it from its configuration.
#pragma once

namespace caretd::lsp {

struct ChatSettings {
  int max_tokens = 512;  ///< of a reply
  float temperature = 0.3F;
  float top_p = 0.95F;
};

}  // namespace caretd::lsp
