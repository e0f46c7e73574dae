// What language server sessions of this process are given, in a daemon and standalone alike.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "daemon/command_line.h"
#include "daemon/config/settings_watch.h"
#include "daemon/engines/engine_provider.h"
#include "daemon/process/handshake.h"
#include "lsp/server.h"
#include "support/clock.h"
#include "support/executor.h"

namespace caretd::daemon {

/// Shared by the sessions of a process; outlives them.
class SessionFactory {
 public:
  SessionFactory(const CommandContext& context, TaskThreads& threads, const Clock& clock,
                 Logger log);

  /// `layers` are what the process says for this session, read anew whenever a session resolves its
  /// settings. `notice` is a sentence the user is shown once; may be empty. `own_file` is read by
  /// `layers` for this session alone, and watched like the user's.
  [[nodiscard]] lsp::SessionServices services(
      std::function<std::vector<SettingsLayer>()> layers, const std::string& notice,
      const std::optional<std::filesystem::path>& own_file = {}) const;

  [[nodiscard]] EngineProvider& engines() const { return *engines_; }

  /// The user's file and those of the workspaces that are open. Whoever owns the sessions asks it
  /// now and then and tells them.
  [[nodiscard]] std::shared_ptr<SettingsWatch> watch() const { return watch_; }

 private:
  std::shared_ptr<EngineProvider> engines_;
  std::shared_ptr<lsp::Statistics> statistics_;
  std::shared_ptr<SettingsWatch> watch_;
  SettingsWatch::Handle user_file_;
  TaskThreads& threads_;
  const Clock& clock_;
  Logger log_;
};

}  // namespace caretd::daemon
