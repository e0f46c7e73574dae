// An engine elsewhere: engine.h over the OpenAI-compatible API of another server.
#pragma once

#include <memory>

#include "daemon/config/settings.h"
#include "engine/engine.h"
#include "support/clock.h"
#include "support/log.h"

namespace caretd::daemon {

/// Looks at once whether the server is there. Prompts are sent as text: with the tokenizer of
/// remote.tokenizer ids are turned back into it, without one requests must not hold any. Warm-ups
/// (max_tokens 0) end at once and send nothing; the cache and its owners are the server's affair.
[[nodiscard]] std::unique_ptr<engine::Engine> make_remote_engine(const RemoteSettings& settings,
                                                                 const Clock& clock, Logger log);

}  // namespace caretd::daemon
