// The handlers behind a Session. Included by lsp/server*.cpp alone.
#pragma once

#include <memory>
#include <string>

#include "lsp/assistant.h"
#include "lsp/features/completion_service.h"
#include "lsp/features/status_reporter.h"
#include "lsp/features/switches.h"
#include "lsp/protocol/binder.h"
#include "lsp/protocol/caretd_types.h"
#include "lsp/protocol/connection.h"
#include "lsp/protocol/types.h"
#include "lsp/server.h"

namespace caretd::lsp {

/// Everything runs on the session's strand unless it says otherwise.
class Server final : public MessageHandler, public std::enable_shared_from_this<Server> {
 public:
  Server(SessionServices services, std::uint64_t number, std::shared_ptr<Transport> transport,
         Session::Ended ended);

  /// Binds what needs the shared_ptr of this.
  void open();
  /// Any thread.
  [[nodiscard]] Connection& connection() { return *connection_; }
  [[nodiscard]] Executor& strand() { return *strand_; }
  /// The transport has no more input.
  void end_of_input();
  /// The process's configuration changed.
  void settings_changed();
  /// Withdraws everything and says nothing more.
  void stop();

  void on_request(const std::string& method, const Json& params, Reply reply) override;
  void on_notification(const std::string& method, const Json& params) override;

 private:
  enum class Lifecycle : std::uint8_t { created, initialized, shut_down, over };

  // server_lifecycle.cpp
  void bind_lifecycle();
  void initialize(const InitializeParams& params, Reply reply);
  void initialized();
  void end(int exit_code);
  void pull_configuration();
  void apply_settings();
  void apply_switches();
  void use_engine(std::shared_ptr<engine::Engine> engine);
  void use_chat_engine(std::shared_ptr<engine::Engine> engine);
  void tell_limits();
  void tell_problems(const std::vector<std::string>& problems);
  [[nodiscard]] Json capabilities() const;

  // server_features.cpp
  void bind_documents();
  void bind_completion();
  void bind_extensions();
  void did_open(DidOpenParams params);
  void did_change(const DidChangeParams& params);
  void did_close(const std::string& uri);
  [[nodiscard]] bool leave_out(const Document& document);
  void did_focus(const DocumentPositionParams& params);
  void inline_completion(const InlineCompletionParams& params, Reply reply);
  void completion(const DocumentPositionParams& params, Reply reply);
  void execute(const ExecuteCommandParams& params, Reply reply);
  void why(const DocumentParams& params, Reply reply);
  void set_enabled(const SetEnabledParams& params);
  void complete(PromptQuery query, bool invoked, Reply reply,
                std::function<void(const PromptQuery&, const CompletionAnswer&, Reply&)> answer);
  [[nodiscard]] StatusReport status_report() const;

  const SessionServices services_;
  const std::shared_ptr<Executor> strand_;
  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<DocumentStore> documents_;
  const std::shared_ptr<CompletionPipeline> pipeline_;
  const std::uint64_t number_;
  const std::shared_ptr<Assistant> assistant_;
  Session::Ended ended_;
  // Null before initialize.
  std::shared_ptr<engine::Engine> engine_;
  std::shared_ptr<CompletionService> completions_;
  std::shared_ptr<StatusReporter> status_;
  std::shared_ptr<engine::Engine> chat_engine_;  ///< often the same as engine_
  std::shared_ptr<StatusReporter> chat_status_;  ///< null where it is
  Binder binder_;

  Lifecycle lifecycle_ = Lifecycle::created;
  bool client_ready_ = false;  ///< 'initialized' has arrived: it may be sent requests
  ClientCapabilities client_;
  PositionEncoding encoding_ = PositionEncoding::utf16;
  ClientSettings client_settings_;
  Settings settings_;
  std::vector<std::string> told_problems_;
  Switches switches_;
};

}  // namespace caretd::lsp
