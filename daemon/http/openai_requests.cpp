// OpenAI's completions and chat completions.
// https://platform.openai.com/docs/api-reference
#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include "daemon/http/field_reading.h"
#include "daemon/http/requests.h"

namespace caretd::daemon::api {

namespace {

using lsp::Json;
using lsp::JsonPath;
using lsp::ObjectReader;

struct StreamOptions {
  bool include_usage = false;
};

bool read(const Json& json, StreamOptions& value, const JsonPath& path) {
  return static_cast<bool>(ObjectReader(json, path).optional("include_usage", value.include_usage));
}

bool is_list_of_ids(const Json& json) {
  return json.is_array() && !json.empty() && json.front().is_number();
}

bool read_prompt(const Json& json, RawPrompt& value, const JsonPath& path) {
  if (json.is_string()) return lsp::read(json, value.emplace<std::string>(), path);
  if (is_list_of_ids(json)) {
    return lsp::read(json, value.emplace<std::vector<engine::TokenId>>(), path);
  }
  return path.expected("a string or a list of token ids");
}

struct Prompts {
  std::vector<RawPrompt> all;
};

bool read(const Json& json, Prompts& value, const JsonPath& path) {
  if (json.is_string() || is_list_of_ids(json)) {
    return read_prompt(json, value.all.emplace_back(), path);
  }
  if (!json.is_array() || json.empty()) return path.expected("a string or a list of prompts");
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (!read_prompt(json[i], value.all.emplace_back(), path.element(i))) return false;
  }
  return true;
}

/// A string, or a list of parts that are all text.
struct Content {
  std::string text;
};

bool read(const Json& json, Content& value, const JsonPath& path) {
  if (json.is_string()) return lsp::read(json, value.text, path);
  if (!json.is_array()) return path.expected("a string or a list of text parts");
  for (std::size_t i = 0; i < json.size(); ++i) {
    std::string type;
    std::string text;
    const JsonPath at = path.element(i);
    if (!ObjectReader(json[i], at).required("type", type)) return false;
    if (type != "text") return at.field("type").expected("\"text\"; other parts are not supported");
    if (!ObjectReader(json[i], at).required("text", text)) return false;
    value.text += text;
  }
  return true;
}

struct Messages {
  std::vector<engine::ChatMessage> all;
};

bool read_role(const Json& json, engine::ChatRole& role, const JsonPath& path) {
  std::string name;
  if (!lsp::read(json, name, path)) return false;
  if (name == "user") {
    role = engine::ChatRole::user;
  } else if (name == "assistant") {
    role = engine::ChatRole::assistant;
  } else if (name == "system" || name == "developer") {
    role = engine::ChatRole::system;
  } else {
    return path.expected("one of system, developer, user, assistant; tools are not supported");
  }
  return true;
}

bool read_message(const Json& json, engine::ChatMessage& message, const JsonPath& path) {
  Json role;
  Content content;
  if (!ObjectReader(json, path).required("role", role).required("content", content)) return false;
  message.content = std::move(content.text);
  return read_role(role, message.role, path.field("role"));
}

bool read(const Json& json, Messages& value, const JsonPath& path) {
  if (!json.is_array()) return path.expected("an array");
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (!read_message(json[i], value.all.emplace_back(), path.element(i))) return false;
  }
  return true;
}

// Fields that would change the reply and cannot be honoured, unless they say what happens anyhow.
std::optional<ApiError> refuse_unsupported(const Json& body) {
  const auto says = [&body](const char* name, const auto& harmless) {
    const auto found = body.find(name);
    return found != body.end() && !found->is_null() && !harmless(*found);
  };
  const auto zero = [](const Json& value) { return value.is_number() && value == 0; };
  const auto empty = [](const Json& value) { return value.is_structured() && value.empty(); };
  const auto text = [](const Json& value) {
    return value.is_object() && value.value("type", Json()) == "text";
  };
  const auto only_text = [](const Json& value) { return value == Json::array({"text"}); };
  for (const char* name : {"presence_penalty", "frequency_penalty"}) {
    if (says(name, zero)) return unsupported_field(name, "Penalties are not supported.");
  }
  if (says("logit_bias", empty)) {
    return unsupported_field("logit_bias", "Biases are not supported.");
  }
  for (const char* name : {"tools", "functions"}) {
    if (says(name, empty)) return unsupported_field(name, "Tools are not supported.");
  }
  if (says("response_format", text)) {
    return unsupported_field("response_format", "Replies are plain text; ask for no other format.");
  }
  if (says("modalities", only_text)) {
    return unsupported_field("modalities", "Replies are text.");
  }
  return std::nullopt;
}

/// Checks what both endpoints have in common.
class CommonReader {
 public:
  CommonReader(const Json& body, CommonFields& fields) : body_(body), fields_(fields) {}

  void read_with(ObjectReader& reader) {
    fields_.sampling.temperature = 1.0F;
    read_sampling(reader, fields_.sampling, seed_, check_);
    reader.optional("model", fields_.model)
        .optional("max_tokens", fields_.max_tokens)
        .optional("stop", stop_)
        .optional("n", fields_.n)
        .optional("stream", fields_.stream)
        .optional("stream_options", options_)
        .optional("ignore_eos", fields_.ignore_eos);
  }

  [[nodiscard]] RangeCheck& check() { return check_; }

  /// After everything was read: what is wrong, if anything is.
  [[nodiscard]] std::optional<ApiError> finish() {
    check_.within("n", fields_.n, 1, kMostChoices);
    if (fields_.max_tokens == -1) fields_.max_tokens.reset();  // llama.cpp's "until it ends"
    check_.within("max_tokens", fields_.max_tokens, 0, kMostTokens);
    check_.stop_strings(stop_.strings);
    if (check_.fault()) return check_.fault();
    fields_.stop = std::move(stop_.strings);
    fields_.include_usage = options_.include_usage;
    if (seed_) fields_.seed = static_cast<std::uint64_t>(*seed_);
    return refuse_unsupported(body_);
  }

 private:
  const Json& body_;
  CommonFields& fields_;
  std::optional<std::int64_t> seed_;
  StopStrings stop_;
  StreamOptions options_;
  RangeCheck check_;
};

std::optional<ApiError> check_completion(const CompletionFields& fields,
                                         std::optional<int> best_of) {
  if (best_of && *best_of != fields.common.n) {
    return unsupported_field("best_of", "best_of is not supported; ask for n choices.");
  }
  if (fields.common.stream && fields.echo) {
    return unsupported_field("echo", "echo cannot be streamed.");
  }
  if (fields.suffix && fields.echo) {
    return invalid_field("echo", "echo and suffix exclude each other.");
  }
  const bool texts_only = std::ranges::all_of(fields.prompts, [](const auto& prompt) {
    return std::holds_alternative<std::string>(prompt);
  });
  if (fields.suffix && !texts_only) {
    return invalid_field("prompt", "With a suffix the prompt must be text.");
  }
  if (fields.prompts.size() * static_cast<std::size_t>(fields.common.n) >
      static_cast<std::size_t>(kMostChoices)) {
    return invalid_field("n", "Prompts times n are more than " + std::to_string(kMostChoices) +
                                  "; send several requests.");
  }
  if (fields.common.max_tokens.value_or(1) == 0 && !fields.echo) {
    return invalid_field("max_tokens", "max_tokens must be at least 1, unless echo is set.");
  }
  return std::nullopt;
}

}  // namespace

Parsed<CompletionFields> parse_completion(std::string_view text) {
  const auto body = parse_body(text);
  if (!body) return tl::unexpected(body.error());
  CompletionFields fields;
  std::string fault;
  const JsonPath path(fault);
  ObjectReader reader(*body, path);
  CommonReader common(*body, fields.common);
  Prompts prompts;
  std::optional<int> best_of;
  reader.required("prompt", prompts)
      .optional("suffix", fields.suffix)
      .optional("logprobs", fields.logprobs)
      .optional("echo", fields.echo)
      .optional("best_of", best_of)
      .optional("add_special_tokens", fields.add_special_tokens);
  common.read_with(reader);
  if (!reader) return tl::unexpected(malformed(fault));
  common.check().within("logprobs", fields.logprobs, 0, engine::kMaxTopLogprobs);
  if (auto wrong = common.finish()) return tl::unexpected(*std::move(wrong));
  fields.prompts = std::move(prompts.all);
  if (auto wrong = check_completion(fields, best_of)) return tl::unexpected(*std::move(wrong));
  return fields;
}

Parsed<ChatFields> parse_chat(std::string_view text) {
  const auto body = parse_body(text);
  if (!body) return tl::unexpected(body.error());
  ChatFields fields;
  std::string fault;
  const JsonPath path(fault);
  ObjectReader reader(*body, path);
  CommonReader common(*body, fields.common);
  Messages messages;
  std::optional<int> newer_limit;
  std::optional<int> predict;
  reader.required("messages", messages)
      .optional("logprobs", fields.logprobs)
      .optional("top_logprobs", fields.top_logprobs)
      .optional("max_completion_tokens", newer_limit)
      .optional("n_predict", predict);
  common.read_with(reader);
  if (!reader) return tl::unexpected(malformed(fault));
  common.check().within("top_logprobs", fields.top_logprobs, 0, engine::kMaxTopLogprobs);
  common.check().within("max_completion_tokens", newer_limit, 1, kMostTokens);
  common.check().within("n_predict", predict, -1, kMostTokens);
  if (auto wrong = common.finish()) return tl::unexpected(*std::move(wrong));
  if (messages.all.empty()) {
    return tl::unexpected(invalid_field("messages", "Send at least one message."));
  }
  if (fields.common.max_tokens == 0) {
    return tl::unexpected(invalid_field("max_tokens", "max_tokens must be at least 1."));
  }
  if (newer_limit) fields.common.max_tokens = newer_limit;
  if (!fields.common.max_tokens && predict.value_or(-1) >= 0) fields.common.max_tokens = predict;
  fields.messages = std::move(messages.all);
  return fields;
}

}  // namespace caretd::daemon::api
