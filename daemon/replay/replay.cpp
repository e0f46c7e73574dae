#include "daemon/replay/replay.h"

#include <chrono>
#include <memory>
#include <utility>

#include "daemon/build_info.h"
#include "daemon/replay/unstopped_pipeline.h"
#include "daemon/session_settings.h"
#include "lsp/features/syntax_pipeline.h"
#include "support/executor.h"

namespace caretd::daemon::replay {

namespace {

// As in `caretd lsp --standalone`.
constexpr int kHandlers = 1;
constexpr int kWorkers = 2;
constexpr std::size_t kOpenRequests = 256;

lsp::Settings effective_settings(const ReplayOptions& options) {
  lsp::Settings settings = options.settings;
  if (options.fixed_tokens > 0) {
    settings.gate = {.automatic = 0, .invoked = 0, .per_language = {}};
    settings.max_tokens = options.fixed_tokens;
  }
  // Where times do not count they must not decide either.
  if (options.pace == Pace::settled) settings.time_budget = std::chrono::hours(1);
  return settings;
}

lsp::SessionServices make_services(const ReplayOptions& options,
                                   const std::shared_ptr<ProbeEngine>& engine, Executor& handlers,
                                   Executor& workers, const Clock& clock, const Logger& log) {
  const auto make_pipeline = [&options](std::shared_ptr<const lsp::DocumentStore> documents)
      -> std::shared_ptr<lsp::CompletionPipeline> {
    auto pipeline = std::make_shared<lsp::SyntaxPipeline>(std::move(documents), read_ignore_file);
    if (options.stops && options.fixed_tokens == 0) return pipeline;
    return make_unstopped(std::move(pipeline), options.fixed_tokens == 0);
  };
  const auto resolve_settings = [settings = effective_settings(options),
                                 engine](const lsp::ClientSettings&) {
    return lsp::ResolvedSettings{settings, engine, {}};
  };
  return {std::make_shared<lsp::Statistics>(),
          make_pipeline,
          resolve_settings,
          handlers,
          workers,
          clock,
          log,
          std::string(version()),
          kOpenRequests};
}

}  // namespace

ReplayResult replay(engine::Engine& engine, const std::vector<TypedFile>& files,
                    const ReplayOptions& options, const Clock& clock, const Logger& log,
                    const std::function<void(double)>& progress) {
  engine.clear_cache();
  Activity activity;
  TaskThreads threads(kHandlers, kWorkers);
  CountingExecutor handlers(threads.short_tasks(), activity);
  CountingExecutor workers(threads.long_tasks(), activity);
  const auto probe = std::make_shared<ProbeEngine>(
      engine, activity, ProbeOptions{options.fixed_tokens, options.keep_generations});
  ReplayResult result;
  {
    const lsp::SessionServices services =
        make_services(options, probe, handlers, workers, clock, log);
    Editor editor(services, clock);
    Typist typist(editor, *probe, activity, clock, options.pace, options.rule);
    for (const TypedFile& file : files) {
      result.files.push_back(typist.type(file));
      progress(static_cast<double>(result.files.size()) / static_cast<double>(files.size()));
    }
  }
  activity.wait_until_idle();
  result.generations = probe->take_records();
  return result;
}

}  // namespace caretd::daemon::replay
