#include "daemon/replay/probe_engine.h"

#include <utility>

namespace caretd::daemon::replay {

/// Stands between the engine and the sink of one request.
class ProbeEngine::Sink final : public engine::TokenSink {
 public:
  Sink(std::shared_ptr<engine::TokenSink> sink, std::shared_ptr<Log> log, Activity& activity,
       std::size_t key, GenerationRecord record)
      : sink_(std::move(sink)),
        log_(std::move(log)),
        activity_(activity),
        key_(key),
        record_(std::move(record)) {}

  engine::Verdict on_token(const engine::TokenEvent& token) override {
    return sink_->on_token(token);
  }

  void on_finish(const engine::Generation& generation) override {
    note(generation);
    sink_->on_finish(generation);
    sink_.reset();
    activity_.end();
  }

 private:
  void note(const engine::Generation& generation) {
    const std::lock_guard lock(log_->mutex);
    KeyTokens& tokens = log_->keys[key_];
    const engine::Usage& usage = generation.usage;
    if (record_.priority == engine::Priority::keystroke) {
      tokens.prompt.prompt += usage.prompt_tokens;
      tokens.prompt.cached += usage.cached_tokens;
      tokens.prompt.computed += usage.computed_tokens;
      tokens.generated += usage.generated_tokens;
    } else {
      tokens.background += usage.computed_tokens;
    }
    if (!log_->keep_records || generation.tokens.empty()) return;
    record_.reason = generation.reason;
    record_.tokens = generation.tokens;
    log_->records.push_back(std::move(record_));
  }

  std::shared_ptr<engine::TokenSink> sink_;
  const std::shared_ptr<Log> log_;
  Activity& activity_;
  const std::size_t key_;
  GenerationRecord record_;
};

std::size_t ProbeEngine::next_key() {
  const std::lock_guard lock(log_->mutex);
  log_->keys.emplace_back();
  return log_->keys.size() - 2;
}

KeyTokens ProbeEngine::tokens_of(std::size_t key) const {
  const std::lock_guard lock(log_->mutex);
  return log_->keys.at(key + 1);
}

std::vector<GenerationRecord> ProbeEngine::take_records() {
  const std::lock_guard lock(log_->mutex);
  return std::exchange(log_->records, {});
}

void ProbeEngine::submit(engine::GenerationRequest request,
                         std::shared_ptr<engine::TokenSink> sink) {
  if (options_.fixed_tokens > 0 && request.priority == engine::Priority::keystroke) {
    request.max_tokens = options_.fixed_tokens;
    request.stop_at_end_of_sentence = false;
  }
  GenerationRecord record;
  record.priority = request.priority;
  if (options_.keep_records) {
    record.prompt = request.prompt;
    record.forced_prefix = request.forced_prefix;
  }
  std::size_t key = 0;
  {
    const std::lock_guard lock(log_->mutex);
    key = log_->keys.size() - 1;
  }
  activity_.begin();
  beneath_.submit(std::move(request),
                  std::make_shared<Sink>(std::move(sink), log_, activity_, key, std::move(record)));
}

}  // namespace caretd::daemon::replay
