#include "engine/text/chat_prompt.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <utility>

#include "engine/text/prompt.h"

namespace caretd::engine {
namespace {

/// Collects parts; neighbouring texts become one, so that they are encoded together.
class PromptWriter {
 public:
  void text(std::string_view more) {
    if (more.empty()) return;
    if (!prompt_.empty() && std::holds_alternative<std::string>(prompt_.back())) {
      std::get<std::string>(prompt_.back()) += more;
    } else {
      prompt_.emplace_back(std::string(more));
    }
  }
  template <typename Part>
  void part(const Part& part) {
    prompt_.emplace_back(part);
  }

  /// Writes the pieces of a form around `content`.
  void pieces(const ChatPieces& pieces, std::string_view content) {
    for (const auto& piece : pieces) {
      if (const auto* literal = std::get_if<std::string>(&piece)) {
        text(*literal);
      } else if (const auto* token = std::get_if<ControlToken>(&piece)) {
        part(*token);
      } else {
        text(content);
      }
    }
  }
  [[nodiscard]] Prompt take() { return std::move(prompt_); }

 private:
  Prompt prompt_;
};

/// A reply whose tokens are known: what the model read then, what it wrote, what the form puts
/// behind a reply.
void write_generated(const ChatForm& form, const ChatMessage& message, PromptWriter& writer) {
  const ChatPieces& reply = form.of(ChatRole::assistant);
  const auto content = std::find_if(reply.begin(), reply.end(), [](const auto& piece) {
    return std::holds_alternative<MessageContent>(piece);
  });
  writer.pieces(form.generation, {});
  writer.part(message.generated);
  if (content != reply.end()) writer.pieces({content + 1, reply.end()}, {});
}

void write_message(const ChatForm& form, const ChatMessage& message, PromptWriter& writer) {
  if (message.role == ChatRole::system && form.system_in_opening) return;
  if (message.role == ChatRole::assistant && !message.generated.empty()) {
    write_generated(form, message, writer);
  } else {
    writer.pieces(form.of(message.role), message.content);
  }
}

std::string_view last_system_message(std::span<const ChatMessage> messages) {
  const auto last = std::find_if(messages.rbegin(), messages.rend(),
                                 [](const ChatMessage& m) { return m.role == ChatRole::system; });
  return last == messages.rend() ? std::string_view() : std::string_view(last->content);
}

std::string_view leading_text(const ChatPieces& pieces) {
  const auto* text = pieces.empty() ? nullptr : std::get_if<std::string>(&pieces.front());
  return text == nullptr ? std::string_view() : std::string_view(*text);
}

Result<int> count_tokens(const Tokenizer& tokenizer, const Prompt& prompt) {
  auto ids = encode_prompt(tokenizer, prompt);
  if (!ids) return pass_on(std::move(ids));
  return static_cast<int>(ids->size());
}

/// Where turns begin: at the first message that is not a system message, then at user messages.
std::vector<std::size_t> turn_starts(std::span<const ChatRole> roles) {
  std::vector<std::size_t> starts;
  for (std::size_t i = 0; i < roles.size(); ++i) {
    const bool first = starts.empty() && roles[i] != ChatRole::system;
    if (first || roles[i] == ChatRole::user) starts.push_back(i);
  }
  return starts;
}

}  // namespace

Prompt chat_prompt(const ChatForm& form, std::span<const ChatMessage> messages) {
  PromptWriter writer;
  writer.pieces(form.opening, last_system_message(messages));
  for (const ChatMessage& message : messages) write_message(form, message, writer);
  writer.pieces(form.generation, {});
  return writer.take();
}

std::string_view reply_content(const ChatForm& form, std::string_view generated) {
  std::string_view before = leading_text(form.of(ChatRole::assistant));
  const std::string_view generation = leading_text(form.generation);
  if (!before.starts_with(generation)) return generated;
  before.remove_prefix(generation.size());
  if (generated.starts_with(before)) generated.remove_prefix(before.size());
  return generated;
}

ConversationCut cut_conversation(std::span<const ChatRole> roles, std::span<const int> tokens,
                                 int budget) {
  assert(roles.size() == tokens.size());
  ConversationCut cut;
  cut.tokens = std::accumulate(tokens.begin(), tokens.end(), 0);
  const std::vector<std::size_t> starts = turn_starts(roles);
  std::size_t first_kept = starts.empty() ? 0 : starts.front();
  for (std::size_t turn = 1; turn < starts.size() && cut.tokens > budget; ++turn) {
    for (; first_kept < starts[turn]; ++first_kept) {
      if (roles[first_kept] != ChatRole::system) cut.tokens -= tokens[first_kept];
    }
  }
  for (std::size_t i = 0; i < roles.size(); ++i) {
    if (i >= first_kept || roles[i] == ChatRole::system) cut.kept.push_back(i);
  }
  cut.fits = cut.tokens <= budget;
  return cut;
}

Result<FittedChat> fit_chat(const Tokenizer& tokenizer, const ChatForm& form,
                            std::span<const ChatMessage> messages, int budget) {
  std::vector<ChatRole> roles;
  std::vector<int> tokens;
  const auto around = count_tokens(tokenizer, chat_prompt(form, {}));
  if (!around) return tl::unexpected(around.error());
  for (const ChatMessage& message : messages) {
    const auto count = count_tokens(tokenizer, chat_prompt(form, {&message, 1}));
    if (!count) return tl::unexpected(count.error());
    roles.push_back(message.role);
    tokens.push_back(*count - *around);
  }
  // Texts that meet may take a token more than they do apart, hence the second look.
  int room = budget - *around;
  while (true) {
    ConversationCut cut = cut_conversation(roles, tokens, room);
    std::vector<ChatMessage> kept;
    for (const std::size_t i : cut.kept) kept.push_back(messages[i]);
    FittedChat fitted{chat_prompt(form, kept), 0, std::move(cut.kept)};
    const auto count = count_tokens(tokenizer, fitted.prompt);
    if (!count) return tl::unexpected(count.error());
    fitted.tokens = *count;
    if (*count <= budget) return fitted;
    if (!cut.fits) {
      return fail(ErrorKind::invalid_input,
                  "The message needs " + std::to_string(*count) + " tokens and the model takes " +
                      std::to_string(budget) + "; shorten it or add less context");
    }
    room -= *count - budget;
  }
}

}  // namespace caretd::engine
