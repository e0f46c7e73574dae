// The bodies that clients send, as typed values: OpenAI's completions and chat completions,
// llama.cpp's infill. Parsing is pure and never throws; docs/api.md lists every field.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/http/api_error.h"
#include "engine/engine.h"

namespace caretd::daemon::api {

inline constexpr int kMostChoices = 128;  ///< prompts times n
inline constexpr int kMostInfillChoices = 16;
inline constexpr int kMostStopStrings = 16;  ///< OpenAI takes 4, editors send more
inline constexpr int kMostStopBytes = 1024;  ///< each
inline constexpr int kMostTokens = 1 << 20;  ///< of max_tokens, before the context cuts it
inline constexpr int kDefaultCompletionTokens = 16;
inline constexpr int kDefaultInfillTokens = 128;

/// What all generations have in common.
struct CommonFields {
  std::string model;                  ///< one that the server lists; any other means its default
  engine::Sampling sampling;          ///< without a seed
  std::optional<std::uint64_t> seed;  ///< absent: every reply differs
  std::optional<int> max_tokens;      ///< absent: the endpoint's default
  std::vector<std::string> stop;
  int n = 1;  ///< choices for each prompt
  bool stream = false;
  bool include_usage = false;  ///< a last event with the usage (stream_options)
  bool ignore_eos = false;     ///< goes on behind the end of the sentence
};

/// Text, in which control tokens are written out, or token ids.
using RawPrompt = std::variant<std::string, std::vector<engine::TokenId>>;

struct CompletionFields {
  CommonFields common;
  std::vector<RawPrompt> prompts;     ///< at least one
  std::optional<std::string> suffix;  ///< present: fill in the middle
  std::optional<int> logprobs;        ///< how many alternatives for each token
  bool echo = false;
  bool add_special_tokens = true;  ///< begin a text prompt with begin-of-sentence
};

struct ChatFields {
  CommonFields common;  ///< `max_tokens` 0 (llama.cpp's `n_predict`) only warms the cache
  std::vector<engine::ChatMessage> messages;  ///< at least one
  bool logprobs = false;
  int top_logprobs = 0;
};

/// A piece of another file.
struct ExtraContext {
  std::string filename;
  std::string text;
};

struct InfillFields {
  CommonFields common;  ///< `n_cmpl`, `n_predict` (0 only warms the cache)
  std::string prefix;
  std::string suffix;
  std::string typed;  ///< `prompt`: the line in front of the cursor
  std::vector<ExtraContext> extra;
  std::optional<std::chrono::milliseconds> time_limit;  ///< `t_max_predict_ms`
  /// Paths into the reply ("timings/prompt_n"); absent: all of it.
  std::optional<std::vector<std::string>> response_fields;

  /// The longest answer.
  [[nodiscard]] int answer_tokens() const {
    return common.max_tokens.value_or(kDefaultInfillTokens);
  }
};

[[nodiscard]] Parsed<CompletionFields> parse_completion(std::string_view body);
[[nodiscard]] Parsed<ChatFields> parse_chat(std::string_view body);
[[nodiscard]] Parsed<InfillFields> parse_infill(std::string_view body);

}  // namespace caretd::daemon::api
