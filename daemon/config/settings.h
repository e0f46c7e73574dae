// Every setting of caretd with its default. config/keys.cpp gives each a name, a range and a
// description; docs/configuration.md is printed from there.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace caretd::daemon {

/// What decides which engine a session uses. Sessions with equal values share one engine.
struct ModelSettings {
  std::string path;                ///< model folder; empty: the embedded model
  std::string device = "auto";     ///< auto, cpu, cuda
  std::vector<std::int64_t> gpus;  ///< CUDA ordinals; empty: the first that will do
  std::int64_t threads = 0;        ///< CPU runner; 0: every core the process may use
  std::string fim = "auto";        ///< auto, on, off
  bool precise = false;            ///< float32 arithmetic throughout
  std::string cpu_isa;             ///< RunnerOptions::cpu_isa; no key sets it, `caretd bench` does
  std::int64_t kv_mebibytes = 256;
  std::int64_t host_kv_mebibytes = 0;
  bool operator==(const ModelSettings&) const = default;
};

/// An engine over the OpenAI-compatible API of another server; used when `url` is not empty.
struct RemoteSettings {
  std::string url;
  std::string model;
  std::string api_key;
  std::string key_file;
  std::string ca_file;       ///< empty: the system's certificates
  std::string fim = "auto";  ///< auto, suffix, raw, off
  std::vector<std::string> fim_tokens = {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"};
  std::string tokenizer;        ///< folder with the model's tokenizer.json; may be empty
  std::int64_t timeout_s = 30;  ///< without a byte from the server
  bool operator==(const RemoteSettings&) const = default;
};

struct CompletionSettings {
  bool enabled = true;
  std::vector<std::string> disabled_languages;
  bool in_comments = true;
  bool multiline = true;
  std::int64_t prompt_tokens = 1024;
  std::int64_t max_tokens = 64;
  std::int64_t time_budget_ms = 2000;
  double min_probability = 0.5;
  std::vector<std::string> language_min_probability;  ///< "languageId=probability"
};

/// Which model chats and edits, and how.
struct ChatSettings {
  std::string model;  ///< folder; empty: the model that completes
  std::int64_t max_tokens = 512;
  double temperature = 0.3;
  double top_p = 0.95;
};

struct ContextSettings {
  bool related_code = true;
  std::vector<std::string> ignore;
  bool respect_gitignore = true;
};

struct DaemonSettings {
  double idle_unload_minutes = 30;
  double exit_after_minutes = 0;
  std::int64_t max_sessions = 64;
  std::int64_t max_requests_per_session = 64;
  std::int64_t max_open_mebibytes_per_session = 256;
};

/// Where other machines reach the daemon. Nothing listens while `address` is empty.
struct ListenSettings {
  std::string address;
  std::string certificate;
  std::string key;
  std::string token_file;
};

/// The HTTP API (caretd serve; in the daemon too, unless `address` is empty).
struct HttpSettings {
  std::string address;
  std::string certificate;
  std::string key;
  std::string api_key;
  std::string api_key_file;
  std::int64_t max_connections = 256;
  std::int64_t max_body_mebibytes = 8;
  std::int64_t timeout_s = 30;
};

struct LogSettings {
  std::string level = "info";
  std::int64_t max_mebibytes = 5;
  std::int64_t files = 3;
};

struct Settings {
  ModelSettings model;
  RemoteSettings remote;
  CompletionSettings completion;
  ChatSettings chat;
  ContextSettings context;
  DaemonSettings daemon;
  ListenSettings listen;
  HttpSettings http;
  LogSettings log;
};

}  // namespace caretd::daemon
