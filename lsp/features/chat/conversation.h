// Conversations of one session: what was said, what is being said.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "lsp/features/chat/chat_context.h"
#include "lsp/features/chat/chat_model.h"
#include "lsp/features/chat/chat_settings.h"

namespace caretd::lsp {

/// One thing the user says.
struct ChatQuestion {
  std::string conversation;  ///< empty: a new one
  std::string message;
  bool regenerate = false;  ///< the last reply once more; `message` and `context` do not count
  std::string system;       ///< of a new conversation; may be empty
  std::vector<ContextItem> context;
  std::vector<ContextReport> refused;  ///< context that was named and may not be used
  std::optional<int> max_tokens;
  std::optional<float> temperature;
};

/// What is known when the reply begins.
struct ChatOpening {
  std::string conversation;
  std::vector<ContextReport> context;
  PromptReport prompt;
  std::string notice;
};

/// A reply as it is answered.
struct ChatAnswer {
  ChatOpening opening;
  GeneratedReply reply;
};

/// Runs on the session's strand, like the ReplyListener.
struct ChatListener {
  std::function<void(const ChatOpening&)> begun;
  std::function<void(const std::string&)> text;
  std::function<void(Result<ChatAnswer>)> ended;
};

struct TurnState;

/// On the session's strand. Held by shared_ptr. At most kMost conversations are remembered; the one
/// that was quiet the longest is forgotten first.
class Conversations : public std::enable_shared_from_this<Conversations> {
 public:
  static constexpr std::size_t kMost = 64;

  Conversations(std::shared_ptr<ChatModel> model, std::uint64_t session)
      : model_(std::move(model)), session_(session) {}
  ~Conversations();

  void set_settings(ChatSettings settings) { settings_ = std::move(settings); }

  /// A reply that is cancelled stays in the conversation as far as it came; a question whose reply
  /// had not begun is taken back.
  void ask(ChatQuestion question, std::stop_token cancelled, ChatListener listener);
  /// Forgets a conversation and lets its KV go. Unknown ones are ignored.
  void close(const std::string& id);

 private:
  struct Conversation {
    std::string id;
    engine::CacheOwner owner = engine::kNoOwner;
    std::vector<engine::ChatMessage> messages;
    std::uint64_t replies = 0;  ///< generated so far, those that were replaced included
    bool busy = false;
  };
  using Turn = std::shared_ptr<TurnState>;

  [[nodiscard]] Result<Conversation*> open(const ChatQuestion& question);
  [[nodiscard]] Conversation* find(const std::string& id);
  Conversation& begin(const std::string& system);
  [[nodiscard]] ReplyRequest request_for(Conversation& conversation, const ChatQuestion& question,
                                         const Turn& turn) const;
  void finish(const Turn& turn, const Result<GeneratedReply>& reply);

  const std::shared_ptr<ChatModel> model_;
  const std::uint64_t session_;
  ChatSettings settings_;
  std::uint64_t begun_ = 0;
  std::list<Conversation> conversations_;  ///< the latest first
};

}  // namespace caretd::lsp
