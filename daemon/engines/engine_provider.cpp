#include "daemon/engines/engine_provider.h"

#include <algorithm>

#include "daemon/engines/model_loading.h"
#include "daemon/session_settings.h"
#include "daemon/wiring.h"

namespace caretd::daemon {

namespace {

std::string model_name(const Settings& settings, const InstallTree& install) {
  if (!settings.remote.url.empty()) return settings.remote.model;
  return model_folder(settings.model, install).filename().string();
}

}  // namespace

SessionEngines EngineProvider::engines_for(const Settings& settings) {
  SessionEngines unneeded;  // ends outside of the lock: it joins a thread
  const std::lock_guard lock(mutex_);
  std::erase_if(engines_, [](const auto& entry) { return entry.second.expired(); });
  const Settings completion = completion_engine_settings(settings);
  const Settings chat = has_chat_model(settings) ? chat_engine_settings(settings) : completion;
  SessionEngines chosen;
  chosen.completion = find_or_make(completion);
  chosen.chat = find_or_make(chat);
  chosen.completion_model = model_name(completion, install_);
  chosen.chat_model = model_name(chat, install_);
  unneeded = std::exchange(latest_, chosen);
  return chosen;
}

std::shared_ptr<engine::Engine> EngineProvider::find_or_make(const Settings& settings) {
  const Key key{settings.model, settings.remote};
  for (const auto& [known, weak] : engines_) {
    if (known != key) continue;
    if (auto engine = weak.lock()) return engine;
  }
  std::shared_ptr<engine::Engine> engine = make_engine(settings, install_, clock_, log_);
  engines_.emplace_back(key, engine);
  return engine;
}

std::vector<std::shared_ptr<engine::Engine>> EngineProvider::engines() const {
  std::vector<std::shared_ptr<engine::Engine>> alive;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, weak] : engines_) {
    if (auto engine = weak.lock()) alive.push_back(std::move(engine));
  }
  return alive;
}

bool EngineProvider::sleep() {
  const auto alive = engines();  // outlives the lock: an engine that ends joins a thread
  const std::lock_guard lock(mutex_);
  bool any = false;
  for (const auto& engine : alive) {
    const auto state = engine->status().state;
    if (state == engine::EngineState::failed) wake_later(engine);
    if (state != engine::EngineState::ready) continue;
    wake_later(engine);
    engine->unload();
    any = true;
  }
  return any;
}

void EngineProvider::wake_later(const std::shared_ptr<engine::Engine>& engine) {
  const auto same = [&](const auto& other) { return other.lock() == engine; };
  if (std::ranges::none_of(sleeping_, same)) sleeping_.push_back(engine);
  asleep_ = true;
}

/// An engine may not have begun to unload yet; load() comes behind that all the same.
void EngineProvider::wake() {
  if (!asleep_) return;
  std::vector<std::shared_ptr<engine::Engine>> alive;  // outlives the lock, too
  const std::lock_guard lock(mutex_);
  for (const auto& weak : std::exchange(sleeping_, {})) {
    const auto& engine = alive.emplace_back(weak.lock());
    if (engine != nullptr) engine->load();
  }
  asleep_ = false;  // last: whoever finds nothing asleep may submit at once
}

}  // namespace caretd::daemon
