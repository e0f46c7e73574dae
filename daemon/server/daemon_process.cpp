#include "daemon/server/daemon_process.h"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/build_info.h"
#include "daemon/http/http_service.h"
#include "daemon/process/runtime_folder.h"
#include "daemon/server/daemon_server.h"
#include "daemon/server/engine_report.h"
#include "daemon/server/process_figures.h"
#include "daemon/session_services.h"
#include "daemon/session_settings.h"

namespace caretd::daemon {

namespace {

namespace asio = boost::asio;
using Failure = boost::system::error_code;

constexpr int kHandlers = 2;
constexpr int kWorkers = 2;
constexpr auto kTick = std::chrono::seconds(1);
constexpr auto kHttpStopTime = std::chrono::seconds(1);  // `caretd daemon stop` waits 5 s for all
constexpr auto kPredecessorTime = std::chrono::seconds(10);
constexpr int kFirstSystemdFd = 3;  // sd_listen_fds(3)

Duration minutes(double count) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::ratio<60>>(count));
}

std::string first_line_of(const std::string& file) {
  std::string line;
  std::getline(std::ifstream(file), line);
  return line;
}

/// The socket systemd passed to this very process, if it did.
std::optional<int> systemd_socket(const Environment& environment) {
  const auto pid = environment.find("LISTEN_PID");
  const auto count = environment.find("LISTEN_FDS");
  const bool meant = pid != environment.end() && pid->second == std::to_string(getpid()) &&
                     count != environment.end() && count->second == "1";
  return meant ? std::optional(kFirstSystemdFd) : std::nullopt;
}

/// The engines of the daemon's own settings: replaced on the I/O thread, read on HTTP's threads.
class DefaultEngines {
 public:
  [[nodiscard]] SessionEngines get() const {
    const std::lock_guard lock(mutex_);
    return engines_;
  }
  void set(SessionEngines engines) {
    const std::lock_guard lock(mutex_);
    std::swap(engines_, engines);  // the former ones end, if nobody else holds them, unlocked
  }

 private:
  mutable std::mutex mutex_;
  SessionEngines engines_;
};

class DaemonProcess {
 public:
  DaemonProcess(const CommandContext& context, const DaemonProcessOptions& options,
                Settings settings, Logger log)
      : context_(context),
        options_(options),
        settings_(std::move(settings)),
        log_(std::move(log)),
        signals_(io_, SIGTERM, SIGINT, SIGHUP),
        tick_(io_),
        threads_(kHandlers, kWorkers),
        factory_(context, threads_, clock_, log_),
        last_activity_(clock_.now()) {}

  Result<void> start(const RuntimeFolder& folder);
  void run();

 private:
  [[nodiscard]] ServerServices server_services();
  [[nodiscard]] Result<void> start_http();
  void serve_http();
  [[nodiscard]] std::optional<std::filesystem::path> own_file(const Hello& hello) const;
  [[nodiscard]] std::vector<SettingsLayer> session_layers(const Hello& hello) const;
  void describe(lsp::Json& status) const;
  [[nodiscard]] bool is_busy() const;
  void on_activity();
  void wait_for_signal();
  void wait_for_tick();
  void unload_when_idle();
  void check_idleness();
  void look_for_changes();
  void reload();
  void preload();

  const CommandContext& context_;
  const DaemonProcessOptions& options_;
  Settings settings_;
  const Logger log_;
  const SteadyClock clock_;
  asio::io_context io_{1};
  asio::signal_set signals_;
  asio::steady_timer tick_;
  TaskThreads threads_;
  SessionFactory factory_;
  DefaultEngines default_engines_;  // load before the first editor or HTTP client asks
  std::mutex activity_mutex_;       ///< nobody falls asleep while somebody comes
  TimePoint last_activity_;         ///< under it
  TimePoint last_session_ = last_activity_;
  std::string http_problem_;  ///< why there is no HTTP although http.address is set
  std::string notice_;        ///< for the first session to show; empty once it was handed on
  // Last, so that they end first: sessions and HTTP clients use everything above.
  std::optional<DaemonServer> server_;
  std::unique_ptr<HttpService> http_;  // null unless http.address is set and free
};

Result<void> DaemonProcess::start(const RuntimeFolder& folder) {
  const auto& listen = settings_.listen;
  ServerOptions options;
  options.max_sessions = static_cast<std::size_t>(settings_.daemon.max_sessions);
  if (!listen.token_file.empty()) {
    options.token = first_line_of(listen.token_file);
    if (options.token.empty()) {
      return fail(ErrorKind::invalid_input, "listen.token_file " + listen.token_file +
                                                " cannot be read or its first line is empty");
    }
  }
  server_.emplace(io_, std::move(options), server_services(), clock_, log_);
  const auto adopted = systemd_socket(context_.environment);
  auto listening =
      adopted ? server_->adopt_listener(*adopted) : server_->listen_on(folder.socket());
  if (listening && !listen.address.empty()) {
    listening = server_->listen_on(listen, options_.insecure);
  }
  if (!listening) return listening;
  preload();
  serve_http();
  wait_for_signal();
  wait_for_tick();
  return {};
}

void DaemonProcess::run() {
  io_.run();
  if (http_) http_->stop(kHttpStopTime);
}

void DaemonProcess::preload() {
  // An HTTP client cannot bring settings of its own, so what it asks are the daemon's own engines.
  if (options_.on_demand && settings_.http.address.empty()) return;
  default_engines_.set(factory_.engines().engines_for(settings_));
}

/// Editors are served in any case: an address that somebody else has is no reason to leave them
/// without a daemon. The log, the first editor and `caretd daemon status` are told.
void DaemonProcess::serve_http() {
  if (settings_.http.address.empty()) return;
  const auto started = start_http();
  if (started) return;
  http_problem_ = "the daemon runs without its HTTP API: " + started.error().message +
                  "; then run: caretd daemon restart";
  notice_ = http_problem_;
  log_->warn("{}", http_problem_);
}

Result<void> DaemonProcess::start_http() {
  const auto options = http_server_options(settings_.http, options_.insecure);
  if (!options) return fail(options.error().kind, options.error().message);
  // At once, so that the request finds the model loading.
  const auto on_activity = [this] {
    this->on_activity();
    asio::post(io_, [this] { last_session_ = clock_.now(); });
  };
  auto service = HttpService::start(
      *options, [this] { return default_engines_.get(); }, on_activity, clock_, log_);
  if (!service) return pass_on(std::move(service));
  http_ = *std::move(service);
  log_->info("HTTP on {}", http_->url());
  return {};
}

/// The file a session was given in place of the daemon's.
std::optional<std::filesystem::path> DaemonProcess::own_file(const Hello& hello) const {
  std::error_code differs;
  if (hello.config.empty()) return std::nullopt;
  if (std::filesystem::equivalent(hello.config, context_.user_config(), differs)) {
    return std::nullopt;
  }
  return hello.config;
}

std::vector<SettingsLayer> DaemonProcess::session_layers(const Hello& hello) const {
  auto layers = context_.settings_layers();
  if (const auto own = own_file(hello)) {
    const auto shared = std::ranges::find(layers, Layer::user_file, &SettingsLayer::layer);
    *shared = session_file(*shared, read_settings_file(Layer::user_file, *own));
  }
  // The relay's own environment and command line come over those of the daemon.
  if (!hello.environment.empty()) layers.push_back(read_environment(hello.environment));
  if (!hello.overrides.empty()) layers.push_back(read_overrides(hello.overrides));
  return layers;
}

ServerServices DaemonProcess::server_services() {
  ServerServices services;
  services.session_services = [this](const Hello& hello) {
    return factory_.services([this, hello] { return session_layers(hello); },
                             std::exchange(notice_, {}), own_file(hello));
  };
  services.on_activity = [this] { on_activity(); };
  services.describe = [this](lsp::Json& status) { describe(status); };
  services.on_session_count = [this](std::size_t) { last_session_ = clock_.now(); };
  return services;
}

void DaemonProcess::describe(lsp::Json& status) const {
  const auto figures = process_figures();
  status["memoryBytes"] = figures.resident_bytes;
  status["descriptors"] = figures.descriptors;
  status["threads"] = figures.threads;
  if (http_) status["http"] = http_->url();
  if (!http_problem_.empty()) status["httpProblem"] = http_problem_;
  status["engines"] = lsp::Json::array();
  for (const auto& engine : factory_.engines().engines()) {
    status["engines"].push_back(describe_engine(*engine));
  }
}

bool DaemonProcess::is_busy() const {
  for (const auto& engine : factory_.engines().engines()) {
    const auto figures = engine->statistics();
    if (figures.running + figures.queued > 0) return true;
  }
  return false;
}

/// On the daemon's thread or the HTTP server's.
void DaemonProcess::on_activity() {
  const std::lock_guard lock(activity_mutex_);
  last_activity_ = clock_.now();
  factory_.engines().wake();
}

void DaemonProcess::wait_for_signal() {
  signals_.async_wait([this](const Failure& failure, int signal) {
    if (failure) return;
    if (signal == SIGHUP) {
      reload();
    } else {
      server_->stop();
    }
    wait_for_signal();
  });
}

void DaemonProcess::wait_for_tick() {
  tick_.expires_after(kTick);
  tick_.async_wait([this](const Failure& failure) {
    if (failure) return;
    check_idleness();
    look_for_changes();
    wait_for_tick();
  });
}

void DaemonProcess::unload_when_idle() {
  const std::lock_guard lock(activity_mutex_);
  const auto now = clock_.now();
  const double after = settings_.daemon.idle_unload_minutes;
  if (is_busy()) last_activity_ = now;
  if (after <= 0 || now - last_activity_ <= minutes(after)) return;
  if (factory_.engines().sleep()) log_->info("idle: the weights leave memory");
}

void DaemonProcess::check_idleness() {
  unload_when_idle();
  const auto now = clock_.now();
  const auto& limits = settings_.daemon;
  if (server_->session_count() > 0) last_session_ = now;
  const auto exit_after = minutes(limits.exit_after_minutes);
  if (limits.exit_after_minutes > 0 && now - last_session_ > exit_after) server_->stop();
}

/// The disk may be slow, so a worker looks at it.
void DaemonProcess::look_for_changes() {
  threads_.long_tasks().post([this, watch = factory_.watch()] {
    if (watch->changed()) asio::post(io_, [this] { reload(); });
  });
}

void DaemonProcess::reload() {
  Configuration configuration = resolve(context_.settings_layers());
  for (const std::string& problem : configuration.problems) log_->warn("{}", problem);
  settings_ = std::move(configuration.settings);
  log_->set_level(spdlog::level::from_str(settings_.log.level));
  log_->info("the configuration was read again");
  preload();
  server_->settings_changed();
}

void tell_ready(int fd, const std::string& problem) {
  if (fd < 0) return;
  const std::string line = problem + '\n';
  // Whoever started the daemon may be gone by now, which is its own affair.
  [[maybe_unused]] const ssize_t written = ::write(fd, line.data(), line.size());
  ::close(fd);
}

Logger daemon_log(const CommandContext& context, const LogSettings& settings, bool in_background) {
  if (!in_background) return make_stderr_logger(settings.level);
  std::error_code ignored;
  std::filesystem::create_directories(context.folders.state, ignored);
  return make_file_logger(context.folders.state / "daemon.log", settings.level,
                          static_cast<std::size_t>(settings.max_mebibytes) << 20,
                          static_cast<std::size_t>(settings.files));
}

/// The lock file tells who holds it. Whoever starts a daemon in the background has found that
/// nobody listens: a holder is about to go, and a killed one may take a while to free its memory.
Result<UniqueFd> take_daemon_lock(const RuntimeFolder& folder, bool in_background) {
  auto lock = in_background ? lock_file_within(folder.daemon_lock(), kPredecessorTime)
                            : lock_file(folder.daemon_lock(), false);
  if (!lock) {
    return fail(lock.error().kind, "a daemon is running already (process " +
                                       first_line_of(folder.daemon_lock().string()) + ")");
  }
  const std::string pid = std::to_string(getpid()) + '\n';
  if (ftruncate(lock->get(), 0) != 0 || pwrite(lock->get(), pid.data(), pid.size(), 0) < 0) {
    return fail(ErrorKind::io, folder.daemon_lock().string() + " cannot be written");
  }
  return lock;
}

}  // namespace

int run_daemon(const CommandContext& context, const DaemonProcessOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);
  umask(S_IRWXG | S_IRWXO);
  const auto folder = open_runtime_folder(options.runtime_folder.empty() ? context.folders.runtime
                                                                         : options.runtime_folder);
  const Result<UniqueFd> lock = folder ? take_daemon_lock(*folder, options.ready_fd >= 0)
                                       : fail(folder.error().kind, folder.error().message);
  if (!lock) {
    tell_ready(options.ready_fd, lock.error().message);
    return report_error(lock.error());
  }
  const Settings settings = context.settings();
  const Logger log = daemon_log(context, settings.log, options.ready_fd >= 0);
  log->info("caretd {} started, process {}", version(), getpid());
  DaemonProcess daemon(context, options, settings, log);
  const auto started = daemon.start(*folder);
  tell_ready(options.ready_fd, started ? "" : started.error().message);
  if (!started) {
    log->error("{}", started.error().message);
    return report_error(started.error());
  }
  daemon.run();
  log->info("stopped");
  return kSuccess;
}

}  // namespace caretd::daemon
