// `caretd serve`: the OpenAI-compatible HTTP API over the configured models.
#include <csignal>
#include <iostream>
#include <memory>

#include "daemon/commands/commands.h"
#include "daemon/engines/engine_provider.h"
#include "daemon/http/http_service.h"

namespace caretd::daemon {

namespace {

constexpr auto kServeGrace = std::chrono::seconds(5);
constexpr auto kDefaultHttpAddress = "127.0.0.1:8012";  // where llama.vim and llama.vscode look

struct ServeOptions {
  std::string listen;
  bool insecure = false;
};

/// A key on a command line can be read by every user of the machine.
void warn_of_visible_key(const CommandContext& context) {
  for (const std::string& word : context.overrides) {
    if (!word.starts_with("http.api_key=")) continue;
    context.log->warn(
        "the API key on the command line is visible to every user of this machine (ps); use "
        "http.api_key_file or CARETD_HTTP_API_KEY");
  }
}

sigset_t ending_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

int serve_http(const CommandContext& context, const ServeOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);
  // Before any thread is there, so that none of them takes a signal.
  const sigset_t signals = ending_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  warn_of_visible_key(context);
  Settings settings = context.settings();
  if (!options.listen.empty()) settings.http.address = options.listen;
  if (settings.http.address.empty()) settings.http.address = kDefaultHttpAddress;
  const auto server = http_server_options(settings.http, options.insecure);
  if (!server) return report_error(server.error());
  const SteadyClock clock;
  EngineProvider provider(context.install, clock, context.log);
  const SessionEngines engines = provider.engines_for(settings);
  const auto service = HttpService::start(
      *server, [engines] { return engines; }, [] {}, clock, context.log);
  if (!service) return report_error(service.error());
  std::cout << "listening on " << (*service)->url() << std::endl;
  int signal = 0;
  sigwait(&signals, &signal);
  (*service)->stop(kServeGrace);
  return kSuccess;
}

}  // namespace

void add_serve_command(CommandLine& line) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App& app = line.add(
      "serve", "Serve OpenAI's HTTP API and llama.cpp's /infill",
      "caretd serve\n"
      "caretd serve --listen 127.0.0.1:9000 --model ~/models/DeepSeek-Coder-V2-Lite-Instruct\n"
      "caretd serve --listen 0.0.0.0:8012 --set http.api_key_file=/etc/caretd/key "
      "--set http.certificate=chain.pem --set http.key=key.pem",
      [options](CommandContext& context) { return serve_http(context, *options); });
  app.add_option("--listen", options->listen,
                 "HOST:PORT instead of http.address; port 0 takes a free one");
  app.add_flag("--insecure", options->insecure, "Serve other machines without TLS");
}

}  // namespace caretd::daemon
