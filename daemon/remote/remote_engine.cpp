#include "daemon/remote/remote_engine.h"

#include <algorithm>
#include <deque>
#include <future>
#include <list>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

#include "daemon/remote/http_client.h"
#include "daemon/remote/remote_call.h"
#include "daemon/remote/remote_protocol.h"
#include "daemon/remote/remote_server.h"
#include "engine/status_listeners.h"

namespace caretd::daemon {

namespace {

using engine::EngineState;
using engine::FinishReason;

constexpr std::size_t kMostWaiting = 256;
constexpr auto kLookAgain = std::chrono::seconds(5);  ///< for a server that was not there
constexpr auto kStillLoading = std::chrono::milliseconds(500);
constexpr std::chrono::milliseconds kLongestWait{1000};
constexpr std::chrono::milliseconds kLookAtWaiting{20};

std::string_view name_of(engine::Priority priority) {
  switch (priority) {
    case engine::Priority::keystroke:
      return "keystroke";
    case engine::Priority::chat:
      return "chat";
    case engine::Priority::background:
      return "background";
  }
  return "chat";
}

struct Waiting {
  engine::GenerationRequest request;
  std::shared_ptr<engine::TokenSink> sink;
  TimePoint submitted;
};

/// A call and what wakes the client's thread when it is cancelled.
struct Running {
  std::shared_ptr<RemoteCall> call;
  std::unique_ptr<std::stop_callback<std::function<void()>>> on_cancel;
};

class RemoteEngine final : public engine::Engine {
 public:
  RemoteEngine(RemoteSettings settings, const Clock& clock, Logger log);
  ~RemoteEngine() override;
  RemoteEngine(const RemoteEngine&) = delete;
  RemoteEngine& operator=(const RemoteEngine&) = delete;

  [[nodiscard]] engine::EngineStatus status() const override;
  [[nodiscard]] engine::Subscription on_status(
      std::function<void(const engine::EngineStatus&)> listener) override {
    return listeners_.add(std::move(listener));
  }
  [[nodiscard]] std::shared_ptr<const engine::ModelInfo> model() const override;
  [[nodiscard]] std::shared_ptr<const engine::Tokenizer> tokenizer() const override;
  void submit(engine::GenerationRequest request, std::shared_ptr<engine::TokenSink> sink) override;
  void release(engine::CacheOwner) override {}
  void clear_cache() override {}
  [[nodiscard]] engine::EngineStatistics statistics() const override;
  void unload() override;
  void load() override;

 private:
  // Everything below runs on the client's thread.
  void look_for_server();
  void start_serving(RemoteServer server);
  void not_found(const Error& error);
  void fail_all(const std::string& why);
  void set_status(engine::EngineStatus status);

  void arrive(Waiting waiting);
  void start(Waiting waiting);
  void send(const std::shared_ptr<RemoteCall>& call, bool fresh);
  void ended(RemoteCall& call, RemoteCall::Next next);
  void forget(const RemoteCall& call);
  void finish_all(FinishReason reason, const std::optional<Error>& error);
  [[nodiscard]] std::chrono::milliseconds each_round();
  void end_those_over(TimePoint now);
  void refuse(const Waiting& waiting, FinishReason reason, std::optional<Error> error) const;
  void publish_gauges();

  const RemoteSettings settings_;
  const std::string host_;
  const Clock& clock_;
  const Logger log_;
  engine::StatusListeners listeners_;

  mutable std::mutex mutex_;  // guards what follows, up to the thread's own
  engine::EngineStatus status_;
  engine::EngineStatistics statistics_;
  std::shared_ptr<const engine::ModelInfo> info_;
  std::shared_ptr<const engine::Tokenizer> tokenizer_;

  // The client's thread's own.
  std::optional<RemoteServer> server_;  ///< once it was found
  std::deque<Waiting> waiting_;         ///< for the server to be found
  std::list<Running> running_;
  bool looking_ = false;
  bool wanted_ = true;  ///< load() was called last, not unload()
  std::optional<TimePoint> look_again_;
  std::unique_ptr<HttpClient> client_;
};

RemoteEngine::RemoteEngine(RemoteSettings settings, const Clock& clock, Logger log)
    : settings_(std::move(settings)),
      host_(host_of(settings_.url)),
      clock_(clock),
      log_(std::move(log)) {
  ClientOptions options;
  options.ca_file = settings_.ca_file;
  options.silence_time = std::chrono::seconds(settings_.timeout_s);
  options.connect_time =
      std::min<std::chrono::milliseconds>(options.connect_time, options.silence_time);
  client_ = HttpClient::start(options, [this] { return each_round(); });
  client_->post([this] { look_for_server(); });
}

RemoteEngine::~RemoteEngine() {
  std::promise<void> done;
  client_->post([this, &done] {
    wanted_ = false;
    finish_all(FinishReason::cancelled, std::nullopt);
    done.set_value();
  });
  done.get_future().wait();
}

// ---- any thread -------------------------------------------------------------------------------

engine::EngineStatus RemoteEngine::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

std::shared_ptr<const engine::ModelInfo> RemoteEngine::model() const {
  const std::lock_guard lock(mutex_);
  return info_;
}

std::shared_ptr<const engine::Tokenizer> RemoteEngine::tokenizer() const {
  const std::lock_guard lock(mutex_);
  return tokenizer_;
}

engine::EngineStatistics RemoteEngine::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void RemoteEngine::submit(engine::GenerationRequest request,
                          std::shared_ptr<engine::TokenSink> sink) {
  auto waiting =
      std::make_shared<Waiting>(Waiting{std::move(request), std::move(sink), clock_.now()});
  client_->post([this, waiting] { arrive(std::move(*waiting)); });
}

void RemoteEngine::unload() {
  client_->post([this] {
    wanted_ = false;
    const std::string reason = "The engine is switched off.";
    finish_all(FinishReason::failed, Error{ErrorKind::unavailable, reason});
    set_status({.state = EngineState::off, .reason = reason});
  });
}

void RemoteEngine::load() {
  client_->post([this] {
    wanted_ = true;
    look_for_server();
  });
}

// ---- the server -------------------------------------------------------------------------------

void RemoteEngine::look_for_server() {
  if (std::exchange(looking_, true)) return;
  look_again_.reset();
  if (status().state != EngineState::failed) set_status({.state = EngineState::starting});
  find_server(*client_, settings_, [this](Result<RemoteServer> server) {
    looking_ = false;
    if (!wanted_) return;
    server ? start_serving(*std::move(server)) : not_found(server.error());
  });
}

/// A server that is loading its model is waited for. About others the user is told; they are looked
/// for every few seconds, so that editors recover by themselves.
void RemoteEngine::not_found(const Error& error) {
  const bool loading = error.kind == ErrorKind::unavailable;
  look_again_ = clock_.now() + (loading ? Duration(kStillLoading) : Duration(kLookAgain));
  if (!loading) fail_all(error.message);
}

void RemoteEngine::start_serving(RemoteServer server) {
  server_ = std::move(server);
  {
    const std::lock_guard lock(mutex_);
    info_ = std::make_shared<const engine::ModelInfo>(server_->describe(host_));
    tokenizer_ = server_->tokenizer;
  }
  log_->info("prompts are sent to {}, model {}", host_, server_->model.name);
  set_status({.state = EngineState::ready, .percent = 100});
  for (Waiting& waiting : std::exchange(waiting_, {})) start(std::move(waiting));
}

void RemoteEngine::fail_all(const std::string& why) {
  if (const auto now = status(); now.state != EngineState::failed || now.reason != why) {
    log_->warn("{}", why);
    set_status({.state = EngineState::failed, .reason = why});
  }
  for (const Waiting& waiting : std::exchange(waiting_, {})) {
    refuse(waiting, FinishReason::failed, Error{ErrorKind::unavailable, why});
  }
}

void RemoteEngine::set_status(engine::EngineStatus status) {
  {
    const std::lock_guard lock(mutex_);
    status_ = status;
  }
  listeners_.notify(status);
}

// ---- requests ---------------------------------------------------------------------------------

void RemoteEngine::refuse(const Waiting& waiting, FinishReason reason,
                          std::optional<Error> error) const {
  engine::Generation nothing;
  nothing.reason = reason;
  nothing.error = std::move(error);
  waiting.sink->on_finish(nothing);
}

void RemoteEngine::arrive(Waiting waiting) {
  {
    const std::lock_guard lock(mutex_);
    ++statistics_.requests;
  }
  const engine::EngineStatus now = status();
  switch (now.state) {
    case EngineState::ready:
      return start(std::move(waiting));
    case EngineState::starting:
      if (waiting_.size() < kMostWaiting) return waiting_.push_back(std::move(waiting));
      return refuse(waiting, FinishReason::failed,
                    Error{ErrorKind::unavailable, "Too many requests wait for " + host_ + "."});
    case EngineState::off:
    case EngineState::failed:
      break;
  }
  refuse(waiting, FinishReason::failed, Error{ErrorKind::unavailable, now.reason});
}

void RemoteEngine::start(Waiting waiting) {
  const engine::GenerationRequest& request = waiting.request;
  if (request.cancel.stop_requested()) return refuse(waiting, FinishReason::cancelled, {});
  // There is no cache to warm over there that this request could name.
  if (request.max_tokens == 0) return refuse(waiting, FinishReason::max_tokens, {});
  if (request.prompt_logprobs) {
    return refuse(waiting, FinishReason::failed,
                  Error{ErrorKind::unsupported,
                        "Log-probabilities of prompts need a model in this process."});
  }
  auto prompt = to_remote_prompt(request, tokenizer().get());
  if (!prompt) return refuse(waiting, FinishReason::failed, prompt.error());
  const auto call = std::make_shared<RemoteCall>(
      std::move(waiting.request), *std::move(prompt), std::move(waiting.sink), waiting.submitted,
      clock_, host_, [this](RemoteCall& over, RemoteCall::Next next) { ended(over, next); });
  auto on_cancel = std::make_unique<std::stop_callback<std::function<void()>>>(
      call->request().cancel, [this] { client_->wake(); });
  running_.push_back({call, std::move(on_cancel)});
  send(call, false);
  publish_gauges();
}

void RemoteEngine::send(const std::shared_ptr<RemoteCall>& call, bool fresh) {
  call->sent();
  ClientRequest request{server_->base + "/completions", server_->headers(),
                        completion_body(call->request(), call->prompt(), server_->features,
                                        settings_, server_->model.name)};
  request.headers.push_back("Accept: text/event-stream");
  request.headers.push_back("X-Caretd-Priority: " + std::string(name_of(call->request().priority)));
  call->transfer = client_->send(std::move(request), call, fresh);
}

void RemoteEngine::ended(RemoteCall& call, RemoteCall::Next next) {
  const auto entry = std::ranges::find_if(
      running_, [&call](const Running& running) { return running.call.get() == &call; });
  if (entry == running_.end()) return;
  const std::shared_ptr<RemoteCall> alive = entry->call;
  if (next == RemoteCall::Next::again) return send(alive, true);
  if (next == RemoteCall::Next::with_less) {
    if (learn_from(server_->features, settings_, call.refused_status(), call.refusal())) {
      log_->info("{} lacks a feature that was asked for; going on without it", host_);
      return send(alive, false);
    }
    call.finish(FinishReason::failed, call.refusal_error());
  }
  forget(call);
}

void RemoteEngine::forget(const RemoteCall& call) {
  {
    const std::lock_guard lock(mutex_);
    statistics_.prompt_tokens += call.usage().prompt_tokens;
    statistics_.cached_tokens += call.usage().cached_tokens;
    statistics_.generated_tokens += call.usage().generated_tokens;
  }
  std::erase_if(running_, [&call](const Running& running) { return running.call.get() == &call; });
  publish_gauges();
}

void RemoteEngine::finish_all(FinishReason reason, const std::optional<Error>& error) {
  for (const Waiting& waiting : std::exchange(waiting_, {})) refuse(waiting, reason, error);
  while (!running_.empty()) {
    const std::shared_ptr<RemoteCall> call = running_.front().call;
    client_->abandon(call->transfer);
    call->finish(reason, error);
    forget(*call);
  }
}

void RemoteEngine::publish_gauges() {
  engine::EngineStatus status = this->status();
  {
    const std::lock_guard lock(mutex_);
    statistics_.running = static_cast<int>(running_.size());
  }
  const bool busy = !running_.empty();
  if (status.state != EngineState::ready || status.busy == busy) return;
  status.busy = busy;
  set_status(std::move(status));
}

/// Ends what was cancelled or ran out of time; says when to look again.
std::chrono::milliseconds RemoteEngine::each_round() {
  const TimePoint now = clock_.now();
  if (wanted_ && look_again_ && now >= *look_again_) look_for_server();
  end_those_over(now);
  // Nobody wakes the thread for those that wait.
  TimePoint next = now + (waiting_.empty() ? kLongestWait : kLookAtWaiting);
  if (look_again_) next = std::min(next, *look_again_);
  for (const Running& running : running_) {
    if (const auto& deadline = running.call->request().deadline) next = std::min(next, *deadline);
  }
  return std::max(std::chrono::ceil<std::chrono::milliseconds>(next - now),
                  std::chrono::milliseconds(0));
}

void RemoteEngine::end_those_over(TimePoint now) {
  std::vector<std::shared_ptr<RemoteCall>> over;
  for (const Running& running : running_) {
    if (running.call->over(now)) over.push_back(running.call);
  }
  for (const auto& call : over) {
    client_->abandon(call->transfer);
    call->finish(*call->over(now));
    forget(*call);
  }
  std::erase_if(waiting_, [&](const Waiting& waiting) {
    const bool cancelled = waiting.request.cancel.stop_requested();
    const bool late = waiting.request.deadline && now >= *waiting.request.deadline;
    if (cancelled || late) {
      refuse(waiting, cancelled ? FinishReason::cancelled : FinishReason::deadline, {});
    }
    return cancelled || late;
  });
}

}  // namespace

std::unique_ptr<engine::Engine> make_remote_engine(const RemoteSettings& settings,
                                                   const Clock& clock, Logger log) {
  return std::make_unique<RemoteEngine>(settings, clock, std::move(log));
}

}  // namespace caretd::daemon
