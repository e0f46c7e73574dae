#include "engine/local_engine.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <variant>

#include "engine/scheduler/scheduler.h"
#include "engine/status_listeners.h"
#include "engine/text/fim_prompt.h"
#include "engine/text/prompt.h"

namespace caretd::engine {
namespace {

/// How often cancel and deadline of requests that wait for the model are looked at.
constexpr auto kWaitingPoll = std::chrono::milliseconds(10);

Ending unavailable(std::string message) {
  return failure(ErrorKind::unavailable, std::move(message));
}

bool fills_in_the_middle(const LoadedModel& loaded) {
  if (loaded.fim == FimUse::never || !has_fim_tokens(*loaded.tokenizer)) return false;
  return loaded.fim == FimUse::always || !loaded.config.trained_without_fim();
}

ModelInfo describe(const LoadedModel& loaded) {
  const RunnerInfo& info = loaded.runner->info();
  return {.name = loaded.name,
          .device = info.device,
          .weight_format = info.weight_format,
          .context_tokens = Scheduler::usable_context(info, loaded.config.context_tokens),
          .fill_in_the_middle = fills_in_the_middle(loaded),
          .left_to_right_wanted = loaded.fim == FimUse::never,
          .chat = !loaded.tokenizer->chat_template().empty(),
          .local = true,
          .weight_bytes = info.weight_bytes,
          .kv_budget_bytes = info.pages * info.page_bytes,
          .kv_bytes_per_token = info.page_bytes / kPageTokens};
}

/// A request with its prompt, encoded where a tokenizer was there to do it.
struct Arrival {
  Submission submission;
  std::optional<Result<std::vector<TokenId>>> prompt;
  std::shared_ptr<const Tokenizer> encoded_with;
};

/// What exists while the engine is ready. The scheduler goes before the runner it uses.
struct ReadyModel {
  std::unique_ptr<Runner> runner;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<Scheduler> scheduler;
};

class LocalEngine final : public Engine {
 public:
  LocalEngine(ModelLoader loader, const LocalEngineOptions& options, const Clock& clock, Logger log,
              bool start_off);
  ~LocalEngine() override;
  LocalEngine(const LocalEngine&) = delete;
  LocalEngine& operator=(const LocalEngine&) = delete;

  [[nodiscard]] EngineStatus status() const override;
  [[nodiscard]] Subscription on_status(std::function<void(const EngineStatus&)> listener) override;
  [[nodiscard]] std::shared_ptr<const ModelInfo> model() const override;
  [[nodiscard]] std::shared_ptr<const Tokenizer> tokenizer() const override;
  void submit(GenerationRequest request, std::shared_ptr<TokenSink> sink) override;
  void release(CacheOwner owner) override;
  void clear_cache() override;
  [[nodiscard]] EngineStatistics statistics() const override;
  void unload() override;
  void load() override;

 private:
  using Task = std::function<void()>;

  void post(Task task);

  // Everything below runs on the engine's thread.
  void run();
  [[nodiscard]] bool wait_for_work();
  void run_tasks();
  void step();
  void tell_of_long_step();
  void shut_down();

  void arrive(Arrival arrival);
  void schedule(Arrival arrival);
  void drop_waiting();
  void end_all(const Ending& ending);

  void start_loading();
  void loaded(Result<LoadedModel> result);
  void start_serving(LoadedModel model);
  void switch_off();
  void fail(const Error& error);
  void retire_model();

  void set_status(EngineStatus status);
  void publish_progress();

  const ModelLoader loader_;
  const LocalEngineOptions options_;
  const Clock& clock_;
  const Logger log_;
  StatusListeners listeners_;

  mutable std::mutex mutex_;  ///< guards what follows, up to the engine thread's own
  std::condition_variable work_;
  std::deque<Task> tasks_;
  bool stopping_ = false;
  EngineStatus status_;
  EngineStatistics statistics_;
  std::int64_t requests_ = 0;
  std::shared_ptr<const ModelInfo> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;

  // The engine thread's own.
  std::deque<Task> taken_;
  std::deque<Arrival> waiting_;  ///< for the model to be loaded
  std::optional<ReadyModel> ready_;
  EngineStatistics before_;  ///< of models that were unloaded
  bool wanted_ = true;       ///< load() was called last, not unload()
  Duration longest_told_{};  ///< step while an editor was active
  bool loading_ = false;
  std::jthread loading_thread_;
  std::jthread thread_;
};

LocalEngine::LocalEngine(ModelLoader loader, const LocalEngineOptions& options, const Clock& clock,
                         Logger log, bool start_off)
    : loader_(std::move(loader)),
      options_(options),
      clock_(clock),
      log_(std::move(log)),
      wanted_(!start_off) {
  if (start_off) status_ = {.state = EngineState::off, .reason = "The engine is switched off."};
  thread_ = std::jthread([this] { run(); });
}

LocalEngine::~LocalEngine() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  thread_.join();
}

// ---- any thread -----------------------------------------------------------------------------

EngineStatus LocalEngine::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

Subscription LocalEngine::on_status(std::function<void(const EngineStatus&)> listener) {
  return listeners_.add(std::move(listener));
}

std::shared_ptr<const ModelInfo> LocalEngine::model() const {
  const std::lock_guard lock(mutex_);
  return model_;
}

std::shared_ptr<const Tokenizer> LocalEngine::tokenizer() const {
  const std::lock_guard lock(mutex_);
  return tokenizer_;
}

void LocalEngine::submit(GenerationRequest request, std::shared_ptr<TokenSink> sink) {
  Arrival arrival{.submission = {std::move(request), std::move(sink), clock_.now()},
                  .prompt = std::nullopt,
                  .encoded_with = tokenizer()};
  if (arrival.encoded_with != nullptr) {
    arrival.prompt = encode_prompt(*arrival.encoded_with, arrival.submission.request.prompt);
  }
  post([this, shared = std::make_shared<Arrival>(std::move(arrival))] {
    arrive(std::move(*shared));
  });
}

void LocalEngine::release(CacheOwner owner) {
  post([this, owner] {
    if (ready_) ready_->scheduler->release(owner);
  });
}

void LocalEngine::clear_cache() {
  post([this] {
    if (ready_) ready_->scheduler->clear_cache();
  });
}

EngineStatistics LocalEngine::statistics() const {
  const std::lock_guard lock(mutex_);
  EngineStatistics statistics = statistics_;
  statistics.requests = requests_;
  return statistics;
}

void LocalEngine::unload() {
  post([this] { switch_off(); });
}

void LocalEngine::load() {
  {
    // Whoever looks before the engine's thread does is told to wait, not that it is off.
    const std::lock_guard lock(mutex_);
    if (status_.state == EngineState::off || status_.state == EngineState::failed) {
      status_ = {.state = EngineState::starting};
    }
  }
  post([this] {
    wanted_ = true;
    if (!ready_) start_loading();
  });
}

void LocalEngine::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  work_.notify_one();
}

// ---- the engine's thread --------------------------------------------------------------------

void LocalEngine::run() {
  if (wanted_) start_loading();
  while (wait_for_work()) {
    run_tasks();
    if (ready_) {
      step();
    } else {
      drop_waiting();
    }
  }
  shut_down();
}

/// False when the engine is being destroyed.
bool LocalEngine::wait_for_work() {
  const bool has_work = ready_ && !ready_->scheduler->idle();
  std::unique_lock lock(mutex_);
  const auto called = [this] { return stopping_ || !tasks_.empty(); };
  if (!has_work) {
    if (waiting_.empty()) {
      work_.wait(lock, called);
    } else {
      work_.wait_for(lock, kWaitingPoll, called);
    }
  }
  std::swap(taken_, tasks_);
  return !stopping_;
}

void LocalEngine::run_tasks() {
  for (Task& task : taken_) task();
  taken_.clear();
}

void LocalEngine::step() {
  try {
    if (const Result<bool> stepped = ready_->scheduler->step(); !stepped) fail(stepped.error());
  } catch (const std::exception& exception) {
    fail({ErrorKind::internal,
          std::string("The engine stopped on an internal error: ") + exception.what() + "."});
  }
  tell_of_long_step();
  publish_progress();
}

/// A keystroke may have waited for the end of it.
void LocalEngine::tell_of_long_step() {
  if (!ready_) return;
  const auto& [took, shape] = ready_->scheduler->longest_while_typing();
  if (took <= longest_told_) return;
  longest_told_ = took;
  log_->debug(
      "longest step while an editor is active: {:.1f} ms for {} prompt tokens from position {} "
      "({} requests, {:.0f} ms aimed at) and {} tokens decoded, {} a keystroke",
      to_milliseconds(took), shape.prompt_tokens, shape.position, shape.prompts,
      to_milliseconds(shape.target), shape.decoding, shape.serves_keystroke ? "for" : "without");
}

void LocalEngine::shut_down() {
  wanted_ = false;
  if (loading_thread_.joinable()) {
    loading_thread_.request_stop();
    loading_thread_.join();
  }
  {
    const std::lock_guard lock(mutex_);
    for (Task& task : tasks_) taken_.push_back(std::move(task));
    tasks_.clear();
  }
  run_tasks();
  end_all({FinishReason::cancelled, std::nullopt});
  retire_model();
}

// ---- requests -------------------------------------------------------------------------------

void LocalEngine::arrive(Arrival arrival) {
  const TimePoint now = clock_.now();
  EngineStatus status;
  {
    const std::lock_guard lock(mutex_);
    ++requests_;
    status = status_;
  }
  switch (status.state) {
    case EngineState::ready:
      return schedule(std::move(arrival));
    case EngineState::starting:
      if (std::cmp_less(waiting_.size(), options_.max_queued)) {
        waiting_.push_back(std::move(arrival));
        return;
      }
      return refuse(arrival.submission,
                    unavailable("The model is still loading and too many requests wait for it."),
                    now);
    case EngineState::off:
    case EngineState::failed:
      return refuse(arrival.submission, unavailable(status.reason), now);
  }
}

void LocalEngine::schedule(Arrival arrival) {
  if (!arrival.prompt || arrival.encoded_with != ready_->tokenizer) {
    arrival.prompt = encode_prompt(*ready_->tokenizer, arrival.submission.request.prompt);
  }
  Result<std::vector<TokenId>>& prompt = *arrival.prompt;
  if (!prompt) {
    return refuse(arrival.submission, {FinishReason::failed, prompt.error()}, clock_.now());
  }
  ready_->scheduler->submit(std::move(arrival.submission), *std::move(prompt));
}

/// Ends requests that were cancelled or ran out of time before there was a model.
void LocalEngine::drop_waiting() {
  const TimePoint now = clock_.now();
  std::erase_if(waiting_, [now](const Arrival& arrival) {
    const GenerationRequest& request = arrival.submission.request;
    const bool late = request.deadline && now >= *request.deadline;
    if (!late && !request.cancel.stop_requested()) return false;
    refuse(arrival.submission,
           {late ? FinishReason::deadline : FinishReason::cancelled, std::nullopt}, now);
    return true;
  });
}

void LocalEngine::end_all(const Ending& ending) {
  if (ready_) ready_->scheduler->finish_all(ending);
  for (const Arrival& arrival : waiting_) refuse(arrival.submission, ending, clock_.now());
  waiting_.clear();
}

// ---- the model ------------------------------------------------------------------------------

void LocalEngine::start_loading() {
  set_status({.state = EngineState::starting});
  if (std::exchange(loading_, true)) return;  // loaded() looks at wanted_
  loading_thread_ = std::jthread([this](const std::stop_token& stop) {
    int told = 0;
    const Progress progress = [this, &told](double share) {
      const int percent = std::clamp(static_cast<int>(share * 100.0), 0, 100);
      if (percent <= std::exchange(told, std::max(told, percent))) return;
      post([this, percent] {
        if (loading_ && wanted_) set_status({.state = EngineState::starting, .percent = percent});
      });
    };
    auto result = std::make_shared<Result<LoadedModel>>();
    try {
      *result = loader_(progress, stop);
    } catch (const std::exception& exception) {
      *result = caretd::fail(ErrorKind::internal, std::string("The model could not be loaded: ") +
                                                      exception.what() + ".");
    }
    post([this, result] { loaded(std::move(*result)); });
  });
}

void LocalEngine::loaded(Result<LoadedModel> result) {
  const bool stopped = loading_thread_.get_stop_token().stop_requested();
  if (loading_thread_.joinable()) loading_thread_.join();
  loading_ = false;
  if (!wanted_) return;  // unload() came first
  if (result) return start_serving(*std::move(result));
  if (stopped) return start_loading();  // for an unload() that load() has taken back since
  fail(result.error());
}

void LocalEngine::start_serving(LoadedModel model) {
  auto info = std::make_shared<const ModelInfo>(describe(model));
  auto scheduler = std::make_unique<Scheduler>(*model.runner, model.tokenizer,
                                               model.config.context_tokens, options_, clock_);
  {
    const std::lock_guard lock(mutex_);
    model_ = std::move(info);
    tokenizer_ = model.tokenizer;
  }
  ready_.emplace(
      ReadyModel{std::move(model.runner), std::move(model.tokenizer), std::move(scheduler)});
  set_status({.state = EngineState::ready, .percent = 100});
  for (Arrival& arrival : std::exchange(waiting_, {})) schedule(std::move(arrival));
}

void LocalEngine::switch_off() {
  wanted_ = false;
  if (loading_) loading_thread_.request_stop();
  const std::string reason = "The engine is switched off.";
  end_all(unavailable(reason));
  retire_model();
  set_status({.state = EngineState::off, .reason = reason});
}

void LocalEngine::fail(const Error& error) {
  log_->error("engine failed: {}", error.message);
  end_all({FinishReason::failed, error});
  retire_model();
  set_status({.state = EngineState::failed, .reason = error.message});
}

/// Frees the weights and the cache; the counters go on.
void LocalEngine::retire_model() {
  if (ready_) before_ += ready_->scheduler->statistics();
  ready_.reset();
  before_.running = before_.queued = 0;
  before_.kv_used_bytes = before_.kv_pinned_bytes = 0;
  const std::lock_guard lock(mutex_);
  statistics_ = before_;
  model_ = nullptr;
  tokenizer_ = nullptr;
}

// ---- what others see ------------------------------------------------------------------------

void LocalEngine::set_status(EngineStatus status) {
  {
    const std::lock_guard lock(mutex_);
    status_ = status;
  }
  listeners_.notify(status);
}

/// Statistics and the busy flag after a step.
void LocalEngine::publish_progress() {
  if (!ready_) return;
  EngineStatistics statistics = before_;
  statistics += ready_->scheduler->statistics();
  const bool busy = ready_->scheduler->busy();
  EngineStatus status;
  {
    const std::lock_guard lock(mutex_);
    statistics_ = statistics;
    status = status_;
  }
  if (status.busy == busy) return;
  status.busy = busy;
  set_status(std::move(status));
}

}  // namespace

std::unique_ptr<Engine> make_local_engine(ModelLoader loader, const LocalEngineOptions& options,
                                          const Clock& clock, Logger log, bool start_off) {
  return std::make_unique<LocalEngine>(std::move(loader), options, clock, std::move(log),
                                       start_off);
}

}  // namespace caretd::engine
