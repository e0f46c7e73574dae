// One request while it is served: its tokens, its pages and what it still needs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/cache/kv_cache.h"
#include "engine/engine.h"
#include "engine/runner.h"
#include "engine/scheduler/generated_text.h"
#include "engine/scheduler/sampler.h"
#include "support/clock.h"

namespace caretd::engine {

/// Why a sequence is over.
struct Ending {
  FinishReason reason = FinishReason::failed;
  std::optional<Error> error;  ///< set exactly when reason is failed
};
/// The end of a sequence that fails with a sentence for the user.
[[nodiscard]] Ending failure(ErrorKind kind, std::string message);

/// What the scheduler notes about a sequence.
struct SchedulingState {
  /// Its own priority, or a more urgent one while such a request waits for what it computes.
  Priority effective = Priority::background;
  TimePoint last_served{};   ///< the latest step it was part of, or when it was submitted
  int wanted_tokens = 0;     ///< how many of its tokens that request waits for; 0: nobody waits
  std::uint64_t leader = 0;  ///< id of the sequence whose prefill this one waits for; 0: none
  int shared_tokens = 0;     ///< how many tokens of the leader it waits for
  bool running = false;      ///< has a place and an open table
  bool has_pages = false;    ///< its pages for this step are reserved
};

/// Lives on the engine's thread. Between steps, table.tokens() of its tokens are computed and the
/// others are pending.
class Sequence {
 public:
  /// `id` grows with the order of arrival. `context_tokens` bounds prompt and output together;
  /// the prompt must fit.
  Sequence(std::uint64_t id, GenerationRequest request, std::vector<TokenId> prompt,
           std::shared_ptr<TokenSink> sink, std::shared_ptr<const Tokenizer> tokenizer,
           int context_tokens, TimePoint submitted);
  ~Sequence();
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] const GenerationRequest& request() const { return request_; }

  /// The prompt and what was generated so far.
  [[nodiscard]] std::span<const TokenId> tokens() const { return tokens_; }
  /// The beginning of tokens() that may come from the cache instead of being computed.
  [[nodiscard]] std::span<const TokenId> reusable() const;
  [[nodiscard]] int pending() const { return static_cast<int>(tokens_.size()) - table.tokens(); }
  /// Nothing but the token of the last step is to be computed.
  [[nodiscard]] bool decoding() const { return generated() > 0 && pending() == 1; }
  [[nodiscard]] int generated() const { return static_cast<int>(result_.tokens.size()); }

  /// The largest chunk this sequence can be computed in.
  [[nodiscard]] int largest_chunk() const;
  /// The run of the next `count` pending tokens. Spans are valid until the sequence changes.
  [[nodiscard]] TokenRun run(int count) const;

  /// Cancelled or past its deadline.
  [[nodiscard]] std::optional<Ending> over(TimePoint now) const;

  /// The cache has opened its table. Set where nothing is left to do (a warm-up that was cached).
  [[nodiscard]] std::optional<Ending> admitted();
  /// A step that serves it begins.
  void started(TimePoint now);

  struct Progress {
    int computed = 0;              ///< pending tokens whose rows are final
    std::optional<Ending> ending;  ///< set when this step was the last one
  };
  /// The rows of the run of `count` tokens. May call the sink.
  [[nodiscard]] Progress take_rows(std::span<const OutputRow> rows, int count, TimePoint now);

  /// Tells the sink. To be called once.
  Usage finish(const Ending& ending, TimePoint now);

  PageTable table;
  SchedulingState scheduling;

 private:
  [[nodiscard]] bool wants_prompt_logprobs(int position) const;
  [[nodiscard]] bool samples() const { return request_.max_tokens > 0; }
  void collect_prompt_logprobs(std::span<const OutputRow> rows, int count);
  [[nodiscard]] std::optional<Ending> append(const SampledToken& token, const OutputRow& row,
                                             TimePoint now);
  [[nodiscard]] std::optional<Ending> reached_limit() const;
  [[nodiscard]] Verdict tell(const SampledToken& token, const OutputRow& row,
                             const std::string& text);
  void forget_last_token();

  const std::uint64_t id_;
  const GenerationRequest request_;
  const std::shared_ptr<TokenSink> sink_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const int context_tokens_;
  const int prompt_tokens_;

  std::vector<TokenId> tokens_;
  Sampler sampler_;
  std::unique_ptr<GeneratedText> text_;
  bool logits_again_ = false;  ///< the last row could not be decided from its candidates
  bool finished_ = false;

  Generation result_;
  TimePoint submitted_;
  std::optional<TimePoint> first_step_;
  std::optional<TimePoint> first_token_;
};

}  // namespace caretd::engine
