#include "daemon/config/keys.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <numeric>
#include <type_traits>

#include <spdlog/fmt/fmt.h>

namespace caretd::daemon {

namespace {

constexpr double kMaxMebibytes = 16.0 * 1024 * 1024;

struct Range {
  double minimum = 0;
  double maximum = 0;
};

template <typename Section, typename Field>
Key make_key(std::string_view name, KeyScope scope, Section Settings::*section,
             Field Section::*field, std::string_view description, Range range = {},
             std::vector<std::string_view> choices = {}) {
  Key key;
  key.name = name;
  key.description = description;
  key.scope = scope;
  key.minimum = range.minimum;
  key.maximum = range.maximum;
  key.choices = std::move(choices);
  key.get = [=](const Settings& settings) { return SettingValue(settings.*section.*field); };
  key.set = [=](Settings& settings, const SettingValue& value) {
    settings.*section.*field = std::get<Field>(value);
  };
  return key;
}

/// Of a string that names a file or a folder; all of them are the machine's.
template <typename Section>
Key make_path_key(std::string_view name, Section Settings::*section, std::string Section::*field,
                  std::string_view description) {
  Key key = make_key(name, KeyScope::machine, section, field, description);
  key.path = true;
  return key;
}

Key with_items(Key key, std::string_view form, bool (*accepts)(std::string_view)) {
  key.item_form = form;
  key.accepts_item = accepts;
  return key;
}

void append(std::vector<Key>& keys, std::vector<Key> more) {
  std::move(more.begin(), more.end(), std::back_inserter(keys));
}

std::vector<Key> model_keys() {
  constexpr auto kMachine = KeyScope::machine;
  constexpr auto kModel = &Settings::model;
  constexpr auto kRemote = &Settings::remote;
  Key api_key = make_key("remote.api_key", kMachine, kRemote, &RemoteSettings::api_key,
                         "API key of the remote server. Better kept in remote.key_file or in "
                         "CARETD_REMOTE_API_KEY than on a command line.");
  api_key.secret = true;
  return {
      make_path_key("model.path", kModel, &ModelSettings::path,
                    "Folder of the model (config.json, tokenizer.json, safetensors). Empty: the "
                    "embedded model."),
      make_key("model.device", kMachine, kModel, &ModelSettings::device,
               "Where the model runs. auto takes a GPU where one is found and the model fits.", {},
               {"auto", "cpu", "cuda"}),
      make_key(
          "model.gpus", kMachine, kModel, &ModelSettings::gpus,
          "CUDA device to run on; this version uses one. Empty: the first that the model fits on.",
          {0, 63}),
      make_key("model.threads", kMachine, kModel, &ModelSettings::threads,
               "Threads of the CPU runner. 0: every core the process may use.", {0, 1024}),
      make_key("model.fim", kMachine, kModel, &ModelSettings::fim,
               "Whether completions see what is behind the cursor. auto: where the model has the "
               "tokens for it and was trained to fill in the middle, which the models of 236 "
               "billion parameters were not; on: where it has the tokens.",
               {}, {"auto", "on", "off"}),
      make_key("model.precise", kMachine, kModel, &ModelSettings::precise,
               "Compute in float32 even where a faster path that rounds is available."),
      make_key("model.kv_mebibytes", kMachine, kModel, &ModelSettings::kv_mebibytes,
               "Memory for the KV cache, in MiB; of main memory no more than is free.",
               {16, kMaxMebibytes}),
      make_key("model.host_kv_mebibytes", kMachine, kModel, &ModelSettings::host_kv_mebibytes,
               "Host memory for KV pages evicted from the GPU, in MiB. 0: none.",
               {0, kMaxMebibytes}),
      make_key("remote.url", kMachine, kRemote, &RemoteSettings::url,
               "Base URL of an OpenAI-compatible server to use instead of a local model. Prompts "
               "are then sent to it."),
      make_key("remote.model", kMachine, kRemote, &RemoteSettings::model,
               "Name of the model on the remote server. Empty: the first it lists."),
      std::move(api_key),
      make_path_key("remote.key_file", kRemote, &RemoteSettings::key_file,
                    "File whose first line is the API key of the remote server."),
      make_path_key("remote.ca_file", kRemote, &RemoteSettings::ca_file,
                    "Certificates to trust instead of the system's (PEM)."),
      make_key("remote.fim", kMachine, kRemote, &RemoteSettings::fim,
               "How the remote server fills in the middle: with the field suffix, with a raw "
               "prompt of remote.fim_tokens, not at all (off), or auto: suffix until the server "
               "refuses it.",
               {}, {"auto", "suffix", "raw", "off"}),
      make_key("remote.fim_tokens", kMachine, kRemote, &RemoteSettings::fim_tokens,
               "The tokens of the remote model in front of the prefix, in front of the suffix and "
               "in front of the middle."),
      make_path_key(
          "remote.tokenizer", kRemote, &RemoteSettings::tokenizer,
          "Folder with the remote model's tokenizer.json, for prompts of exact length. Empty: "
          "lengths are estimated."),
      make_key("remote.timeout_s", kMachine, kRemote, &RemoteSettings::timeout_s,
               "Seconds without an answer, or without a further byte, after which a remote request "
               "has failed.",
               {1, 3600}),
  };
}

std::vector<Key> completion_keys() {
  constexpr auto kProject = KeyScope::project;
  constexpr auto kCompletion = &Settings::completion;
  constexpr auto kContext = &Settings::context;
  return {
      make_key("completion.enabled", kProject, kCompletion, &CompletionSettings::enabled,
               "Answer completion requests at all."),
      make_key("completion.disabled_languages", kProject, kCompletion,
               &CompletionSettings::disabled_languages,
               "LSP language identifiers for which completions are off."),
      make_key("completion.in_comments", kProject, kCompletion, &CompletionSettings::in_comments,
               "Complete inside comments."),
      make_key("completion.multiline", kProject, kCompletion, &CompletionSettings::multiline,
               "Suggest several lines where the syntax calls for them."),
      make_key(
          "completion.prompt_tokens", kProject, kCompletion, &CompletionSettings::prompt_tokens,
          "Longest prompt of a completion, in tokens; cut to the model's window.", {64, 163840}),
      make_key("completion.max_tokens", kProject, kCompletion, &CompletionSettings::max_tokens,
               "Longest completion, in tokens.", {1, 2048}),
      make_key("completion.time_budget_ms", kProject, kCompletion,
               &CompletionSettings::time_budget_ms,
               "Milliseconds after which a completion ends with what it has.", {10, 60000}),
      make_key("completion.min_probability", kProject, kCompletion,
               &CompletionSettings::min_probability,
               "A completion that nobody asked for ends before the joint probability of its tokens "
               "falls "
               "below this. 0: no gate.",
               {0, 1}),
      with_items(
          make_key("completion.language_min_probability", kProject, kCompletion,
                   &CompletionSettings::language_min_probability,
                   "The same for single languages, in place of completion.min_probability."),
          "LANGUAGE=PROBABILITY",
          [](std::string_view item) { return parse_language_probability(item).has_value(); }),
      make_key("context.related_code", kProject, kContext, &ContextSettings::related_code,
               "Put related code from other open files into the prompt."),
      make_key("context.ignore", kProject, kContext, &ContextSettings::ignore,
               "Globs of files that are never completed and never used as context."),
      make_key("context.respect_gitignore", kProject, kContext, &ContextSettings::respect_gitignore,
               "Treat what .gitignore names as ignored; .caretignore always counts."),
  };
}

std::vector<Key> chat_keys() {
  constexpr auto kChat = &Settings::chat;
  return {
      make_path_key(
          "chat.model", kChat, &ChatSettings::model,
          "Folder of a model for chat and code actions. Empty: the one that completes. Two "
          "local models share model.kv_mebibytes and model.host_kv_mebibytes, half each."),
      make_key("chat.max_tokens", KeyScope::project, kChat, &ChatSettings::max_tokens,
               "Longest reply, in tokens; at most half of the model's window.", {1, 16384}),
      make_key("chat.temperature", KeyScope::project, kChat, &ChatSettings::temperature,
               "How freely replies are worded. 0: always the likeliest token.", {0, 2}),
      make_key("chat.top_p", KeyScope::project, kChat, &ChatSettings::top_p,
               "Share of the probability that the tokens of a reply are chosen from.", {0.01, 1}),
  };
}

std::vector<Key> daemon_keys() {
  constexpr auto kMachine = KeyScope::machine;
  constexpr auto kDaemon = &Settings::daemon;
  constexpr auto kListen = &Settings::listen;
  constexpr auto kLog = &Settings::log;
  return {
      make_key(
          "daemon.idle_unload_minutes", kMachine, kDaemon, &DaemonSettings::idle_unload_minutes,
          "Minutes without a request after which the weights leave memory. 0: never.", {0, 10080}),
      make_key("daemon.exit_after_minutes", kMachine, kDaemon, &DaemonSettings::exit_after_minutes,
               "Minutes without a session after which the daemon exits. 0: never.", {0, 10080}),
      make_key("daemon.max_sessions", kMachine, kDaemon, &DaemonSettings::max_sessions,
               "Editor sessions served at once.", {1, 4096}),
      make_key("daemon.max_requests_per_session", kMachine, kDaemon,
               &DaemonSettings::max_requests_per_session,
               "Requests of one session that may be unanswered at once.", {1, 4096}),
      make_key(
          "daemon.max_open_mebibytes_per_session", kMachine, kDaemon,
          &DaemonSettings::max_open_mebibytes_per_session,
          "Text of one session's open documents, in MiB; documents beyond it are not completed.",
          {1, 65536}),
      make_key("listen.address", kMachine, kListen, &ListenSettings::address,
               "host:port on which `caretd lsp --connect` reaches this daemon. Empty: none."),
      make_path_key("listen.certificate", kListen, &ListenSettings::certificate,
                    "TLS certificate chain of the listener (PEM)."),
      make_path_key("listen.key", kListen, &ListenSettings::key,
                    "TLS private key of the listener (PEM)."),
      make_path_key("listen.token_file", kListen, &ListenSettings::token_file,
                    "File whose first line is the token that a connecting relay must present."),
      make_key("log.level", kMachine, kLog, &LogSettings::level, "What is logged.", {},
               {"trace", "debug", "info", "warn", "error", "off"}),
      make_key("log.max_mebibytes", kMachine, kLog, &LogSettings::max_mebibytes,
               "Size at which the daemon's log file is rotated, in MiB.", {1, 1024}),
      make_key("log.files", kMachine, kLog, &LogSettings::files, "Rotated log files that are kept.",
               {1, 100}),
  };
}

std::vector<Key> http_keys() {
  constexpr auto kMachine = KeyScope::machine;
  constexpr auto kHttp = &Settings::http;
  Key api_key = make_key("http.api_key", kMachine, kHttp, &HttpSettings::api_key,
                         "Key that HTTP clients must send. Better kept in http.api_key_file or in "
                         "CARETD_HTTP_API_KEY than on a command line.");
  api_key.secret = true;
  return {
      make_key("http.address", kMachine, kHttp, &HttpSettings::address,
               "host:port of the HTTP API in the daemon. Empty: none there, and 127.0.0.1:8012 for "
               "`caretd serve`."),
      make_path_key("http.certificate", kHttp, &HttpSettings::certificate,
                    "TLS certificate chain of the HTTP API (PEM)."),
      make_path_key("http.key", kHttp, &HttpSettings::key,
                    "TLS private key of the HTTP API (PEM)."),
      std::move(api_key),
      make_path_key("http.api_key_file", kHttp, &HttpSettings::api_key_file,
                    "File whose first line is the key that HTTP clients must send."),
      make_key("http.max_connections", kMachine, kHttp, &HttpSettings::max_connections,
               "HTTP connections served at once.", {1, 16384}),
      make_key("http.max_body_mebibytes", kMachine, kHttp, &HttpSettings::max_body_mebibytes,
               "Largest body of an HTTP request, in MiB.", {1, 1024}),
      make_key(
          "http.timeout_s", kMachine, kHttp, &HttpSettings::timeout_s,
          "Seconds an HTTP client has to send a request, or to take a further part of a reply.",
          {1, 3600}),
  };
}

/// Levenshtein distance.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j + 1] + 1, row[j] + 1, substituted});
    }
  }
  return row.back();
}

std::string range_text(const Key& key) {
  return fmt::format(" from {} to {}", key.minimum, key.maximum);
}

template <typename Number>
bool in_range(const Key& key, Number value) {
  const auto number = static_cast<double>(value);
  return number >= key.minimum && number <= key.maximum;
}

bool acceptable(const Key& key, const SettingValue& value) {
  return std::visit(
      [&key](const auto& held) {
        using Type = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Type, std::int64_t> || std::is_same_v<Type, double>) {
          return in_range(key, held);
        } else if constexpr (std::is_same_v<Type, std::vector<std::int64_t>>) {
          return std::all_of(held.begin(), held.end(), [&](auto v) { return in_range(key, v); });
        } else if constexpr (std::is_same_v<Type, std::vector<std::string>>) {
          return key.accepts_item == nullptr ||
                 std::all_of(held.begin(), held.end(), key.accepts_item);
        } else if constexpr (std::is_same_v<Type, std::string>) {
          return key.choices.empty() ||
                 std::find(key.choices.begin(), key.choices.end(), held) != key.choices.end();
        } else {
          return true;
        }
      },
      value);
}

std::vector<std::string_view> split_list(std::string_view text) {
  std::vector<std::string_view> items;
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    if (end > 0) items.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return items;
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<SettingValue> parse_as(const SettingValue& like, std::string_view text) {
  if (std::holds_alternative<bool>(like)) {
    if (text == "true" || text == "1" || text == "on") return SettingValue(true);
    if (text == "false" || text == "0" || text == "off") return SettingValue(false);
    return std::nullopt;
  }
  if (std::holds_alternative<std::int64_t>(like)) return parse_number<std::int64_t>(text);
  if (std::holds_alternative<double>(like)) return parse_number<double>(text);
  if (std::holds_alternative<std::string>(like)) return SettingValue(std::string(text));
  if (std::holds_alternative<std::vector<std::string>>(like)) {
    std::vector<std::string> items;
    for (const auto item : split_list(text)) items.emplace_back(item);
    return SettingValue(std::move(items));
  }
  std::vector<std::int64_t> numbers;
  for (const auto item : split_list(text)) {
    const auto number = parse_number<std::int64_t>(item);
    if (!number) return std::nullopt;
    numbers.push_back(*number);
  }
  return SettingValue(std::move(numbers));
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      result += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return result + '"';
}

template <typename Items, typename Write>
std::string list_of(const Items& items, Write write) {
  std::string text = "[";
  for (const auto& item : items) text += (text.size() > 1 ? ", " : "") + write(item);
  return text + ']';
}

}  // namespace

std::span<const Key> all_keys() {
  static const std::vector<Key> keys = [] {
    std::vector<Key> all = model_keys();
    append(all, completion_keys());
    append(all, chat_keys());
    append(all, daemon_keys());
    append(all, http_keys());
    return all;
  }();
  return keys;
}

const Key* find_key(std::string_view name) {
  const auto keys = all_keys();
  const auto found =
      std::find_if(keys.begin(), keys.end(), [name](const Key& key) { return key.name == name; });
  return found == keys.end() ? nullptr : &*found;
}

bool concerns_process(std::string_view name) {
  constexpr std::array<std::string_view, 4> kSections{"daemon", "listen", "http", "log"};
  return std::ranges::find(kSections, name.substr(0, name.find('.'))) != kSections.end();
}

std::optional<std::string_view> nearest_key(std::string_view name) {
  constexpr size_t kLongestName = 100;
  if (name.size() > kLongestName) return std::nullopt;
  std::optional<std::string_view> best;
  size_t best_distance = std::max<size_t>(3, name.size() / 3) + 1;
  for (const Key& key : all_keys()) {
    // "max_tokens" without its section is as likely a mistake as a misspelt letter.
    const auto bare = key.name.substr(key.name.find('.') + 1);
    const size_t distance = std::min(edit_distance(name, key.name), edit_distance(name, bare) + 1);
    if (distance < best_distance) {
      best_distance = distance;
      best = key.name;
    }
  }
  return best;
}

std::string expectation(const Key& key) {
  const SettingValue like = key.get(Settings{});
  if (std::holds_alternative<bool>(like)) return "true or false";
  if (std::holds_alternative<std::int64_t>(like)) return "a whole number" + range_text(key);
  if (std::holds_alternative<double>(like)) return "a number" + range_text(key);
  if (std::holds_alternative<std::vector<std::string>>(like)) {
    return fmt::format("a list of {}", key.item_form.empty() ? "strings" : key.item_form);
  }
  if (std::holds_alternative<std::vector<std::int64_t>>(like)) {
    return "a list of whole numbers" + range_text(key);
  }
  return key.choices.empty() ? "a string" : fmt::format("one of {}", fmt::join(key.choices, ", "));
}

Result<SettingValue> validated(const Key& key, SettingValue value) {
  const SettingValue like = key.get(Settings{});
  if (std::holds_alternative<double>(like) && std::holds_alternative<std::int64_t>(value)) {
    value = static_cast<double>(std::get<std::int64_t>(value));
  }
  // An empty list has no element to tell its type by.
  if (std::holds_alternative<std::vector<std::int64_t>>(like) &&
      std::holds_alternative<std::vector<std::string>>(value) &&
      std::get<std::vector<std::string>>(value).empty()) {
    value = std::vector<std::int64_t>{};
  }
  if (value.index() != like.index() || !acceptable(key, value)) {
    return fail(ErrorKind::invalid_input,
                fmt::format("{} must be {}, not {}", key.name, expectation(key),
                            key.secret ? "what was given" : to_toml(value)));
  }
  return value;
}

Result<SettingValue> parse_value(const Key& key, std::string_view text) {
  auto value = parse_as(key.get(Settings{}), text);
  if (!value) {
    return fail(ErrorKind::invalid_input,
                fmt::format("{} must be {}, not '{}'", key.name, expectation(key),
                            key.secret ? "what was given" : text));
  }
  return validated(key, *std::move(value));
}

std::string to_toml(const SettingValue& value) {
  return std::visit(
      [](const auto& held) -> std::string {
        using Type = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Type, bool>) {
          return held ? "true" : "false";
        } else if constexpr (std::is_same_v<Type, std::string>) {
          return quoted(held);
        } else if constexpr (std::is_same_v<Type, std::vector<std::string>>) {
          return list_of(held, quoted);
        } else if constexpr (std::is_same_v<Type, std::vector<std::int64_t>>) {
          return list_of(held, [](std::int64_t item) { return std::to_string(item); });
        } else {
          return fmt::format("{}", held);
        }
      },
      value);
}

std::string keys_table() {
  const Settings defaults;
  std::string table =
      "| key | default | values | project file | what it does |\n|---|---|---|---|---|\n";
  for (const Key& key : all_keys()) {
    table += fmt::format("| `{}` | `{}` | {} | {} | {} |\n", key.name, to_toml(key.get(defaults)),
                         expectation(key), key.scope == KeyScope::project ? "yes" : "no",
                         key.description);
  }
  return table;
}

std::optional<LanguageProbability> parse_language_probability(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return std::nullopt;
  const auto number = parse_number<double>(text.substr(equals + 1));
  if (!number || !(*number >= 0 && *number <= 1)) return std::nullopt;
  return LanguageProbability{std::string(text.substr(0, equals)), *number};
}

std::string environment_name(const Key& key) {
  std::string name = "CARETD_";
  for (const char c : key.name) {
    name += c == '.' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  }
  return name;
}

}  // namespace caretd::daemon
