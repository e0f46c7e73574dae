#include "daemon/session_services.h"

#include <atomic>
#include <utility>

#include "daemon/build_info.h"
#include "daemon/session_settings.h"
#include "lsp/features/syntax_pipeline.h"

namespace caretd::daemon {

SessionFactory::SessionFactory(const CommandContext& context, Executor& workers, const Clock& clock,
                               Logger log)
    : engines_(std::make_shared<EngineProvider>(context.install, clock, log)),
      statistics_(std::make_shared<lsp::Statistics>()),
      workers_(workers),
      clock_(clock),
      log_(std::move(log)) {}

lsp::SessionServices SessionFactory::services(std::function<std::vector<SettingsLayer>()> layers,
                                              const std::string& notice) const {
  auto told = std::make_shared<std::atomic<bool>>(notice.empty());
  const auto resolve_settings = [engines = engines_, layers = std::move(layers), notice,
                                 told](const lsp::ClientSettings& client) {
    Configuration configuration = session_configuration(layers(), client);
    if (!told->exchange(true)) configuration.problems.push_back(notice);
    return lsp::ResolvedSettings{to_session_settings(configuration.settings),
                                 engines->engine_for(configuration.settings),
                                 std::move(configuration.problems)};
  };
  const auto make_pipeline = [&clock =
                                  clock_](std::shared_ptr<const lsp::DocumentStore> documents) {
    return std::make_shared<lsp::SyntaxPipeline>(std::move(documents), clock, read_ignore_file);
  };
  return {statistics_, make_pipeline, resolve_settings,      workers_,
          clock_,      log_,          std::string(version())};
}

}  // namespace caretd::daemon
