// `caretd lsp`: a language server session over stdin and stdout.
#include <atomic>
#include <csignal>
#include <memory>
#include <string>
#include <utility>

#include <unistd.h>

#include "daemon/build_info.h"
#include "daemon/commands/commands.h"
#include "daemon/engine_provider.h"
#include "daemon/session_settings.h"
#include "daemon/transport/stdio.h"
#include "lsp/features/syntax_pipeline.h"
#include "lsp/server.h"
#include "support/executor.h"

namespace caretd::daemon {
namespace {

constexpr int kWorkers = 2;

lsp::SessionServices session_services(const CommandContext& context, Executor& workers,
                                      const Clock& clock) {
  auto engines = std::make_shared<EngineProvider>(context.install, clock, context.log);
  const auto resolve_settings = [&context, engines](const lsp::ClientSettings& client) {
    Configuration configuration = session_configuration(context.settings_layers(), client);
    return lsp::ResolvedSettings{to_session_settings(configuration.settings),
                                 engines->engine_for(configuration.settings),
                                 std::move(configuration.problems)};
  };
  const auto make_pipeline = [&clock](std::shared_ptr<const lsp::DocumentStore> documents) {
    return std::make_shared<lsp::SyntaxPipeline>(std::move(documents), clock, read_ignore_file);
  };
  return {std::make_shared<lsp::Statistics>(),
          make_pipeline,
          resolve_settings,
          workers,
          clock,
          context.log,
          std::string(version())};
}

/// stdout belongs to the protocol: the session gets a copy of it, and whatever a library might
/// print goes to stderr.
int take_stdout() {
  const int protocol = ::dup(STDOUT_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  return protocol;
}

int serve(CommandContext& context) {
  std::signal(SIGPIPE, SIG_IGN);  // an editor that is gone is seen by write()
  const SteadyClock clock;
  ThreadPool workers(kWorkers);
  const int output = take_stdout();
  auto transport = std::make_shared<StdioTransport>(STDIN_FILENO, output);
  std::atomic<int> exit_code = kFailure;
  {
    lsp::Session session(session_services(context, workers, clock), 1, transport,
                         [&exit_code](int code) { exit_code = code; });
    transport->run([&session](std::string_view bytes) { session.receive(bytes); },
                   [&session] { session.end_of_input(); });
  }
  ::close(output);
  return exit_code;
}

}  // namespace

void add_lsp_command(CommandLine& line) {
  auto stdio = std::make_shared<bool>(false);
  CLI::App& app = line.add("lsp", "Serve an editor over stdin and stdout",
                           "caretd lsp\ncaretd lsp --model ~/models/DeepSeek-Coder-V2-Lite-Base",
                           [stdio](CommandContext& context) { return serve(context); });
  app.add_flag("--stdio", *stdio, "Accepted because many editors pass it; stdio is the default");
}

}  // namespace caretd::daemon
