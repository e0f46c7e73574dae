#include <algorithm>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "daemon/http/reply_format.h"
#include "lsp/protocol/json.h"

namespace caretd::daemon::api {

namespace {

using engine::FinishReason;
using lsp::Json;

std::string_view finish_reason(FinishReason reason) {
  switch (reason) {
    case FinishReason::max_tokens:
    case FinishReason::context_full:
    case FinishReason::deadline:
      return "length";
    default:
      return "stop";
  }
}

Json usage_of(std::span<const Choice> choices, int n) {
  int prompt = 0;
  int cached = 0;
  int generated = 0;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const engine::Usage& usage = choices[i].usage;
    generated += usage.generated_tokens;
    if (i % static_cast<std::size_t>(n) != 0) continue;
    prompt += usage.prompt_tokens;
    cached += usage.cached_tokens;
  }
  return {{"prompt_tokens", prompt},
          {"completion_tokens", generated},
          {"total_tokens", prompt + generated},
          {"prompt_tokens_details", {{"cached_tokens", cached}}}};
}

/// What chunks and whole replies of both endpoints share.
class OpenAiFormat : public ReplyFormat {
 public:
  OpenAiFormat(ReplyHead head, const CommonFields& fields, std::string object,
               std::string chunk_object)
      : head_(std::move(head)),
        n_(fields.n),
        include_usage_(fields.include_usage),
        object_(std::move(object)),
        chunk_object_(std::move(chunk_object)),
        event_begin_(lsp::to_string(frame(chunk_object_))),
        event_end_(include_usage_ ? R"(],"usage":null})" : "]}") {
    event_begin_.back() = ',';  // instead of the closing brace
    event_begin_ += R"("choices":[)";
  }

  [[nodiscard]] std::optional<std::string> usage(std::span<const Choice> choices) const override {
    if (!include_usage_) return std::nullopt;
    Json event = frame(chunk_object_);
    event["choices"] = Json::array();
    event["usage"] = usage_of(choices, n_);
    return lsp::to_string(event);
  }

  [[nodiscard]] std::string whole(std::span<const Choice> choices) const override {
    Json reply = frame(object_);
    reply["choices"] = Json::array();
    for (const Choice& choice : choices) reply["choices"].push_back(whole_choice(choice));
    reply["usage"] = usage_of(choices, n_);
    return lsp::to_string(reply);
  }

 protected:
  [[nodiscard]] virtual Json whole_choice(const Choice& choice) const = 0;

  [[nodiscard]] std::string event(const Json& choice) const {
    return event_begin_ + lsp::to_string(choice) + event_end_;
  }

  /// On the engine's thread, for every token: what events have in common is rendered once, and an
  /// object of JSON would take several times as long as what is left.
  [[nodiscard]] std::string text_event(std::string_view before, std::string_view text,
                                       std::string_view behind, int index) const {
    return fmt::format("{}{}{}{}{},\"logprobs\":null}}{}", event_begin_, before,
                       lsp::to_string(Json(text)), behind, index, event_end_);
  }

 private:
  [[nodiscard]] Json frame(const std::string& object) const {
    return {{"id", head_.id},
            {"object", object},
            {"created", head_.created},
            {"model", head_.model},
            {"system_fingerprint", nullptr}};
  }

  const ReplyHead head_;
  const int n_;
  const bool include_usage_;
  const std::string object_;
  const std::string chunk_object_;
  std::string event_begin_;
  const std::string event_end_;
};

// ---- completions ------------------------------------------------------------------------------

class CompletionFormat final : public OpenAiFormat {
 public:
  CompletionFormat(ReplyHead head, const CompletionFields& fields)
      : OpenAiFormat(std::move(head), fields.common, "text_completion", "text_completion"),
        logprobs_(fields.logprobs) {}

  [[nodiscard]] std::string piece(int index, std::string_view text,
                                  std::span<const ReplyToken> tokens) const override {
    if (!logprobs_)
      return text_event(R"({"text":)", text, R"(,"finish_reason":null,"index":)", index);
    return event({{"index", index},
                  {"text", text},
                  {"logprobs", logprobs_of(tokens)},
                  {"finish_reason", nullptr}});
  }

  [[nodiscard]] std::string ending(const Choice& choice) const override {
    return event({{"index", choice.index},
                  {"text", ""},
                  {"logprobs", nullptr},
                  {"finish_reason", finish_reason(choice.reason)}});
  }

 protected:
  [[nodiscard]] Json whole_choice(const Choice& choice) const override {
    return {{"index", choice.index},
            {"text", choice.text},
            {"logprobs", logprobs_of(choice.tokens)},
            {"finish_reason", finish_reason(choice.reason)}};
  }

 private:
  [[nodiscard]] Json logprobs_of(std::span<const ReplyToken> tokens) const {
    if (!logprobs_) return nullptr;
    Json names = Json::array();
    Json values = Json::array();
    Json tops = Json::array();
    Json offsets = Json::array();
    for (const ReplyToken& token : tokens) {
      names.push_back(token.bytes);
      values.push_back(token.has_logprob ? Json(token.logprob) : Json());
      tops.push_back(token.has_logprob ? top_of(token) : Json());
      offsets.push_back(token.text_offset);
    }
    return {{"tokens", std::move(names)},
            {"token_logprobs", std::move(values)},
            {"top_logprobs", std::move(tops)},
            {"text_offset", std::move(offsets)}};
  }

  [[nodiscard]] static Json top_of(const ReplyToken& token) {
    Json top = Json::object();
    for (const auto& [bytes, logprob] : token.top) {
      // Names of different tokens may look the same once they are valid UTF-8: the likelier stays.
      top.emplace(bytes, logprob);
    }
    top.emplace(token.bytes, token.logprob);
    return top;
  }

  const std::optional<int> logprobs_;
};

// ---- chat completions -------------------------------------------------------------------------

class ChatFormat final : public OpenAiFormat {
 public:
  ChatFormat(ReplyHead head, const ChatFields& fields)
      : OpenAiFormat(std::move(head), fields.common, "chat.completion", "chat.completion.chunk"),
        logprobs_(fields.logprobs) {}

  [[nodiscard]] bool strips_leading_space() const override { return true; }

  [[nodiscard]] std::string opening(int index) const override {
    return delta(index, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
  }

  [[nodiscard]] std::string piece(int index, std::string_view text,
                                  std::span<const ReplyToken> tokens) const override {
    if (!logprobs_) {
      return text_event(R"({"delta":{"content":)", text, R"(},"finish_reason":null,"index":)",
                        index);
    }
    return delta(index, {{"content", text}}, logprobs_of(tokens), nullptr);
  }

  [[nodiscard]] std::string ending(const Choice& choice) const override {
    return delta(choice.index, Json::object(), nullptr, finish_reason(choice.reason));
  }

 protected:
  [[nodiscard]] Json whole_choice(const Choice& choice) const override {
    return {{"index", choice.index},
            {"message", {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}}},
            {"logprobs", logprobs_of(choice.tokens)},
            {"finish_reason", finish_reason(choice.reason)}};
  }

 private:
  [[nodiscard]] std::string delta(int index, Json what, Json logprobs, Json reason) const {
    return event({{"index", index},
                  {"delta", std::move(what)},
                  {"logprobs", std::move(logprobs)},
                  {"finish_reason", std::move(reason)}});
  }

  [[nodiscard]] static Json entry(const std::string& bytes, float logprob) {
    Json values = Json::array();
    for (const char c : bytes) values.push_back(static_cast<unsigned char>(c));
    return {{"token", bytes}, {"logprob", logprob}, {"bytes", std::move(values)}};
  }

  [[nodiscard]] Json logprobs_of(std::span<const ReplyToken> tokens) const {
    if (!logprobs_) return nullptr;
    Json content = Json::array();
    for (const ReplyToken& token : tokens) {
      Json described = entry(token.bytes, token.logprob);
      described["top_logprobs"] = Json::array();
      for (const auto& [bytes, logprob] : token.top) {
        described["top_logprobs"].push_back(entry(bytes, logprob));
      }
      content.push_back(std::move(described));
    }
    return {{"content", std::move(content)}, {"refusal", nullptr}};
  }

  const bool logprobs_;
};

}  // namespace

std::string token_bytes(const engine::Tokenizer& tokenizer, engine::TokenId id) {
  using engine::ControlToken;
  const std::string_view bytes = tokenizer.bytes(id);
  if (!bytes.empty()) return std::string(bytes);
  for (const auto control : {ControlToken::end_of_sentence, ControlToken::begin_of_sentence,
                             ControlToken::fim_begin, ControlToken::fim_hole, ControlToken::fim_end,
                             ControlToken::user, ControlToken::assistant}) {
    if (tokenizer.control(control) == id) return std::string(tokenizer.control_text(control));
  }
  return "<token " + std::to_string(id) + ">";
}

std::unique_ptr<ReplyFormat> completion_format(ReplyHead head, const CompletionFields& fields) {
  return std::make_unique<CompletionFormat>(std::move(head), fields);
}

std::unique_ptr<ReplyFormat> chat_format(ReplyHead head, const ChatFields& fields) {
  return std::make_unique<ChatFormat>(std::move(head), fields);
}

}  // namespace caretd::daemon::api
