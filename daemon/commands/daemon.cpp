// `caretd daemon`: the process that holds the model for all of the user's editors.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iostream>
#include <memory>

#include <spdlog/fmt/fmt.h>

#include "daemon/build_info.h"
#include "daemon/commands/commands.h"
#include "daemon/relay/daemon_status.h"
#include "daemon/server/daemon_process.h"
#include "lsp/protocol/json.h"

namespace caretd::daemon {

namespace {

constexpr auto kStopTime = std::chrono::seconds(5);

Hello hello_for(Purpose purpose) {
  Hello hello;
  hello.version = version();
  hello.purpose = purpose;
  return hello;
}

int start(const CommandContext& context) {
  const auto folder = open_runtime_folder(context.folders.runtime);
  if (!folder) return report_error(folder.error());
  const auto lock = lock_file(folder->start_lock(), true);
  if (!lock) return report_error(lock.error());
  const auto running = greet_daemon(*folder, hello_for(Purpose::status));
  if (running) {
    std::cout << "the daemon is running already\n";
    return kSuccess;
  }
  if (running.error().kind != ErrorKind::not_found) return report_error(running.error());
  const auto launched = launch_daemon(*folder, launch_options(context, Starter::person));
  if (!launched) return report_error(launched.error());
  std::cout << "the daemon was started\n";
  const auto status = read_daemon_status(*folder);
  const std::string problem = status ? http_problem_of(*status) : std::string();
  if (!problem.empty()) std::cerr << "caretd: " << problem << '\n';
  return kSuccess;
}

/// Waits for the lock that a daemon holds for as long as it lives.
bool wait_until_gone(const RuntimeFolder& folder) {
  return lock_file_within(folder.daemon_lock(), kStopTime).has_value();
}

/// For a daemon that does not talk to this version, or to nobody any more: the lock file names its
/// process.
Result<void> signal_holder(const RuntimeFolder& folder, int signal) {
  pid_t pid = 0;
  std::ifstream(folder.daemon_lock()) >> pid;
  if (pid <= 1) return fail(ErrorKind::not_found, "no daemon is running");
  if (kill(pid, signal) != 0) {
    return fail(ErrorKind::io, fmt::format("process {} cannot be stopped", pid));
  }
  return {};
}

Result<void> stop_daemon(const RuntimeFolder& folder) {
  if (lock_file(folder.daemon_lock(), false)) {
    return fail(ErrorKind::not_found, "no daemon is running");
  }
  const auto asked = greet_daemon(folder, hello_for(Purpose::stop));
  if (!asked) {
    auto terminated = signal_holder(folder, SIGTERM);
    if (!terminated) return terminated;
  }
  if (wait_until_gone(folder)) return {};
  // It hangs. What it leaves, the next one replaces.
  auto killed = signal_holder(folder, SIGKILL);
  if (!killed) return killed;
  if (wait_until_gone(folder)) return {};
  return fail(ErrorKind::unavailable, "the daemon cannot be stopped");
}

int stop(const CommandContext& context) {
  const auto folder = open_runtime_folder(context.folders.runtime);
  if (!folder) return report_error(folder.error());
  const auto stopped = stop_daemon(*folder);
  if (!stopped) return report_error(stopped.error());
  std::cout << "the daemon was stopped\n";
  return kSuccess;
}

int restart(const CommandContext& context) {
  const auto folder = open_runtime_folder(context.folders.runtime);
  if (!folder) return report_error(folder.error());
  const auto stopped = stop_daemon(*folder);
  if (!stopped && stopped.error().kind != ErrorKind::not_found)
    return report_error(stopped.error());
  return start(context);
}

double mebibytes(const lsp::Json& bytes) {
  return bytes.get<double>() / (1 << 20);
}

void print_engine(const lsp::Json& engine) {
  std::cout << fmt::format("model     {}, {}", engine.value("model", "none"),
                           engine.value("state", "unknown"));
  if (engine.contains("percent")) std::cout << fmt::format(" ({} %)", engine.value("percent", 0));
  if (engine.contains("reason")) std::cout << ": " << engine.value("reason", "");
  if (engine.contains("device")) {
    std::cout << fmt::format(" on {}, weights {:.0f} MiB, KV {:.0f} of {:.0f} MiB",
                             engine.value("device", ""), mebibytes(engine["weightBytes"]),
                             mebibytes(engine["kvUsedBytes"]), mebibytes(engine["kvBudgetBytes"]));
  }
  std::cout << fmt::format("\n          {} requests running, {} queued, {} since it was loaded\n",
                           engine.value("running", 0), engine.value("queued", 0),
                           engine.value("requests", 0));
}

void print_status(const lsp::Json& status) {
  std::cout << fmt::format("daemon    caretd {}, process {}, up {:.0f} s, {:.0f} MiB\n",
                           status.value("version", ""), status.value("pid", 0),
                           status.value("uptimeSeconds", 0.0), mebibytes(status["memoryBytes"]));
  std::cout << fmt::format("sessions  {}\n", status["sessions"].size());
  if (status.contains("http")) std::cout << fmt::format("http      {}\n", status.value("http", ""));
  const std::string http_problem = http_problem_of(status);
  if (!http_problem.empty()) std::cout << fmt::format("http      {}\n", http_problem);
  for (const auto& engine : status["engines"]) print_engine(engine);
}

int status(const CommandContext& context, bool json) {
  const auto folder = open_runtime_folder(context.folders.runtime);
  if (!folder) return report_error(folder.error());
  const auto value = read_daemon_status(*folder);
  if (!value) return report_error(value.error());
  if (json) {
    std::cout << value->dump(2) << '\n';
  } else {
    print_status(*value);
  }
  return kSuccess;
}

/// Whether an environment variable sets something that a session may have for its own.
bool is_session_variable(std::string_view name) {
  const auto keys = all_keys();
  return std::any_of(keys.begin(), keys.end(), [name](const Key& key) {
    return environment_name(key) == name && !concerns_process(key.name);
  });
}

}  // namespace

LaunchOptions launch_options(const CommandContext& context, Starter starter) {
  LaunchOptions options;
  options.executable = context.install.executable;
  if (context.config_file && starter == Starter::person) {
    options.arguments = {"--config", context.config_file->string()};
  }
  for (const std::string& word : context.overrides) {
    if (starter == Starter::relay && !concerns_process(word)) continue;
    options.arguments.insert(options.arguments.end(), {"--set", word});
  }
  for (const auto& [name, value] : context.environment) {
    if (starter == Starter::relay && is_session_variable(name)) continue;
    options.environment.push_back(fmt::format("{}={}", name, value));
  }
  options.on_demand = starter == Starter::relay;
  std::error_code ignored;
  std::filesystem::create_directories(context.folders.state, ignored);
  options.log_file = context.folders.state / "daemon.stderr";
  return options;
}

void add_daemon_command(CommandLine& line) {
  CLI::App& group = line.add_group("daemon", "Start, stop and look at the user's daemon",
                                   "caretd daemon status\ncaretd daemon restart");
  line.add(group, "start", "Start the daemon unless it runs", "caretd daemon start",
           [](CommandContext& context) { return start(context); });
  line.add(group, "stop", "Let the daemon answer what it was asked, then end it",
           "caretd daemon stop", [](CommandContext& context) { return stop(context); });
  line.add(group, "restart", "Stop the daemon and start it again; editors reconnect by themselves",
           "caretd daemon restart", [](CommandContext& context) { return restart(context); });
  auto json = std::make_shared<bool>(false);
  CLI::App& shown = line.add(group, "status", "Show sessions, models, memory and queue",
                             "caretd daemon status\ncaretd daemon status --json",
                             [json](CommandContext& context) { return status(context, *json); });
  shown.add_flag("--json", *json, "Print it as JSON");
  auto options = std::make_shared<DaemonProcessOptions>();
  CLI::App& run =
      line.add(group, "run", "Be the daemon, in the foreground (what systemd starts)",
               "caretd daemon run\n"
               "caretd daemon run --set listen.address=0.0.0.0:7070",
               [options](CommandContext& context) { return run_daemon(context, *options); });
  run.add_option("--runtime-folder", options->runtime_folder, "Where socket and locks go");
  run.add_option("--ready-fd", options->ready_fd, "Descriptor to write a line to when ready");
  run.add_flag("--on-demand", options->on_demand, "Load no model before a session asks for one");
  run.add_flag("--insecure", options->insecure, "Listen without TLS off the loopback interface");
}

}  // namespace caretd::daemon
