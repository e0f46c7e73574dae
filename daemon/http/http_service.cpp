#include "daemon/http/http_service.h"

#include <algorithm>
#include <ctime>
#include <mutex>
#include <random>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "daemon/config/secret.h"
#include "daemon/http/api_service.h"
#include "support/executor.h"

namespace caretd::daemon {

namespace {

constexpr int kApiWorkers = 2;

/// Numbers that nobody foretells, from any thread.
class RandomNumbers {
 public:
  std::uint64_t operator()() {
    const std::lock_guard lock(mutex_);
    return (std::uint64_t{device_()} << 32) | device_();
  }

 private:
  std::mutex mutex_;
  std::random_device device_;
};

class ApiServer final : public HttpService {
 public:
  ApiServer(std::function<SessionEngines()> engines, std::function<void()> on_activity,
            const Clock& clock, Logger log)
      : api_({.engines = std::move(engines),
              .on_activity = std::move(on_activity),
              .unix_time = [] { return static_cast<std::int64_t>(std::time(nullptr)); },
              .random = [this] { return random_(); },
              .workers = workers_,
              .clock = clock,
              .metrics = metrics_,
              .log = std::move(log)}) {}

  [[nodiscard]] Result<void> open(const HttpServerOptions& options, const Clock& clock,
                                  Logger log) {
    auto server = HttpServer::start(options, api_, clock, std::move(log));
    if (!server) return pass_on(std::move(server));
    server_ = *std::move(server);
    const std::string host = options.address.substr(0, options.address.rfind(':'));
    url_ = fmt::format("http{}://{}:{}", options.certificate.empty() ? "" : "s", host,
                       server_->port());
    return {};
  }

  [[nodiscard]] std::string url() const override { return url_; }
  void stop(std::chrono::milliseconds grace) override { server_->stop(grace); }

 private:
  RandomNumbers random_;
  api::Metrics metrics_;
  ThreadPool workers_{kApiWorkers};
  api::ApiService api_;
  std::string url_;
  // Last, so that it ends first: what it is answered with uses everything above.
  std::unique_ptr<HttpServer> server_;
};

}  // namespace

Result<HttpServerOptions> http_server_options(const HttpSettings& settings, bool insecure) {
  HttpServerOptions options;
  options.address = settings.address;
  options.certificate = settings.certificate;
  options.key = settings.key;
  options.insecure = insecure;
  options.limits.max_connections = static_cast<std::size_t>(settings.max_connections);
  options.limits.max_body_bytes = static_cast<std::size_t>(settings.max_body_mebibytes) << 20;
  const std::chrono::seconds timeout(settings.timeout_s);
  options.limits.header_time =
      std::min<std::chrono::milliseconds>(timeout, options.limits.header_time);
  options.limits.body_time = timeout;
  options.limits.write_time = timeout;
  auto key = read_secret(settings.api_key, settings.api_key_file, "http.api_key_file");
  if (!key) return pass_on(std::move(key));
  options.api_key = *std::move(key);
  return options;
}

Result<std::unique_ptr<HttpService>> HttpService::start(const HttpServerOptions& options,
                                                        std::function<SessionEngines()> engines,
                                                        std::function<void()> on_activity,
                                                        const Clock& clock, Logger log) {
  auto service =
      std::make_unique<ApiServer>(std::move(engines), std::move(on_activity), clock, log);
  if (auto opened = service->open(options, clock, log); !opened) return pass_on(std::move(opened));
  return service;
}

}  // namespace caretd::daemon
