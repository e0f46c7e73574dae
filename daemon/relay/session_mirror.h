// What a relay remembers of the session that passes through it, so that a daemon that crashed can
// be replaced without the editor noticing more than one empty answer.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lsp/documents/document_store.h"
#include "lsp/protocol/json.h"

namespace caretd::daemon {

/// What a daemon that is told to stop sends to its relays.
inline constexpr std::string_view kGoodbyeMethod = "$/caretd/goodbye";

/// Sees every message of both directions. Not thread-safe.
class SessionMirror {
 public:
  SessionMirror();

  /// Whether a message of the client is passed on; one that answers a request of a daemon that is
  /// gone is not.
  [[nodiscard]] bool on_client_message(const lsp::Json& message);

  /// Whether a message of the daemon is passed on; answers to the mirror's own requests are not,
  /// nor is its goodbye.
  [[nodiscard]] bool on_daemon_message(const lsp::Json& message);

  /// The daemon is gone. What the client is told: an answer to every request that was under way
  /// (empty for completions) and the end of every progress. `initialize` is left open, because
  /// replay() repeats it.
  [[nodiscard]] std::vector<lsp::Json> on_daemon_lost();

  /// What a new daemon is told: initialize as the client sent it, its latest configuration, its
  /// switches, and every open document with its present text.
  [[nodiscard]] std::vector<lsp::Json> replay();

  /// Whether this daemon has completed something or chatted. Others of its answers say little: it
  /// gives them while it still loads.
  [[nodiscard]] bool was_of_use() const { return was_of_use_; }

  /// The daemon said that it was told to stop: it is not missed before the editor needs one.
  [[nodiscard]] bool said_goodbye() const { return said_goodbye_; }

 private:
  void on_client_request(const std::string& method, const lsp::Json& message);
  void on_client_notification(const std::string& method, const lsp::Json& message);
  void on_client_response(const lsp::Json& id);
  void open_document(const lsp::Json& params);
  void change_document(const lsp::Json& params);
  void close_document(const lsp::Json& params);
  void on_daemon_request(const lsp::Json& message);
  void on_initialized_by_daemon(const lsp::Json& result);
  void on_progress(const lsp::Json& params);

  lsp::DocumentStore documents_;
  lsp::PositionEncoding encoding_ = lsp::PositionEncoding::utf16;
  bool said_goodbye_ = false;
  bool was_of_use_ = false;
  bool initialized_ = false;
  lsp::Json initialize_;                          // the client's request; null before it
  lsp::Json configuration_;                       // latest didChangeConfiguration
  std::map<std::string, lsp::Json> switches_;     // caretd/setEnabled by what it switches
  std::map<std::string, lsp::Json> outstanding_;  // client requests without an answer, by id
  std::map<std::string, int> asked_;              // requests of the daemon without an answer, by id
  std::map<std::string, int> stale_;              // the same of daemons that are gone
  std::set<std::string> progress_;                // tokens begun and not ended, as JSON text
  int own_requests_ = 0;
};

}  // namespace caretd::daemon
