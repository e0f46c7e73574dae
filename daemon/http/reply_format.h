// How each endpoint words what was generated. Pure: values in, JSON text out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/http/requests.h"
#include "engine/engine.h"

namespace caretd::daemon::api {

/// What every reply begins with.
struct ReplyHead {
  std::string id;
  std::string model;
  std::int64_t created = 0;  ///< seconds since 1970
};

/// A token as logprobs name it.
struct ReplyToken {
  std::string bytes;  ///< may be a part of a character; control tokens by their name
  float logprob = 0.0F;
  bool has_logprob = true;      ///< false for the first token of an echoed prompt
  std::size_t text_offset = 0;  ///< characters of the choice's text in front of it
  std::vector<std::pair<std::string, float>> top;  ///< likeliest first
};

/// What came of one generation.
struct Choice {
  int index = 0;
  std::string text;                ///< with the prompt in front where it is echoed
  std::vector<ReplyToken> tokens;  ///< empty unless logprobs were asked for
  engine::FinishReason reason = engine::FinishReason::failed;
  std::string matched_stop;
  engine::Usage usage;
  bool truncated = false;  ///< the prompt was cut to fit
};

/// The bytes that stand for a token; control tokens by the text that names them.
[[nodiscard]] std::string token_bytes(const engine::Tokenizer& tokenizer, engine::TokenId id);

/// Immutable; any thread.
class ReplyFormat {
 public:
  virtual ~ReplyFormat() = default;

  /// Whether a leading space of the reply belongs to the form of the conversation.
  [[nodiscard]] virtual bool strips_leading_space() const { return false; }

  // ---- server-sent events -------------------------------------------------------------------
  /// The first event of a choice; empty where there is none.
  [[nodiscard]] virtual std::string opening(int /*index*/) const { return {}; }
  /// Text that became certain, and the tokens told with it.
  [[nodiscard]] virtual std::string piece(int index, std::string_view text,
                                          std::span<const ReplyToken> tokens) const = 0;
  /// The end of a choice; its text and tokens were told before.
  [[nodiscard]] virtual std::string ending(const Choice& choice) const = 0;
  /// After the last choice; nothing where no usage was asked for.
  [[nodiscard]] virtual std::optional<std::string> usage(std::span<const Choice> choices) const {
    (void)choices;
    return std::nullopt;
  }
  /// Whether the stream ends with "[DONE]".
  [[nodiscard]] virtual bool says_done() const { return true; }

  // ---- one JSON object ----------------------------------------------------------------------
  [[nodiscard]] virtual std::string whole(std::span<const Choice> choices) const = 0;
};

/// `n`: choices of one prompt stand next to each other; the usage counts each prompt once.
[[nodiscard]] std::unique_ptr<ReplyFormat> completion_format(ReplyHead head,
                                                             const CompletionFields& fields);
[[nodiscard]] std::unique_ptr<ReplyFormat> chat_format(ReplyHead head, const ChatFields& fields);
[[nodiscard]] std::unique_ptr<ReplyFormat> infill_format(ReplyHead head,
                                                         const InfillFields& fields);

}  // namespace caretd::daemon::api
