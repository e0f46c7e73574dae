// One language server session: what a client says is handled, whatever the bytes travel over.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "lsp/documents/document_store.h"
#include "lsp/features/chat/chat_settings.h"
#include "lsp/features/completion_pipeline.h"
#include "lsp/features/statistics.h"
#include "lsp/protocol/json.h"
#include "lsp/protocol/transport.h"
#include "lsp/settings.h"
#include "support/clock.h"
#include "support/executor.h"
#include "support/log.h"

namespace caretd::lsp {

/// What a client says about settings, in its own words. The two objects differ in trust: the
/// first is the user's own, the second may come from a workspace that was cloned.
struct ClientSettings {
  Json initialization_options;
  Json configuration;                ///< section "caretd"; null before it is known
  std::vector<std::string> folders;  ///< URIs of the workspace
};

/// What they come to. Engines are shared: equal model settings give the same one.
struct ResolvedSettings {
  Settings settings;
  std::shared_ptr<engine::Engine> engine;  ///< never null; may be loading, off or failed
  std::vector<std::string> problems;       ///< complete sentences for the user
  /// The one that chats and edits; null: the same.
  std::shared_ptr<engine::Engine> chat_engine = nullptr;
  ChatSettings chat = {};
};

/// What sessions are given; one of these serves all of a process. References outlive the last
/// session and the engines' last callbacks.
struct SessionServices {
  std::shared_ptr<Statistics> statistics;
  /// One for each session.
  std::function<std::shared_ptr<CompletionPipeline>(std::shared_ptr<const DocumentStore>)>
      make_pipeline;
  /// Called at initialize and whenever the client's settings change, on the session's strand. May
  /// read files and start engines.
  std::function<ResolvedSettings(const ClientSettings&)> resolve_settings;
  /// Handles messages, which is quick: nothing else may keep its threads busy. May be the workers
  /// where nobody types.
  Executor& handlers;
  Executor& workers;  ///< parses documents, builds prompts, tidies completions
  const Clock& clock;
  Logger log;
  std::string version;              ///< of caretd, for serverInfo
  std::size_t open_requests = 256;  ///< unanswered requests of a session; one more is refused
  /// Text of a session's open documents; a document beyond it counts as not open.
  std::size_t open_bytes = std::size_t{256} << 20;
};

class Server;

/// Any number of sessions may live at once, each with its own documents. receive() and
/// end_of_input() are for the transport's thread; messages are handled on a strand of `handlers`.
/// The destructor withdraws what is under way and does not wait for it.
class Session {
 public:
  /// Called once, on a thread of `handlers`, before the transport is closed: the client said 'exit'
  /// (code 0 after a shutdown, else 1) or its input ended (the same codes).
  using Ended = std::function<void(int exit_code)>;

  /// `number` is unique among the sessions of the process, from 1.
  Session(const SessionServices& services, std::uint64_t number,
          std::shared_ptr<Transport> transport, Ended ended);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void receive(std::string_view bytes);
  void end_of_input();
  /// What resolve_settings() reads has changed: it is asked again. Any thread.
  void settings_changed();
  /// Whether the client waits for something. Any thread.
  [[nodiscard]] bool has_unanswered() const;

 private:
  std::shared_ptr<Server> server_;
};

}  // namespace caretd::lsp
