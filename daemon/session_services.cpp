#include "daemon/session_services.h"

#include <utility>

#include "daemon/build_info.h"
#include "daemon/remote/remote_protocol.h"
#include "daemon/session_settings.h"
#include "daemon/statistics_file.h"
#include "lsp/features/syntax_pipeline.h"

namespace caretd::daemon {

namespace {

/// What resolving the settings of one session has to remember; used on that session's strand.
struct SessionMemory {
  std::string notice;  ///< to be shown; empty once it was
  SettingsWatch::Handle project_file;
  SettingsWatch::Handle own_file;  ///< its --config
};

}  // namespace

SessionFactory::SessionFactory(const CommandContext& context, TaskThreads& threads,
                               const Clock& clock, Logger log)
    : engines_(std::make_shared<EngineProvider>(context.install, clock, log)),
      statistics_(keep_statistics(context.folders.state / kStatisticsFileName, log)),
      watch_(std::make_shared<SettingsWatch>()),
      user_file_(watch_->watch(context.user_config())),
      threads_(threads),
      clock_(clock),
      log_(std::move(log)) {}

lsp::SessionServices SessionFactory::services(
    std::function<std::vector<SettingsLayer>()> layers, const std::string& notice,
    const std::optional<std::filesystem::path>& own_file) const {
  const DaemonSettings limits = resolve(layers()).settings.daemon;
  auto memory = std::make_shared<SessionMemory>();
  memory->notice = notice;
  if (own_file) memory->own_file = watch_->watch(*own_file);
  const auto resolve_settings = [engines = engines_, watch = watch_, layers = std::move(layers),
                                 memory](const lsp::ClientSettings& client) {
    if (const auto file = project_file(client)) memory->project_file = watch->watch(*file);
    Configuration configuration = session_configuration(layers(), client);
    if (!memory->notice.empty()) {
      configuration.problems.push_back(std::exchange(memory->notice, {}));
    }
    if (const auto& remote = configuration.settings.remote; !remote.url.empty()) {
      configuration.problems.push_back("prompts made from your files are sent to " +
                                       host_of(remote.url) + " (remote.url)");
    }
    SessionEngines chosen = engines->engines_for(configuration.settings);
    return lsp::ResolvedSettings{to_session_settings(configuration.settings),
                                 std::move(chosen.completion), std::move(configuration.problems),
                                 std::move(chosen.chat), to_chat_settings(configuration.settings)};
  };
  const auto make_pipeline = [](std::shared_ptr<const lsp::DocumentStore> documents) {
    return std::make_shared<lsp::SyntaxPipeline>(std::move(documents), read_ignore_file);
  };
  return {statistics_,
          make_pipeline,
          resolve_settings,
          threads_.short_tasks(),
          threads_.long_tasks(),
          clock_,
          log_,
          std::string(version()),
          static_cast<std::size_t>(limits.max_requests_per_session),
          static_cast<std::size_t>(limits.max_open_mebibytes_per_session) << 20};
}

}  // namespace caretd::daemon
