// What `caretd daemon status` says of an engine.
#pragma once

#include "engine/engine.h"
#include "lsp/protocol/json.h"

namespace caretd::daemon {

/// Its state, its queue and its memory in bytes; any thread.
[[nodiscard]] lsp::Json describe_engine(const engine::Engine& engine);

}  // namespace caretd::daemon
