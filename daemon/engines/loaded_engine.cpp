#include "daemon/engines/loaded_engine.h"

#include <condition_variable>
#include <mutex>

#include "daemon/progress.h"
#include "daemon/wiring.h"

namespace caretd::daemon {

namespace {

/// Hands the engine's status from its thread to the one that waits.
class StatusWaiter {
 public:
  explicit StatusWaiter(engine::Engine& engine)
      : subscription_(engine.on_status([this](const engine::EngineStatus& status) {
          const std::lock_guard lock(mutex_);
          latest_ = status;
          changed_.notify_all();
        })) {
    // What happened before the subscription is not told again.
    const auto now = engine.status();
    const std::lock_guard lock(mutex_);
    if (now.state != engine::EngineState::starting) latest_ = now;
  }

  engine::EngineStatus wait(ProgressReporter& progress) {
    std::unique_lock lock(mutex_);
    while (latest_.state == engine::EngineState::starting) {
      changed_.wait(lock);
      progress.update(latest_.percent / 100.0);
    }
    return latest_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  engine::EngineStatus latest_;
  engine::Subscription subscription_;
};

}  // namespace

Result<std::unique_ptr<engine::Engine>> load_engine(const CommandContext& context,
                                                    const Settings& settings, const Clock& clock) {
  return wait_until_ready(make_engine(settings, context.install, clock, context.log), clock);
}

Result<std::unique_ptr<engine::Engine>> wait_until_ready(std::unique_ptr<engine::Engine> engine,
                                                         const Clock& clock) {
  ProgressReporter progress("loading the model", clock, stderr_is_terminal());
  const auto status = StatusWaiter(*engine).wait(progress);
  if (status.state != engine::EngineState::ready) {
    return fail(ErrorKind::unavailable, status.reason);
  }
  return engine;
}

}  // namespace caretd::daemon
