// What the daemon says about itself (docs/daemon.md), for the commands that show it.
#pragma once

#include "daemon/process/runtime_folder.h"
#include "lsp/protocol/json.h"
#include "support/result.h"

namespace caretd::daemon {

/// Asks the running daemon; blocks for up to some seconds. An object that has all that
/// `caretd daemon status` prints. Errors are those of greet_daemon(), ErrorKind::not_found among
/// them: none runs.
[[nodiscard]] Result<lsp::Json> read_daemon_status(const RuntimeFolder& folder);

/// Why the daemon serves no HTTP although http.address is set, as a sentence; empty where it does.
[[nodiscard]] std::string http_problem_of(const lsp::Json& status);

}  // namespace caretd::daemon
