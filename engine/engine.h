// The engine as the rest of the house sees it: prompts in, tokens out. This header is the only
// one of engine/ that lsp/ includes.
//
// Threads: every member function may be called from any thread and returns without waiting for
// the model. Callbacks (TokenSink, status listeners) run on the engine's own thread: they must be
// quick, must not block and must not throw.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/text/chat_prompt.h"
#include "engine/text/fim_prompt.h"
#include "engine/text/tokenizer.h"
#include "engine/types.h"
#include "support/clock.h"
#include "support/result.h"

namespace caretd::engine {

/// How the next token is chosen. Padding rows above the tokenizer's last id are never chosen.
struct Sampling {
  float temperature = 0.0F;  ///< 0 is greedy; ties go to the lower id
  int top_k = 0;             ///< keep the k likeliest tokens; 0 keeps all
  float top_p = 1.0F;        ///< keep the smallest set of tokens whose probability reaches top_p
  std::uint64_t seed = 0;    ///< the same seed, prompt and options give the same text
};

struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0.0F;  ///< natural logarithm, of the model's own distribution (temperature 1)
};

/// One generated token, told to the sink in the step that produced it.
struct TokenEvent {
  TokenId id = 0;
  float logprob = 0.0F;  ///< of this token, at temperature 1, before healing masked anything
  /// Likewise, of all the tokens together that healing allowed here; 0 where it allowed every
  /// token. logprob - allowed_logprob is the token's own among those.
  float allowed_logprob = 0.0F;
  /// Logit of this token minus the best other allowed one: 0 or more if greedy, infinity where
  /// nothing else was allowed.
  float margin = 0.0F;
  /// Text that became complete with this token: valid UTF-8 (U+FFFD where the model emitted
  /// invalid bytes), never half a character, healed bytes already removed. May be empty.
  std::string_view text;
  /// The likeliest tokens of this step in descending order, as many as `top_logprobs` asked for.
  std::span<const TokenLogprob> top;
};

/// What a sink answers to a token.
enum class Verdict : std::uint8_t {
  go_on,
  stop_after,   ///< the token is part of the result and the last one
  stop_before,  ///< the token is not part of the result
};

enum class FinishReason : std::uint8_t {
  end_of_sentence,
  stop_string,
  sink,  ///< TokenSink::on_token said so
  max_tokens,
  context_full,
  deadline,
  cancelled,
  failed,
};
[[nodiscard]] std::string_view to_string(FinishReason reason);

/// Where the tokens and the milliseconds of one request went.
struct Usage {
  int prompt_tokens = 0;
  int cached_tokens = 0;    ///< of the prompt, found in the KV cache
  int computed_tokens = 0;  ///< of the prompt, run through the model
  int generated_tokens = 0;
  Duration queued{};   ///< submit to the first step that served the request
  Duration prefill{};  ///< that step to the first token
  Duration decode{};   ///< first token to the end
};

/// The end of a request; delivered exactly once, whatever happened.
struct Generation {
  FinishReason reason = FinishReason::failed;
  std::optional<Error> error;  ///< set exactly when reason is failed
  /// Everything generated, valid UTF-8, healed bytes removed. Its end may be in no TokenEvent: text
  /// that was held back because it could have become a stop string or a character.
  std::string text;
  /// What `text` decodes from: healed bytes and the tokens of a matched stop string included, the
  /// end-of-sentence token that ended it not.
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;  ///< one for each of `tokens`
  std::string matched_stop;     ///< the stop string that ended it, when reason is stop_string
  /// Entry i - 1: log-probability of prompt token i given those before it; empty unless asked for.
  std::vector<float> prompt_logprobs;
  Usage usage;
};

/// Receives one request's results, on the engine's thread. The engine keeps it alive until
/// on_finish has returned.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  virtual Verdict on_token(const TokenEvent& token) = 0;
  virtual void on_finish(const Generation& generation) = 0;
};

/// Names a path in the KV cache that stays in memory: an open file, a conversation. The latest
/// finished or running request of an owner is what is pinned. Pins are given up only when the
/// byte budget cannot hold what is running.
using CacheOwner = std::uint64_t;
inline constexpr CacheOwner kNoOwner = 0;

/// One thing to generate.
struct GenerationRequest {
  Prompt prompt;
  /// Bytes the output must begin with (token healing: the bytes of the last prompt token that was
  /// dropped, or typed text forced as the start of the middle). Each step is masked to tokens that
  /// agree with what is left of them; they do not appear in `text`.
  std::string forced_prefix;
  Sampling sampling;
  int max_tokens = 128;           ///< 0 computes the prompt's KV and generates nothing (warm-up)
  std::vector<std::string> stop;  ///< the text ends before the first of these
  bool stop_at_end_of_sentence = true;
  int top_logprobs = 0;          ///< at most kMaxTopLogprobs
  bool prompt_logprobs = false;  ///< costs logits for every prompt token; disables prefix reuse
  std::optional<TimePoint> deadline;
  Priority priority = Priority::keystroke;
  std::uint64_t session = 0;  ///< requests of different sessions share the engine fairly
  CacheOwner owner = kNoOwner;
  std::stop_token cancel;  ///< looked at once a step
};
inline constexpr int kMaxTopLogprobs = 20;

enum class EngineState : std::uint8_t { starting, ready, off, failed };

/// A snapshot for status bars.
struct EngineStatus {
  EngineState state = EngineState::starting;
  int percent = 0;     ///< of loading, while starting
  bool busy = false;   ///< a keystroke or chat request is running
  std::string reason;  ///< one sentence, when failed or off
};

/// What was loaded. Immutable.
struct ModelInfo {
  std::string name;           ///< folder name or the remote model's name
  std::string device;         ///< "CPU (AVX-512, 2 threads)", "NVIDIA H200", "https://host"
  std::string weight_format;  ///< "FP8 block-wise", "BF16", ...
  int context_tokens = 0;     ///< the longest prompt plus output
  bool fill_in_the_middle = false;
  bool left_to_right_wanted = false;  ///< the user wants no filling in: nothing to warn of
  bool chat = false;
  bool local = true;  ///< false: prompts leave this machine
  std::int64_t weight_bytes = 0;
  std::int64_t kv_budget_bytes = 0;
  std::int64_t kv_bytes_per_token = 0;
};

/// Counters since start, and gauges as of the end of the last step: a request whose end has just
/// been told may still be counted as running.
struct EngineStatistics {
  std::int64_t requests = 0;
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t generated_tokens = 0;
  std::int64_t steps = 0;
  int running = 0;  ///< sequences in the current batch
  int queued = 0;
  std::int64_t kv_used_bytes = 0;
  std::int64_t kv_pinned_bytes = 0;
  Duration longest_step{};
  /// Between the end of one forward pass and the start of the next while requests were running,
  /// all steps together.
  Duration host_time{};

  /// Of several engines, or of one over several models: the sum, and the longest of the steps.
  EngineStatistics& operator+=(const EngineStatistics& other);
};

/// Keeps a listener registered for as long as it lives. Movable. May be destroyed on any thread;
/// once the destructor has returned the listener is not called again.
class Subscription {
 public:
  Subscription() = default;
  explicit Subscription(std::function<void()> unsubscribe) : unsubscribe_(std::move(unsubscribe)) {}
  Subscription(Subscription&& other) noexcept
      : unsubscribe_(std::exchange(other.unsubscribe_, nullptr)) {}
  Subscription& operator=(Subscription&& other) noexcept {
    std::swap(unsubscribe_, other.unsubscribe_);
    return *this;
  }
  ~Subscription() {
    if (unsubscribe_) unsubscribe_();
  }

 private:
  std::function<void()> unsubscribe_;
};

/// A model that generates. Implementations: LocalEngine (this process), RemoteEngine (HTTP).
/// A request submitted while the engine is not ready waits when it is starting and otherwise
/// finishes at once with ErrorKind::unavailable. Destroying the engine finishes every request as
/// cancelled first.
class Engine {
 public:
  virtual ~Engine() = default;

  [[nodiscard]] virtual EngineStatus status() const = 0;
  /// Called on every change from now on, on the engine's thread.
  [[nodiscard]] virtual Subscription on_status(
      std::function<void(const EngineStatus&)> listener) = 0;

  /// Null until ready.
  [[nodiscard]] virtual std::shared_ptr<const ModelInfo> model() const = 0;
  /// Null until ready; null for a remote engine that was given no tokenizer. Immutable, so usable
  /// from any thread.
  [[nodiscard]] virtual std::shared_ptr<const Tokenizer> tokenizer() const = 0;

  /// `sink` hears every token and then the end, exactly once, even if the engine is not ready.
  virtual void submit(GenerationRequest request, std::shared_ptr<TokenSink> sink) = 0;

  /// Unpins what the owner pinned; the pages stay until they are the least recently used.
  virtual void release(CacheOwner owner) = 0;
  /// Drops every cached page that no running request uses (a purge on the user's request).
  virtual void clear_cache() = 0;

  [[nodiscard]] virtual EngineStatistics statistics() const = 0;

  /// Frees the weights and the cache (state: off) or loads them again (state: starting), also
  /// after a failure.
  virtual void unload() = 0;
  virtual void load() = 0;
};

}  // namespace caretd::engine
