// What is said to an OpenAI-compatible server and how its answers are read. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/config/settings.h"
#include "engine/engine.h"
#include "support/result.h"

namespace caretd::daemon {

/// A prompt as text.
struct RemotePrompt {
  std::string before;                 ///< up to the cursor
  std::optional<std::string> suffix;  ///< behind the hole; absent: plain continuation
  std::string typed;                  ///< the part of `before` that the model knows as the middle
};

/// `tokenizer` may be null; then a prompt with token ids is ErrorKind::unsupported.
[[nodiscard]] Result<RemotePrompt> to_remote_prompt(const engine::GenerationRequest& request,
                                                    const engine::Tokenizer* tokenizer);

/// What a server is known to understand. Starts hopeful; learn_from() takes back what it refuses.
struct RemoteFeatures {
  bool suffix = true;
  bool usage = true;  ///< stream_options
  bool logprobs = true;
};

/// The features a refusal takes away, by what its message names; false if it names none of them.
[[nodiscard]] bool learn_from(RemoteFeatures& features, const RemoteSettings& settings, int status,
                              std::string_view message);

/// The body of POST /v1/completions.
[[nodiscard]] std::string completion_body(const engine::GenerationRequest& request,
                                          const RemotePrompt& prompt,
                                          const RemoteFeatures& features,
                                          const RemoteSettings& settings, const std::string& model);

/// One event of the stream, or the whole of an answer that is none.
struct RemoteChunk {
  std::string text;
  std::optional<float> logprob;  ///< of all of the chunk's tokens together
  int tokens = 0;                ///< as far as logprobs tell; else 0
  std::string finish_reason;     ///< empty while it goes on
  std::optional<int> prompt_tokens;
  std::optional<int> generated_tokens;
  std::optional<int> cached_tokens;
  std::string error;  ///< not empty: the server failed in mid-stream
};
[[nodiscard]] Result<RemoteChunk> read_chunk(std::string_view json);

/// The message of an error reply, whatever its form; the beginning of the text if it has none.
[[nodiscard]] std::string error_message(std::string_view body);
/// What a status says to the user of an editor.
[[nodiscard]] Error error_of(int status, std::string_view body, const std::string& host);

/// An entry of GET /v1/models.
struct RemoteModel {
  std::string name;
  std::string owner;       ///< "vllm", "sglang", "llamacpp", "caretd", ...
  int context_tokens = 0;  ///< 0 where the server does not say
};
/// The model of that name, or the first one where `wanted` is empty.
[[nodiscard]] Result<RemoteModel> read_models(std::string_view json, const std::string& wanted);
/// What is known of a server by its name; the setting goes before it.
[[nodiscard]] RemoteFeatures features_for(const RemoteModel& model, const RemoteSettings& settings);

/// "https://box:8000" becomes "https://box:8000/v1"; a URL with a path is taken as it is. An Error
/// for anything that is no HTTP URL.
[[nodiscard]] Result<std::string> base_url(const std::string& url);
/// "https://box:8000": what status bars show.
[[nodiscard]] std::string host_of(const std::string& url);

}  // namespace caretd::daemon
