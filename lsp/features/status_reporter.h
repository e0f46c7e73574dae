// Tells one client about the engine: caretd/status, the loading bar, one message on failure.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "lsp/protocol/connection.h"
#include "lsp/protocol/progress.h"

namespace caretd::lsp {

/// What an engine is for, in the words that the user is told.
struct EngineRole {
  std::string loading;  ///< title of the bar, for example "caretd: loading the model"
  std::string failing;  ///< in front of the reason, for example "caretd gives no completions"
};

/// On the session's strand; the engine's thread only posts to it.
class StatusReporter : public std::enable_shared_from_this<StatusReporter> {
 public:
  /// `report` makes the params of caretd/status, which is not sent without one; `engine_changed`
  /// hears every change first.
  StatusReporter(std::shared_ptr<engine::Engine> engine, EngineRole role,
                 std::shared_ptr<Connection> connection, std::shared_ptr<Executor> strand,
                 std::function<Json()> report, std::function<void()> engine_changed);

  /// From now on, once the client is initialized; the state of now is told at once. `progress`:
  /// it can show a bar (window.workDoneProgress).
  void start(bool progress);
  /// Something else of the report changed (a switch).
  void send_status();

 private:
  void update(const engine::EngineStatus& status);
  void show_loading(const engine::EngineStatus& status);
  void show_failure(const engine::EngineStatus& status);

  const std::shared_ptr<engine::Engine> engine_;
  const EngineRole role_;
  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<Executor> strand_;
  const std::function<Json()> report_;
  const std::function<void()> engine_changed_;
  bool started_ = false;
  bool progress_ = false;
  engine::Subscription subscription_;
  std::shared_ptr<WorkDoneProgress> loading_;
  int loads_ = 0;
  bool failure_shown_ = false;
  Json last_sent_;
};

}  // namespace caretd::lsp
