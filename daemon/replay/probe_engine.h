// An engine that writes down what another one was asked and what it answered.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "daemon/replay/activity.h"
#include "daemon/replay/figures.h"
#include "engine/engine.h"

namespace caretd::daemon::replay {

/// A finished generation, enough to ask for it again.
struct GenerationRecord {
  engine::Prompt prompt;
  std::string forced_prefix;
  engine::Priority priority = engine::Priority::keystroke;
  engine::FinishReason reason = engine::FinishReason::failed;
  std::vector<engine::TokenId> tokens;
};

/// What the keys caused, by the number of the key.
struct KeyTokens {
  PromptTokens prompt;
  std::int64_t background = 0;
  std::int64_t generated = 0;
};

struct ProbeOptions {
  int fixed_tokens = 0;       ///< not 0: exactly so many tokens for every awaited request
  bool keep_records = false;  ///< of every generation that produced tokens
};

/// Passes everything on. Thread-safe; `beneath` and `activity` outlive it and its requests.
class ProbeEngine final : public engine::Engine {
 public:
  ProbeEngine(engine::Engine& beneath, Activity& activity, ProbeOptions options)
      : log_(std::make_shared<Log>()), beneath_(beneath), activity_(activity), options_(options) {
    log_->keep_records = options.keep_records;
  }

  /// Requests from now on are put down to a new key; the number it gets counts from 0.
  std::size_t next_key();
  [[nodiscard]] KeyTokens tokens_of(std::size_t key) const;
  /// Those finished so far, in the order in which they finished.
  [[nodiscard]] std::vector<GenerationRecord> take_records();

  [[nodiscard]] engine::EngineStatus status() const override { return beneath_.status(); }
  [[nodiscard]] engine::Subscription on_status(
      std::function<void(const engine::EngineStatus&)> listener) override {
    return beneath_.on_status(std::move(listener));
  }
  [[nodiscard]] std::shared_ptr<const engine::ModelInfo> model() const override {
    return beneath_.model();
  }
  [[nodiscard]] std::shared_ptr<const engine::Tokenizer> tokenizer() const override {
    return beneath_.tokenizer();
  }
  void submit(engine::GenerationRequest request, std::shared_ptr<engine::TokenSink> sink) override;
  void release(engine::CacheOwner owner) override { beneath_.release(owner); }
  void clear_cache() override { beneath_.clear_cache(); }
  [[nodiscard]] engine::EngineStatistics statistics() const override {
    return beneath_.statistics();
  }
  void unload() override { beneath_.unload(); }
  void load() override { beneath_.load(); }

 private:
  class Sink;
  /// Shared with the sinks.
  struct Log {
    std::mutex mutex;
    bool keep_records = false;
    std::vector<KeyTokens> keys = std::vector<KeyTokens>(1);  ///< entry 0: before the first key
    std::vector<GenerationRecord> records;
  };

  const std::shared_ptr<Log> log_;
  engine::Engine& beneath_;
  Activity& activity_;
  const ProbeOptions options_;
};

}  // namespace caretd::daemon::replay
