// What a command says to the daemon before a session of its own.
#pragma once

#include "daemon/command_line.h"
#include "daemon/process/handshake.h"

namespace caretd::daemon {

/// What the command was given travels with its session, because the daemon is everybody's.
[[nodiscard]] Hello session_hello(const CommandContext& context);

}  // namespace caretd::daemon
