// Puts the parts together: an engine for settings.
#pragma once

#include <memory>

#include "daemon/config/settings.h"
#include "daemon/paths.h"
#include "engine/engine.h"
#include "support/clock.h"
#include "support/log.h"

namespace caretd::daemon {

/// The engine for these settings, loading at once unless `start_off`. `clock` must outlive it.
[[nodiscard]] std::unique_ptr<engine::Engine> make_engine(const Settings& settings,
                                                          const InstallTree& install,
                                                          const Clock& clock, const Logger& log,
                                                          bool start_off = false);

}  // namespace caretd::daemon
