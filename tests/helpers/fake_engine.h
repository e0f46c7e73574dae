// An Engine whose answers are scripted text, for tests of what is built on top of the engine.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/status_listeners.h"

namespace caretd::test {

/// One token of an answer: `text` is what TokenEvent::text carries.
struct ScriptedToken {
  std::string text;
  float logprob = -0.1F;
  float margin = 1.0F;
  engine::TokenId id = -1;  ///< below 0: the index of the token in the answer
  std::vector<engine::TokenLogprob> top;
};

/// What the fake engine streams for one request. Healed bytes are not part of it.
struct ScriptedAnswer {
  std::vector<ScriptedToken> tokens;
  engine::FinishReason reason = engine::FinishReason::end_of_sentence;  ///< once they ran out
  std::optional<Error> error;                                           ///< with reason failed
  int cached_tokens = 0;                                                ///< Usage::cached_tokens
};

/// Called on the engine's thread with every request that is served.
using Script = std::function<ScriptedAnswer(const engine::GenerationRequest&)>;

/// Splits `text` like a code tokenizer would: words with their leading space, single other
/// characters; every piece is whole UTF-8.
[[nodiscard]] ScriptedAnswer answer(std::string_view text, float logprob = -0.1F);
/// Every request is answered with `text`.
[[nodiscard]] Script always(std::string text);
/// The model "knows" that the middle is `middle`: a request whose forced_prefix agrees with it is
/// answered with the rest, any other with nothing.
[[nodiscard]] Script middle_is(std::string middle);

/// The prompt as one readable string: text as it is, ids as `decode` says, control tokens as
/// "<fim_begin>", "<fim_hole>", "<fim_end>", "<begin_of_sentence>", ...
using DecodeIds = std::function<std::string(std::span<const engine::TokenId>)>;
[[nodiscard]] std::string prompt_to_string(const engine::Prompt& prompt,
                                           const DecodeIds& decode = {});
[[nodiscard]] inline std::string prompt_to_string(const engine::Prompt& prompt,
                                                  const engine::Tokenizer& tokenizer) {
  return prompt_to_string(
      prompt, [&](std::span<const engine::TokenId> ids) { return tokenizer.decode(ids); });
}

struct FakeEngineOptions {
  std::shared_ptr<const engine::Tokenizer> tokenizer;
  engine::ModelInfo model{.name = "fake",
                          .device = "script",
                          .weight_format = "text",
                          .context_tokens = 2048,
                          .fill_in_the_middle = true,
                          .chat = true};
  engine::EngineState state = engine::EngineState::ready;
  bool paused = false;           ///< no token is produced until resume() or step()
  const Clock* clock = nullptr;  ///< enables deadlines
};

/// Streams one token a step to every running request, on a thread of its own as the real engine
/// does. Honours cancel, deadline, max_tokens, stop strings and the sink's verdicts. A request
/// submitted while the state is `starting` waits for set_status(ready).
class FakeEngine final : public engine::Engine {
 public:
  explicit FakeEngine(Script script, FakeEngineOptions options = {});
  ~FakeEngine() override;

  // What the test controls.
  void set_script(Script script);
  void pause();
  void resume();
  /// While paused: one step, that is one token (or the end) for every running request. Returns
  /// when it was delivered.
  void step();
  /// Steps until nothing is running or waiting. Works paused or not.
  void drain();
  /// Cancels what runs and ends the engine's thread, so that no sink is called any more. For
  /// whoever destroys what the sinks use before the last owner lets go of the engine; nothing but
  /// the destructor may follow. Not from a sink.
  void stop();
  /// Changes the state and tells the listeners, on the engine's thread, before it returns.
  void set_status(const engine::EngineStatus& status);

  // What the test sees.
  [[nodiscard]] std::vector<engine::GenerationRequest> requests() const;
  /// Waits until at least `count` requests were submitted; false after ten seconds.
  [[nodiscard]] bool wait_for_requests(size_t count) const;
  [[nodiscard]] std::vector<engine::CacheOwner> released() const;
  [[nodiscard]] int cache_clears() const;
  [[nodiscard]] int loads() const;
  [[nodiscard]] int unloads() const;

  // Engine.
  [[nodiscard]] engine::EngineStatus status() const override;
  [[nodiscard]] engine::Subscription on_status(
      std::function<void(const engine::EngineStatus&)> listener) override;
  [[nodiscard]] std::shared_ptr<const engine::ModelInfo> model() const override;
  [[nodiscard]] std::shared_ptr<const engine::Tokenizer> tokenizer() const override;
  void submit(engine::GenerationRequest request, std::shared_ptr<engine::TokenSink> sink) override;
  void release(engine::CacheOwner owner) override;
  void clear_cache() override;
  [[nodiscard]] engine::EngineStatistics statistics() const override;
  void unload() override;
  void load() override;

 private:
  struct Running;

  void run();
  void post(std::function<void()> task);
  void post_and_wait(std::function<void()> task);
  void step_all();
  /// True when the request is over and its sink has been told.
  bool step_one(Running& running);
  void finish(Running& running, engine::FinishReason reason, std::optional<Error> error = {});
  void change_status(const engine::EngineStatus& status);

  const FakeEngineOptions options_;
  engine::StatusListeners listeners_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Script script_;
  std::vector<engine::GenerationRequest> requests_;
  std::vector<engine::CacheOwner> released_;
  engine::EngineStatus status_;
  engine::EngineStatistics statistics_;
  int cache_clears_ = 0;
  int loads_ = 0;
  int unloads_ = 0;
  bool paused_ = false;
  bool stopping_ = false;
  std::list<std::function<void()>> tasks_;
  std::list<Running> running_;  ///< the thread's own; its size is read under the mutex
  std::thread thread_;
};

}  // namespace caretd::test
