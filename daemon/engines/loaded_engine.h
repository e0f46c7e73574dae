// For commands that need a model at once: an engine, with the wait for it shown.
#pragma once

#include <memory>

#include "daemon/command_line.h"
#include "engine/engine.h"
#include "support/clock.h"

namespace caretd::daemon {

/// The engine that the settings mean, ready. Shows progress on stderr while it loads.
[[nodiscard]] Result<std::unique_ptr<engine::Engine>> load_engine(const CommandContext& context,
                                                                  const Settings& settings,
                                                                  const Clock& clock);

/// The same for an engine that is loading already.
[[nodiscard]] Result<std::unique_ptr<engine::Engine>> wait_until_ready(
    std::unique_ptr<engine::Engine> engine, const Clock& clock);

}  // namespace caretd::daemon
