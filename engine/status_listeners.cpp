#include "engine/status_listeners.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

namespace caretd::engine {

struct StatusListeners::State {
  // Recursive, so that a listener may unsubscribe from inside its own call.
  std::recursive_mutex mutex;
  std::uint64_t next = 0;
  std::map<std::uint64_t, std::shared_ptr<const Listener>> listeners;
};

StatusListeners::StatusListeners() : state_(std::make_shared<State>()) {}

Subscription StatusListeners::add(Listener listener) {
  const std::lock_guard lock(state_->mutex);
  const std::uint64_t key = state_->next++;
  state_->listeners.emplace(key, std::make_shared<const Listener>(std::move(listener)));
  return Subscription([state = std::weak_ptr(state_), key] {
    if (const auto alive = state.lock()) {
      const std::lock_guard unsubscribe_lock(alive->mutex);
      alive->listeners.erase(key);
    }
  });
}

void StatusListeners::notify(const EngineStatus& status) {
  const auto state = state_;
  const std::lock_guard lock(state->mutex);
  auto it = state->listeners.begin();
  while (it != state->listeners.end()) {
    const std::uint64_t key = it->first;
    const auto listener = it->second;  // stays alive if the call erases it
    (*listener)(status);
    it = state->listeners.upper_bound(key);
  }
}

}  // namespace caretd::engine
