// The model that chats: waits until it is loaded, turns messages into a prompt that fits, streams
// the reply to the session's strand.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "support/executor.h"
#include "support/result.h"

namespace caretd::lsp {

/// What went into a prompt.
struct PromptReport {
  int tokens = 0;
  int left_out = 0;  ///< messages that found no room; the oldest turns are left out first
};

struct GeneratedReply {
  std::string text;
  engine::FinishReason reason = engine::FinishReason::end_of_sentence;
  std::vector<engine::TokenId> tokens;  ///< what `text` decodes from
  engine::Usage usage;
};

/// Hears one reply, on the session's strand: `begun` once the prompt is made, `text` for every
/// piece, `ended` exactly once, also where nothing began. A reply that was cancelled or cut off is
/// no Error.
struct ReplyListener {
  std::function<void(const PromptReport&)> begun;
  std::function<void(const std::string&)> text;
  std::function<void(Result<GeneratedReply>)> ended;
};

/// Makes the messages once the model is there; runs on a worker. The whole prompt may take `budget`
/// tokens.
using ComposeMessages = std::function<Result<std::vector<engine::ChatMessage>>(
    const engine::Tokenizer& tokenizer, int budget)>;

struct ReplyRequest {
  ComposeMessages compose;
  std::string beginning;  ///< of the reply, written for the model; no part of what it generates
  int max_tokens = 512;   ///< cut to half of the model's context
  engine::Sampling sampling;
  std::uint64_t session = 0;
  engine::CacheOwner owner = engine::kNoOwner;
};

/// On the session's strand. Held by shared_ptr; what is under way refers to it weakly.
class ChatModel : public std::enable_shared_from_this<ChatModel> {
 public:
  ChatModel(std::shared_ptr<engine::Engine> engine, std::shared_ptr<Executor> strand,
            Executor& workers);

  /// Begins to hear the engine's state. Once, after construction.
  void start();

  /// A request made while the model loads waits for it.
  void generate(ReplyRequest request, std::stop_token cancelled, ReplyListener listener);

  /// Answers what waits and begins nothing more.
  void stop();

  /// Whether a request has a chance: not off, not failed, not without a chat template. True while
  /// the model loads.
  [[nodiscard]] bool may_chat() const;
  /// Something the user should know about this model's answers; empty if there is nothing.
  [[nodiscard]] std::string notice() const;

  [[nodiscard]] engine::Engine& engine() const { return *engine_; }

 private:
  struct Waiting {
    ReplyRequest request;
    std::stop_token cancelled;
    ReplyListener listener;
    std::optional<std::stop_callback<std::function<void()>>> on_cancel;
  };

  void launch(ReplyRequest request, std::stop_token cancelled, ReplyListener listener);
  void engine_changed();
  void drop_cancelled();

  const std::shared_ptr<engine::Engine> engine_;
  const std::shared_ptr<Executor> strand_;
  Executor& workers_;
  std::list<Waiting> waiting_;
  engine::Subscription subscription_;
};

}  // namespace caretd::lsp
