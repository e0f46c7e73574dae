#include "tests/helpers/fake_engine.h"

#include <cctype>
#include <chrono>
#include <future>
#include <optional>
#include <utility>
#include <variant>

#include "engine/scheduler/stop_matcher.h"

namespace caretd::test {

using engine::EngineState;
using engine::FinishReason;
using engine::GenerationRequest;
using engine::Verdict;

namespace {

bool is_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || c == '_' || byte >= 0x80;
}

/// The length of the first piece of `text`, which is not empty.
size_t piece_length(std::string_view text) {
  size_t end = text[0] == ' ' && text.size() > 1 && is_word(text[1]) ? 1 : 0;
  if (!is_word(text[end])) return 1;
  while (end < text.size() && is_word(text[end])) ++end;
  return end;
}

std::string_view control_name(engine::ControlToken token) {
  using engine::ControlToken;
  switch (token) {
    case ControlToken::begin_of_sentence:
      return "<begin_of_sentence>";
    case ControlToken::end_of_sentence:
      return "<end_of_sentence>";
    case ControlToken::fim_begin:
      return "<fim_begin>";
    case ControlToken::fim_hole:
      return "<fim_hole>";
    case ControlToken::fim_end:
      return "<fim_end>";
    case ControlToken::user:
      return "<user>";
    case ControlToken::assistant:
      return "<assistant>";
  }
  return "<unknown>";
}

}  // namespace

ScriptedAnswer answer(std::string_view text, float logprob) {
  ScriptedAnswer result;
  while (!text.empty()) {
    const size_t length = piece_length(text);
    result.tokens.push_back({.text = std::string(text.substr(0, length)), .logprob = logprob});
    text.remove_prefix(length);
  }
  return result;
}

Script always(std::string text) {
  return [text = std::move(text)](const GenerationRequest&) { return answer(text); };
}

Script middle_is(std::string middle) {
  return [middle = std::move(middle)](const GenerationRequest& request) {
    if (!middle.starts_with(request.forced_prefix)) return ScriptedAnswer{};
    return answer(std::string_view(middle).substr(request.forced_prefix.size()));
  };
}

std::string prompt_to_string(const engine::Prompt& prompt, const DecodeIds& decode) {
  std::string result;
  for (const engine::PromptPart& part : prompt) {
    if (const auto* text = std::get_if<std::string>(&part)) {
      result += *text;
    } else if (const auto* control = std::get_if<engine::ControlToken>(&part)) {
      result += control_name(*control);
    } else if (decode) {
      result += decode(std::get<std::vector<engine::TokenId>>(part));
    }
  }
  return result;
}

struct FakeEngine::Running {
  GenerationRequest request;
  std::shared_ptr<engine::TokenSink> sink;
  ScriptedAnswer script;
  engine::StopMatcher stops;
  engine::Generation result;
  size_t next = 0;
  bool started = false;
};

FakeEngine::FakeEngine(Script script, FakeEngineOptions options)
    : options_(std::move(options)), script_(std::move(script)), paused_(options_.paused) {
  status_.state = options_.state;
  thread_ = std::thread([this] { run(); });
}

FakeEngine::~FakeEngine() {
  stop();
}

void FakeEngine::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void FakeEngine::set_script(Script script) {
  const std::lock_guard lock(mutex_);
  script_ = std::move(script);
}

void FakeEngine::pause() {
  post_and_wait([this] {
    const std::lock_guard lock(mutex_);
    paused_ = true;
  });
}

void FakeEngine::resume() {
  post_and_wait([this] {
    const std::lock_guard lock(mutex_);
    paused_ = false;
  });
}

void FakeEngine::step() {
  post_and_wait([this] { step_all(); });
}

void FakeEngine::drain() {
  bool more = true;
  while (more) {
    post_and_wait([this, &more] {
      step_all();
      more = !running_.empty() && status().state == EngineState::ready;
    });
  }
}

void FakeEngine::set_status(const engine::EngineStatus& status) {
  post_and_wait([this, status] { change_status(status); });
}

std::vector<GenerationRequest> FakeEngine::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

bool FakeEngine::wait_for_requests(size_t count) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(60),
                           [&] { return requests_.size() >= count; });
}

std::vector<engine::CacheOwner> FakeEngine::released() const {
  const std::lock_guard lock(mutex_);
  return released_;
}

int FakeEngine::cache_clears() const {
  const std::lock_guard lock(mutex_);
  return cache_clears_;
}

int FakeEngine::loads() const {
  const std::lock_guard lock(mutex_);
  return loads_;
}

int FakeEngine::unloads() const {
  const std::lock_guard lock(mutex_);
  return unloads_;
}

engine::EngineStatus FakeEngine::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

engine::Subscription FakeEngine::on_status(
    std::function<void(const engine::EngineStatus&)> listener) {
  return listeners_.add(std::move(listener));
}

std::shared_ptr<const engine::ModelInfo> FakeEngine::model() const {
  if (status().state != EngineState::ready) return nullptr;
  return std::make_shared<engine::ModelInfo>(options_.model);
}

std::shared_ptr<const engine::Tokenizer> FakeEngine::tokenizer() const {
  return status().state == EngineState::ready ? options_.tokenizer : nullptr;
}

void FakeEngine::submit(GenerationRequest request, std::shared_ptr<engine::TokenSink> sink) {
  std::unique_lock lock(mutex_);
  if (stopping_) {
    lock.unlock();
    engine::Generation cancelled;
    cancelled.reason = FinishReason::cancelled;
    sink->on_finish(cancelled);
    return;
  }
  requests_.push_back(request);
  ++statistics_.requests;
  tasks_.emplace_back([this, request = std::move(request), sink = std::move(sink)] {
    engine::StopMatcher stops(request.stop);
    running_.push_back({.request = request, .sink = sink, .stops = std::move(stops)});
    const EngineState state = status().state;
    if (state == EngineState::ready || state == EngineState::starting) return;
    finish(running_.back(), FinishReason::failed,
           Error{ErrorKind::unavailable, "The scripted engine is not running."});
    running_.pop_back();
  });
  lock.unlock();
  changed_.notify_all();
}

void FakeEngine::release(engine::CacheOwner owner) {
  const std::lock_guard lock(mutex_);
  released_.push_back(owner);
}

void FakeEngine::clear_cache() {
  const std::lock_guard lock(mutex_);
  ++cache_clears_;
}

engine::EngineStatistics FakeEngine::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void FakeEngine::unload() {
  post([this] {
    {
      const std::lock_guard lock(mutex_);
      ++unloads_;
    }
    for (Running& running : running_) {
      finish(running, FinishReason::failed,
             Error{ErrorKind::unavailable, "The scripted engine was unloaded."});
    }
    running_.clear();
    change_status({.state = EngineState::off, .reason = "unloaded"});
  });
}

void FakeEngine::load() {
  post([this] {
    {
      const std::lock_guard lock(mutex_);
      ++loads_;
    }
    change_status({.state = EngineState::starting});
    change_status({.state = EngineState::ready, .percent = 100});
  });
}

void FakeEngine::run() {
  std::unique_lock lock(mutex_);
  const auto may_step = [this] {
    return !paused_ && status_.state == EngineState::ready && !running_.empty();
  };
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !tasks_.empty() || may_step(); });
    if (!tasks_.empty()) {
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      changed_.notify_all();
      lock.lock();
    } else if (stopping_) {
      break;
    } else {
      lock.unlock();
      step_all();
      lock.lock();
    }
  }
  lock.unlock();
  for (Running& running : running_) finish(running, FinishReason::cancelled);
}

void FakeEngine::post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  changed_.notify_all();
}

void FakeEngine::post_and_wait(std::function<void()> task) {
  std::promise<void> done;
  post([&] {
    task();
    done.set_value();
  });
  done.get_future().wait();
}

void FakeEngine::step_all() {
  if (status().state != EngineState::ready) return;
  for (auto it = running_.begin(); it != running_.end();) {
    it = step_one(*it) ? running_.erase(it) : std::next(it);
  }
  const std::lock_guard lock(mutex_);
  ++statistics_.steps;
  statistics_.running = static_cast<int>(running_.size());
}

bool FakeEngine::step_one(Running& running) {
  const GenerationRequest& request = running.request;
  const auto end = [&](FinishReason reason) {
    finish(running, reason, reason == FinishReason::failed ? running.script.error : std::nullopt);
    return true;
  };
  if (!running.started) {
    running.started = true;
    Script script;
    {
      const std::lock_guard lock(mutex_);
      script = script_;
    }
    running.script = script(request);
    running.result.usage.cached_tokens = running.script.cached_tokens;
  }
  if (request.cancel.stop_requested()) return end(FinishReason::cancelled);
  if (request.deadline && options_.clock != nullptr && options_.clock->now() >= *request.deadline) {
    return end(FinishReason::deadline);
  }
  if (running.next == static_cast<size_t>(request.max_tokens)) return end(FinishReason::max_tokens);
  if (running.next == running.script.tokens.size()) return end(running.script.reason);

  const ScriptedToken& token = running.script.tokens[running.next];
  const engine::TokenId id = token.id < 0 ? static_cast<engine::TokenId>(running.next) : token.id;
  const std::string text = running.stops.push(token.text);
  const Verdict verdict = running.sink->on_token(
      {.id = id, .logprob = token.logprob, .margin = token.margin, .text = text, .top = token.top});
  if (verdict == Verdict::stop_before) return end(FinishReason::sink);
  ++running.next;
  running.result.text += text;
  running.result.tokens.push_back(id);
  running.result.logprobs.push_back(token.logprob);
  if (!running.stops.matched().empty()) return end(FinishReason::stop_string);
  return verdict == Verdict::stop_after && end(FinishReason::sink);
}

void FakeEngine::finish(Running& running, FinishReason reason, std::optional<Error> error) {
  running.result.reason = reason;
  running.result.error = std::move(error);
  running.result.text += running.stops.finish();
  running.result.matched_stop = running.stops.matched();
  running.result.usage.generated_tokens = static_cast<int>(running.result.tokens.size());
  {
    const std::lock_guard lock(mutex_);
    statistics_.generated_tokens += running.result.usage.generated_tokens;
  }
  running.sink->on_finish(running.result);
}

void FakeEngine::change_status(const engine::EngineStatus& status) {
  {
    const std::lock_guard lock(mutex_);
    status_ = status;
  }
  listeners_.notify(status);
  changed_.notify_all();
}

}  // namespace caretd::test
