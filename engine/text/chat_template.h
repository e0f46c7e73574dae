// The chat template of tokenizer_config.json. It is a Jinja program; the ones published for the
// DeepSeek-V2 family only join literal text, message contents and control tokens, message by
// message. Templates of that shape are read, everything else is refused.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/text/tokenizer.h"
#include "engine/types.h"
#include "support/result.h"

namespace caretd::engine {

enum class ChatRole : std::uint8_t { system, user, assistant };
inline constexpr std::size_t kChatRoles = 3;

/// Stands for the text of a message within a ChatForm.
struct MessageContent {};

/// What a template writes, in order.
using ChatPieces = std::vector<std::variant<std::string, ControlToken, MessageContent>>;

/// A chat template, taken apart.
struct ChatForm {
  ChatPieces opening;  ///< before everything; MessageContent here is the system message
  /// Around one message, by ChatRole. A system message is written nowhere else where the opening
  /// takes it (the last one, if there are several: DeepSeek-V2.5).
  std::array<ChatPieces, kChatRoles> message;
  ChatPieces generation;  ///< after the last message, where the reply begins
  bool system_in_opening = false;

  [[nodiscard]] const ChatPieces& of(ChatRole role) const {
    return message[static_cast<std::size_t>(role)];
  }
};

/// Reads the tokenizer's chat template. ErrorKind::unsupported, with a sentence for the user, if
/// there is none, if it is of another shape or if it uses control tokens the tokenizer lacks.
[[nodiscard]] Result<ChatForm> read_chat_template(const Tokenizer& tokenizer);

/// The same for a template given as text.
[[nodiscard]] Result<ChatForm> read_chat_template(std::string_view jinja,
                                                  const Tokenizer& tokenizer);

}  // namespace caretd::engine
