// The listeners behind Engine::on_status, for whoever implements Engine.
#pragma once

#include <functional>
#include <memory>

#include "engine/engine.h"

namespace caretd::engine {

/// Thread-safe. A subscription may outlive this object, and a listener may end its own or another
/// subscription while it is being called.
class StatusListeners {
 public:
  using Listener = std::function<void(const EngineStatus&)>;

  StatusListeners();

  [[nodiscard]] Subscription add(Listener listener);

  /// Calls every listener on the calling thread. Ending a subscription from another thread waits
  /// until the call in progress has returned.
  void notify(const EngineStatus& status);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace caretd::engine
