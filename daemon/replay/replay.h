// `caretd replay`: scripts typed through a language server in this process.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "daemon/replay/figures.h"
#include "daemon/replay/probe_engine.h"
#include "daemon/replay/typing_script.h"
#include "daemon/replay/typist.h"
#include "engine/engine.h"
#include "lsp/settings.h"
#include "support/log.h"

namespace caretd::daemon::replay {

struct ReplayOptions {
  lsp::Settings settings;
  bool stops = true;     ///< false: nothing ends a completion but its token budget
  int fixed_tokens = 0;  ///< not 0: no gate, no stops, exactly so many tokens for every request
  Pace pace = Pace::settled;
  AcceptRule rule;
  bool keep_generations = false;  ///< for check_exactness()
};

struct ReplayResult {
  std::vector<TypedFileRecord> files;
  std::vector<GenerationRecord> generations;
};

/// Types the files one after another in one session. The engine is ready; its cache is emptied
/// first. Throws where the server ends the session. `progress` hears the share that is done.
[[nodiscard]] ReplayResult replay(engine::Engine& engine, const std::vector<TypedFile>& files,
                                  const ReplayOptions& options, const Clock& clock,
                                  const Logger& log, const std::function<void(double)>& progress);

}  // namespace caretd::daemon::replay
