#include "daemon/remote/remote_protocol.h"

#include <algorithm>
#include <array>

#include "lsp/protocol/json.h"

namespace caretd::daemon {

namespace {

using lsp::Json;

constexpr std::size_t kMostErrorBytes = 300;
constexpr std::size_t kMostStops = 4;  // what OpenAI takes; the rest is looked for here

/// Text of a document must not read as one of the tokens that stand around it.
std::string without(std::string text, const std::vector<std::string>& tokens) {
  for (const std::string& token : tokens) {
    if (token.empty()) continue;
    for (std::size_t at = text.find(token); at != std::string::npos;) {
      text.erase(at, token.size());
      // What stood around it may make another one.
      at = text.find(token, at - std::min(at, token.size()));
    }
  }
  return text;
}

std::string raw_prompt(const RemotePrompt& prompt, const std::vector<std::string>& tokens) {
  if (!prompt.suffix || tokens.size() != 3) return prompt.before;
  const std::size_t prefix = prompt.before.size() - prompt.typed.size();
  return tokens[0] + without(prompt.before.substr(0, prefix), tokens) + tokens[1] +
         without(*prompt.suffix, tokens) + tokens[2] + without(prompt.typed, tokens);
}

std::string string_at(const Json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<int> count_of(const Json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  const double value = found->get<double>();
  if (!(value >= 0 && value <= 1e9)) return std::nullopt;
  return static_cast<int>(value);
}

const Json& member(const Json& object, const char* key) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(key);
  return found == object.end() ? kNothing : *found;
}

void add_logprob(RemoteChunk& chunk, const Json& value) {
  if (!value.is_number()) return;
  chunk.logprob = chunk.logprob.value_or(0.0F) + value.get<float>();
  ++chunk.tokens;
}

/// The form of completions, and that of chat completions, which llama.cpp uses for both.
void read_logprobs(const Json& logprobs, RemoteChunk& chunk) {
  const Json& values = member(logprobs, "token_logprobs");
  if (values.is_array()) {
    for (const Json& value : values) add_logprob(chunk, value);
  }
  const Json& content = member(logprobs, "content");
  if (content.is_array()) {
    for (const Json& entry : content) add_logprob(chunk, member(entry, "logprob"));
  }
}

void read_usage(const Json& usage, RemoteChunk& chunk) {
  chunk.prompt_tokens = count_of(usage, "prompt_tokens");
  chunk.generated_tokens = count_of(usage, "completion_tokens");
  chunk.cached_tokens = count_of(member(usage, "prompt_tokens_details"), "cached_tokens");
}

}  // namespace

bool learn_from(RemoteFeatures& features, const RemoteSettings& settings, int status,
                std::string_view message) {
  if (status != 400 && status != 404 && status != 422 && status != 501) return false;
  const RemoteFeatures before = features;
  const auto names = [message](std::string_view word) {
    return message.find(word) != std::string_view::npos;
  };
  if (names("suffix") && settings.fim == "auto") features.suffix = false;
  if (names("stream_options") || names("include_usage")) features.usage = false;
  if (names("logprobs")) features.logprobs = false;
  return features.suffix != before.suffix || features.usage != before.usage ||
         features.logprobs != before.logprobs;
}

std::string completion_body(const engine::GenerationRequest& request, const RemotePrompt& prompt,
                            const RemoteFeatures& features, const RemoteSettings& settings,
                            const std::string& model) {
  Json body{{"model", model},
            {"max_tokens", request.max_tokens},
            {"temperature", request.sampling.temperature},
            {"top_p", request.sampling.top_p},
            {"stream", true}};
  if (request.sampling.top_k > 0) body["top_k"] = request.sampling.top_k;
  if (request.sampling.temperature > 0) {
    body["seed"] = request.sampling.seed & 0x7FFFFFFF;  // what every server can hold
  }
  if (!request.stop.empty()) {
    const auto count = static_cast<std::ptrdiff_t>(std::min(request.stop.size(), kMostStops));
    body["stop"] = std::vector<std::string>(request.stop.begin(), request.stop.begin() + count);
  }
  if (!request.stop_at_end_of_sentence) body["ignore_eos"] = true;
  if (features.usage) body["stream_options"] = {{"include_usage", true}};
  if (features.logprobs) body["logprobs"] = 1;
  if (prompt.suffix && features.suffix) {
    body["prompt"] = prompt.before;
    body["suffix"] = *prompt.suffix;
  } else {
    body["prompt"] = raw_prompt(prompt, settings.fim_tokens);
  }
  return lsp::to_string(body);
}

Result<RemoteChunk> read_chunk(std::string_view text) {
  const auto json = lsp::parse_json(text);
  if (!json || !json->is_object()) {
    return fail(ErrorKind::io, "the remote server sent something that is no completion");
  }
  RemoteChunk chunk;
  if (json->contains("error") && !member(*json, "error").is_null()) {
    chunk.error = error_message(text);
    return chunk;
  }
  read_usage(member(*json, "usage"), chunk);
  const Json& choices = member(*json, "choices");
  if (!choices.is_array() || choices.empty()) return chunk;
  const Json& choice = choices.front();
  chunk.text = string_at(choice, "text");
  chunk.finish_reason = string_at(choice, "finish_reason");
  read_logprobs(member(choice, "logprobs"), chunk);
  return chunk;
}

std::string error_message(std::string_view body) {
  const auto json = lsp::parse_json(body);
  if (json && json->is_object()) {
    const Json& error = member(*json, "error");
    for (const std::string& text : {string_at(error, "message"), string_at(*json, "error"),
                                    string_at(*json, "message"), string_at(*json, "detail")}) {
      if (!text.empty()) return text.substr(0, kMostErrorBytes);
    }
    return {};  // the rest may quote the request, and errors are logged
  }
  return std::string(body.substr(0, std::min(body.find('\n'), kMostErrorBytes)));
}

Error error_of(int status, std::string_view body, const std::string& host) {
  std::string said = error_message(body);
  if (!said.empty()) said.insert(0, ": ");
  const std::string server = "the remote server " + host;
  switch (status) {
    case 401:
    case 403:
      return {ErrorKind::invalid_input, server + " refuses the API key (remote.key_file)" + said};
    case 404:
      return {ErrorKind::not_found, server +
                                        " does not know the model or the path (remote.url, "
                                        "remote.model)" +
                                        said};
    case 429:
    case 503:
      return {ErrorKind::unavailable, server + " is busy" + said};
    default:
      return {status < 500 ? ErrorKind::invalid_input : ErrorKind::io,
              server + " answered " + std::to_string(status) + said};
  }
}

Result<RemoteModel> read_models(std::string_view text, const std::string& wanted) {
  const auto json = lsp::parse_json(text);
  const Json nothing;
  const Json& list = json ? member(*json, "data") : nothing;
  if (!list.is_array()) return fail(ErrorKind::io, "its list of models cannot be read");
  for (const Json& entry : list) {
    RemoteModel model{string_at(entry, "id"), string_at(entry, "owned_by"), 0};
    if (model.name.empty() || (!wanted.empty() && model.name != wanted)) continue;
    const Json& meta = member(entry, "meta");
    for (const auto& count : {count_of(entry, "max_model_len"), count_of(entry, "context_length"),
                              count_of(meta, "n_ctx"), count_of(meta, "n_ctx_train")}) {
      if (count && model.context_tokens == 0) model.context_tokens = *count;
    }
    return model;
  }
  if (wanted.empty()) return fail(ErrorKind::not_found, "it offers no model");
  return fail(ErrorKind::not_found, "it offers no model named " + wanted + " (remote.model)");
}

RemoteFeatures features_for(const RemoteModel& model, const RemoteSettings& settings) {
  constexpr std::array<std::string_view, 3> kPassOverSuffix = {"llamacpp", "sglang", "vllm"};
  RemoteFeatures features;
  features.suffix = settings.fim != "raw";
  if (settings.fim == "auto" &&
      std::ranges::find(kPassOverSuffix, model.owner) != kPassOverSuffix.end()) {
    features.suffix = false;
  }
  return features;
}

Result<std::string> base_url(const std::string& url) {
  const std::size_t scheme = url.find("://");
  const bool http = url.starts_with("http://") || url.starts_with("https://");
  if (!http || scheme + 3 >= url.size()) {
    return fail(ErrorKind::invalid_input,
                "remote.url must begin with http:// or https:// and name a host");
  }
  std::string base = url;
  while (base.ends_with('/')) base.pop_back();
  if (base.find('/', scheme + 3) == std::string::npos) base += "/v1";
  return base;
}

std::string host_of(const std::string& url) {
  const std::size_t begin = url.find("://");
  const std::size_t host = begin == std::string::npos ? 0 : begin + 3;
  const std::size_t end = std::min(url.find('/', host), url.size());
  // User and password of a URL are nobody's business.
  const std::size_t at = url.substr(0, end).rfind('@');
  const std::size_t name = at == std::string::npos || at < host ? host : at + 1;
  return url.substr(0, host) + url.substr(name, end - name);
}

}  // namespace caretd::daemon
