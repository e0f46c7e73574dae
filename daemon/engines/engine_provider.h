// Which engine a session uses: one for each distinct model configuration.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "daemon/config/settings.h"
#include "daemon/paths.h"
#include "engine/engine.h"
#include "support/clock.h"
#include "support/log.h"

namespace caretd::daemon {

/// The same one twice, unless chat.model names another model.
struct SessionEngines {
  std::shared_ptr<engine::Engine> completion;
  std::shared_ptr<engine::Engine> chat;
  /// What their models are called, known before they are loaded; empty for one elsewhere that the
  /// settings do not name.
  std::string completion_model;
  std::string chat_model;
};

/// Thread-safe. An engine lives as long as somebody holds it; the latest ones are held here too, so
/// that an editor that reconnects does not load the model again. `clock` outlives the engines.
class EngineProvider {
 public:
  EngineProvider(InstallTree install, const Clock& clock, Logger log)
      : install_(std::move(install)), clock_(clock), log_(std::move(log)) {}

  /// Starts loading where no engine for these settings is there yet.
  [[nodiscard]] SessionEngines engines_for(const Settings& settings);

  /// Every engine somebody holds.
  [[nodiscard]] std::vector<std::shared_ptr<engine::Engine>> engines() const;

  /// Takes the weights of every ready engine out of memory until wake(). False when all slept.
  bool sleep();
  /// Loads what sleep() unloaded, and what had failed by then. Cheap when nothing sleeps.
  void wake();

 private:
  using Key = std::pair<ModelSettings, RemoteSettings>;

  /// Under the lock.
  [[nodiscard]] std::shared_ptr<engine::Engine> find_or_make(const Settings& settings);
  void wake_later(const std::shared_ptr<engine::Engine>& engine);

  const InstallTree install_;
  const Clock& clock_;
  const Logger log_;
  mutable std::mutex mutex_;
  std::vector<std::pair<Key, std::weak_ptr<engine::Engine>>> engines_;
  SessionEngines latest_;
  std::vector<std::weak_ptr<engine::Engine>> sleeping_;
  std::atomic<bool> asleep_ = false;  ///< sleeping_ is not empty
};

}  // namespace caretd::daemon
