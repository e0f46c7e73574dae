// One question of `caretd chat` and who answers it.
#pragma once

#include <memory>

#include "daemon/command_line.h"
#include "daemon/relay/stream.h"
#include "lsp/features/chat/conversation.h"

namespace caretd::daemon {

// Both stream the reply to the listener's `begun` and `text` and return its end. SIGINT cancels
// the reply, a second one ends the process. An Error is a sentence for the user.

/// Loads the model that chats into this process.
[[nodiscard]] Result<lsp::ChatAnswer> ask_here(const CommandContext& context,
                                               const lsp::ChatQuestion& question,
                                               const lsp::ChatListener& listener);

/// Over `daemon`, which was greeted for a session.
[[nodiscard]] Result<lsp::ChatAnswer> ask_daemon(std::unique_ptr<Stream> daemon,
                                                 const lsp::ChatQuestion& question,
                                                 const lsp::ChatListener& listener);

}  // namespace caretd::daemon
