#include "lsp/features/chat/conversation.h"

#include <algorithm>
#include <utility>

namespace caretd::lsp {
namespace {

using engine::ChatRole;

// A second reply to the same question is of no use if it is the first one again.
constexpr float kRegenerateTemperature = 0.7F;
// Of the prompt, at most this share is context: what the user said before stays visible.
constexpr double kContextShare = 0.75;
// Owners of documents count up from session << 32; conversations take the upper half.
constexpr std::uint64_t kConversationOwners = std::uint64_t{1} << 31;

int tokens_of(const engine::Tokenizer& tokenizer, const std::string& text) {
  return static_cast<int>(tokenizer.encode(text).size());
}

}  // namespace

/// A reply under way. The worker that composes the prompt writes it, the strand reads it later.
struct TurnState {
  std::string conversation;
  std::vector<engine::ChatMessage> messages;  ///< up to the question, context not yet written
  bool regenerate = false;
  std::vector<ContextItem> items;
  ChatOpening opening;
};

Conversations::~Conversations() {
  for (const Conversation& conversation : conversations_) {
    model_->engine().release(conversation.owner);
  }
}

Conversations::Conversation* Conversations::find(const std::string& id) {
  const auto found = std::ranges::find(conversations_, id, &Conversation::id);
  if (found == conversations_.end()) return nullptr;
  conversations_.splice(conversations_.begin(), conversations_, found);
  return &conversations_.front();
}

Conversations::Conversation& Conversations::begin(const std::string& system) {
  while (conversations_.size() >= kMost) {
    const auto quiet = std::find_if(conversations_.rbegin(), conversations_.rend(),
                                    [](const Conversation& c) { return !c.busy; });
    if (quiet == conversations_.rend()) break;
    close(quiet->id);
  }
  Conversation& conversation = conversations_.emplace_front();
  conversation.id = "chat-" + std::to_string(session_) + "-" + std::to_string(++begun_);
  conversation.owner = (session_ << 32) + kConversationOwners + begun_;
  if (!system.empty()) conversation.messages.push_back({ChatRole::system, system, {}});
  return conversation;
}

void Conversations::close(const std::string& id) {
  const auto found = std::ranges::find(conversations_, id, &Conversation::id);
  if (found == conversations_.end()) return;
  model_->engine().release(found->owner);
  conversations_.erase(found);
}

Result<Conversations::Conversation*> Conversations::open(const ChatQuestion& question) {
  if (question.conversation.empty()) {
    if (question.regenerate) {
      return fail(ErrorKind::invalid_input, "There is no reply to regenerate yet.");
    }
    return &begin(question.system);
  }
  Conversation* conversation = find(question.conversation);
  if (conversation == nullptr) {
    return fail(ErrorKind::not_found, "There is no conversation '" + question.conversation +
                                          "' (any more); begin a new one.");
  }
  if (conversation->busy) {
    return fail(ErrorKind::unavailable,
                "The conversation is still waiting for a reply; cancel it first.");
  }
  if (question.regenerate && (conversation->messages.empty() ||
                              conversation->messages.back().role != ChatRole::assistant)) {
    return fail(ErrorKind::invalid_input, "There is no reply to regenerate yet.");
  }
  return conversation;
}

ReplyRequest Conversations::request_for(Conversation& conversation, const ChatQuestion& question,
                                        const Turn& turn) const {
  ReplyRequest request;
  request.max_tokens = question.max_tokens.value_or(settings_.max_tokens);
  request.sampling.temperature = question.temperature.value_or(settings_.temperature);
  request.sampling.top_p = settings_.top_p;
  request.sampling.seed = conversation.replies++;
  if (question.regenerate) {
    request.sampling.temperature = std::max(request.sampling.temperature, kRegenerateTemperature);
  }
  request.session = session_;
  request.owner = conversation.owner;
  request.compose = [turn](const engine::Tokenizer& tokenizer,
                           int budget) -> Result<std::vector<engine::ChatMessage>> {
    if (turn->items.empty()) return turn->messages;
    std::string& said = turn->messages.back().content;
    const int room = static_cast<int>(budget * kContextShare) - tokens_of(tokenizer, said);
    ContextText context = write_context(turn->items, room, tokenizer);
    said = context.text + said;
    auto& reports = turn->opening.context;
    reports.insert(reports.begin(), context.reports.begin(), context.reports.end());
    return turn->messages;
  };
  return request;
}

void Conversations::ask(ChatQuestion question, std::stop_token cancelled, ChatListener listener) {
  const Result<Conversation*> opened = open(question);
  if (!opened) return listener.ended(tl::unexpected(opened.error()));
  Conversation& conversation = **opened;
  conversation.busy = true;
  auto turn = std::make_shared<TurnState>();
  turn->conversation = turn->opening.conversation = conversation.id;
  turn->messages = conversation.messages;
  turn->regenerate = question.regenerate;
  if (question.regenerate) {
    turn->messages.pop_back();
  } else {
    turn->messages.push_back({ChatRole::user, question.message, {}});
    turn->items = std::move(question.context);
    turn->opening.context = std::move(question.refused);
  }
  ReplyListener hears;
  hears.begun = [turn, listener, weak = weak_from_this()](const PromptReport& report) {
    const auto self = weak.lock();
    if (!self) return;
    turn->opening.prompt = report;
    turn->opening.notice = self->model_->notice();
    if (listener.begun) listener.begun(turn->opening);
  };
  hears.text = listener.text;
  hears.ended = [turn, listener, weak = weak_from_this()](const Result<GeneratedReply>& reply) {
    if (const auto self = weak.lock()) self->finish(turn, reply);
    if (!reply) return listener.ended(tl::unexpected(reply.error()));
    listener.ended(ChatAnswer{turn->opening, *reply});
  };
  model_->generate(request_for(conversation, question, turn), std::move(cancelled),
                   std::move(hears));
}

void Conversations::finish(const Turn& turn, const Result<GeneratedReply>& reply) {
  Conversation* conversation = find(turn->conversation);
  if (conversation == nullptr) return;  // closed since
  conversation->busy = false;
  if (!reply || (reply->text.empty() && reply->reason == engine::FinishReason::cancelled)) {
    // Nothing was answered: a conversation that has said nothing is not worth keeping.
    const bool empty = std::ranges::none_of(conversation->messages, [](const auto& message) {
      return message.role == ChatRole::assistant;
    });
    if (empty) close(turn->conversation);
    return;
  }
  conversation->messages = turn->messages;
  conversation->messages.push_back({ChatRole::assistant, reply->text, reply->tokens});
}

}  // namespace caretd::lsp
