#include "daemon/wiring.h"

#include <utility>

#include "daemon/engines/model_loading.h"
#include "daemon/remote/remote_engine.h"
#include "engine/local_engine.h"

namespace caretd::daemon {

std::unique_ptr<engine::Engine> make_engine(const Settings& settings, const InstallTree& install,
                                            const Clock& clock, const Logger& log, bool start_off) {
  if (!settings.remote.url.empty()) return make_remote_engine(settings.remote, clock, log);
  engine::ModelLoader loader = [model = settings.model, install, log](
                                   const engine::Progress& progress, std::stop_token stop) {
    return load_model(model, install, log, progress, std::move(stop));
  };
  return engine::make_local_engine(std::move(loader), engine::LocalEngineOptions{}, clock, log,
                                   start_off);
}

}  // namespace caretd::daemon
