// The endpoints: which request does what. Knows no sockets.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "daemon/engines/engine_provider.h"
#include "daemon/http/exchange.h"
#include "daemon/http/generation_plan.h"
#include "daemon/http/metrics.h"
#include "engine/engine.h"
#include "support/clock.h"
#include "support/executor.h"
#include "support/log.h"

namespace caretd::daemon::api {

/// What the service needs from the process; all of it outlives the service and its jobs.
struct ServiceEnvironment {
  std::function<SessionEngines()> engines;  ///< of the moment; any thread
  std::function<void()> on_activity;        ///< a request came; I/O thread; quick
  std::function<std::int64_t()> unix_time;  ///< seconds
  std::function<std::uint64_t()> random;    ///< ids, seeds; any thread
  Executor& workers;                        ///< parses bodies, encodes prompts, writes long replies
  const Clock& clock;
  Metrics& metrics;
  Logger log;
};

class ApiService final : public Handler {
 public:
  explicit ApiService(ServiceEnvironment environment);

  void handle(Request request, std::shared_ptr<Reply> reply) override;
  void responded(const std::string& path, int status) override;
  void connections_changed(std::size_t count) override {
    connections_ = static_cast<std::int64_t>(count);
  }

 private:
  struct Route;
  [[nodiscard]] static const Route* find_route(const std::string& path);

  void run(const Route& route, const Request& request, const std::shared_ptr<Reply>& reply);

  void health(const Request& request, const std::shared_ptr<Reply>& reply);
  void models(const Request& request, const std::shared_ptr<Reply>& reply);
  void metrics(const Request& request, const std::shared_ptr<Reply>& reply);
  void completions(const Request& request, const std::shared_ptr<Reply>& reply);
  void chat(const Request& request, const std::shared_ptr<Reply>& reply);
  void infill(const Request& request, const std::shared_ptr<Reply>& reply);

  template <typename Fields>
  struct Endpoint;
  template <typename Fields>
  void generate(const Endpoint<Fields>& endpoint, const Request& request,
                const std::shared_ptr<Reply>& reply);
  void complete(GenerationPlan& plan, const Request& request, const CommonFields& fields) const;
  [[nodiscard]] ReplyHead head(const char* prefix, const engine::ModelInfo& model) const;

  const ServiceEnvironment environment_;
  std::atomic<std::int64_t> connections_ = 0;
};

}  // namespace caretd::daemon::api
