// `caretd lsp`: what an editor starts. A relay to the user's daemon, or with --standalone a
// language server session in this process.
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <fstream>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include <unistd.h>

#include "daemon/build_info.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/session_hello.h"
#include "daemon/process/startup_pages.h"
#include "daemon/relay/relay.h"
#include "daemon/session_services.h"
#include "daemon/transport/stdio.h"
#include "lsp/server.h"
#include "support/executor.h"

namespace caretd::daemon {
namespace {

constexpr int kHandlers = 1;  // there is one session
constexpr int kWorkers = 2;
constexpr auto kLookAtSettings = std::chrono::seconds(1);

struct LspOptions {
  bool stdio = false;
  bool standalone = false;
  std::string connect;  ///< HOST:PORT of a daemon on another machine
  std::string token_file;
  std::string ca_file;
  bool insecure = false;
};

/// stdout belongs to the protocol: the session gets a copy of it, and whatever a library might
/// print goes to stderr.
int take_stdout() {
  const int protocol = ::dup(STDOUT_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  return protocol;
}

/// Tells the session of changed settings files until it is told to stop.
void watch_settings(SettingsWatch& watch, lsp::Session& session, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  while (
      !stopped.wait_for(lock, stop, kLookAtSettings, [&stop] { return stop.stop_requested(); })) {
    if (watch.changed()) session.settings_changed();
  }
}

/// `notice`, if there is one, is shown to the user.
int serve_standalone(const CommandContext& context, const std::string& notice) {
  const SteadyClock clock;
  TaskThreads threads(kHandlers, kWorkers);
  const SessionFactory factory(context, threads, clock, context.log);
  const int output = take_stdout();
  auto transport = std::make_shared<StdioTransport>(STDIN_FILENO, output);
  std::atomic<int> exit_code = kFailure;
  {
    lsp::Session session(factory.services([&] { return context.settings_layers(); }, notice), 1,
                         transport, [&exit_code](int code) { exit_code = code; });
    const std::jthread watching(
        [&](const std::stop_token& stop) { watch_settings(*factory.watch(), session, stop); });
    transport->run([&session](std::string_view bytes) { session.receive(bytes); },
                   [&session] { session.end_of_input(); });
  }
  ::close(output);
  return exit_code;
}

/// For a daemon on another machine: keys to this machine's own services stay here.
Hello remote_hello(const CommandContext& context) {
  Hello hello = session_hello(context);
  for (const Key& key : all_keys()) {
    if (!key.secret) continue;
    hello.environment.erase(environment_name(key));
    const std::string word = std::string(key.name) + '=';
    std::erase_if(hello.overrides, [&](const std::string& set) { return set.starts_with(word); });
  }
  return hello;
}

int relay(const CommandContext& context,
          const std::function<Result<std::unique_ptr<Stream>>()>& connect,
          std::unique_ptr<Stream> stream, std::string advice) {
  RelayOptions options;
  options.advice = std::move(advice);
  options.input = STDIN_FILENO;
  options.output = STDOUT_FILENO;
  options.connect = connect;
  options.log = context.log;
  release_startup_pages();
  return run_relay(std::move(stream), options);
}

int relay_to_remote(const CommandContext& context, const LspOptions& options) {
  if (context.config_file) {
    report_error({ErrorKind::invalid_input,
                  "--config names a file of this machine, and the daemon at " + options.connect +
                      " reads its own; leave it out, and give single settings with --set"});
    return kUsage;
  }
  auto daemon = parse_remote_daemon(options.connect);
  if (!daemon) {
    report_error(daemon.error());
    return kUsage;
  }
  if (!options.token_file.empty()) {
    std::getline(std::ifstream(options.token_file), daemon->token);
  }
  daemon->ca_file = options.ca_file;
  daemon->tls = !options.insecure;
  Hello hello = remote_hello(context);
  hello.environment.clear();  // speaks of this machine: its paths, its devices
  const auto connect = [&] { return greet_remote(*daemon, hello); };
  auto stream = connect();
  // Falling back to a model on this machine would hide that the other one was asked for.
  if (!stream) return report_error(stream.error());
  return relay(context, connect, *std::move(stream), "look into its log on " + options.connect);
}

int relay_to_daemon(const CommandContext& context) {
  const auto connect = [&]() -> Result<std::unique_ptr<Stream>> {
    auto folder = open_runtime_folder(context.folders.runtime);
    if (!folder) return pass_on(std::move(folder));
    return connect_session(*folder, launch_options(context, Starter::relay),
                           session_hello(context));
  };
  auto stream = connect();
  if (stream) {
    const auto output = context.folders.state / "daemon.stderr";
    return relay(context, connect, *std::move(stream),
                 "run caretd doctor and look into " + output.string());
  }
  const std::string& reason = stream.error().message;
  context.log->warn("running without a daemon: {}", reason);
  return serve_standalone(context,
                          "This window loads a model of its own, because there is no daemon to "
                          "share: " +
                              reason);
}

int serve(const CommandContext& context, const LspOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);  // an editor that is gone is seen by write()
  if (options.standalone) return serve_standalone(context, {});
  return options.connect.empty() ? relay_to_daemon(context) : relay_to_remote(context, options);
}

}  // namespace

Hello session_hello(const CommandContext& context) {
  Hello hello;
  hello.version = version();
  hello.overrides = context.overrides;
  if (context.config_file) hello.config = context.config_file->string();
  constexpr std::string_view kPrefix = "CARETD_";
  for (auto variable = context.environment.lower_bound(std::string(kPrefix));
       variable != context.environment.end() && variable->first.starts_with(kPrefix); ++variable) {
    hello.environment.insert(*variable);
  }
  return hello;
}

void add_lsp_command(CommandLine& line) {
  auto options = std::make_shared<LspOptions>();
  CLI::App& app = line.add("lsp", "Serve an editor over stdin and stdout",
                           "caretd lsp\n"
                           "caretd lsp --standalone --model ~/models/DeepSeek-Coder-V2-Lite-Base\n"
                           "ssh box caretd lsp\n"
                           "caretd lsp --connect box:7070 --token-file ~/.config/caretd/token",
                           [options](CommandContext& context) { return serve(context, *options); });
  app.add_flag("--stdio", options->stdio,
               "Accepted because many editors pass it; stdio is the default");
  auto* standalone = app.add_flag("--standalone", options->standalone,
                                  "Run the model in this process instead of the user's daemon");
  auto* connect = app.add_option("--connect", options->connect,
                                 "HOST:PORT of a daemon on another machine (listen.address there)");
  connect->excludes(standalone);
  app.add_option("--token-file", options->token_file,
                 "File whose first line is that daemon's token")
      ->check(CLI::ExistingFile)
      ->needs(connect);
  app.add_option("--ca-file", options->ca_file, "Certificates to trust instead of the system's")
      ->check(CLI::ExistingFile)
      ->needs(connect);
  app.add_flag("--insecure", options->insecure, "Connect without TLS")->needs(connect);
}

}  // namespace caretd::daemon
