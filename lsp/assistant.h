// Chat and code actions of one session: the requests behind them, and the editor's part in them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>

#include "lsp/features/chat/chat_model.h"
#include "lsp/features/chat/code_actions.h"
#include "lsp/features/chat/conversation.h"
#include "lsp/features/chat/reply_edit.h"
#include "lsp/features/source_knowledge.h"
#include "lsp/protocol/binder.h"
#include "lsp/protocol/chat_types.h"
#include "lsp/protocol/connection.h"
#include "lsp/protocol/progress.h"
#include "lsp/protocol/types.h"

namespace caretd::lsp {

/// What an assistant is given. References outlive the session's last task.
struct AssistantServices {
  std::shared_ptr<Connection> connection;
  std::shared_ptr<const DocumentStore> documents;
  std::shared_ptr<SourceKnowledge> knowledge;
  std::shared_ptr<Executor> strand;
  Executor& workers;
  const Clock& clock;
  std::uint64_t session = 0;
};

/// Everything runs on the session's strand unless it says otherwise. Held by shared_ptr.
class Assistant : public std::enable_shared_from_this<Assistant> {
 public:
  explicit Assistant(AssistantServices services) : services_(std::move(services)) {}

  void bind(Binder& binder);
  void set_client(const ClientCapabilities& client, PositionEncoding encoding);
  /// Before any request. Another engine ends the conversations with the one before.
  void use(const std::shared_ptr<engine::Engine>& engine, const ChatSettings& chat,
           const Settings& settings);
  /// Adds codeActionProvider and the commands.
  void add_capabilities(Json& capabilities) const;

  /// Carries out one of the commands; false if it is none of this class's.
  [[nodiscard]] bool execute(const ExecuteCommandParams& params, Reply& reply);
  void stop();

 private:
  template <typename T>
  using Outcome = std::function<void(tl::expected<T, ResponseError>)>;

  /// An action while the model works on it. The worker that composes the prompt writes the site,
  /// the strand reads it later.
  struct Action;
  using ActionPtr = std::shared_ptr<Action>;

  // assistant_chat.cpp
  void chat(const ChatParams& params, Reply reply);
  void ask(ChatQuestion question, const Json& partial_token, std::stop_token cancelled,
           Outcome<ChatAnswer> done);
  void add_context(const ChatContextParams& params, ChatQuestion& question) const;
  void add_file(const DocumentSnapshot& document, const std::string& name,
                ChatQuestion& question) const;
  void explain(const ActionData& data, Reply reply);

  // assistant_actions.cpp
  void offer(const CodeActionParams& params, Reply reply);
  [[nodiscard]] Json to_action(const ActionOffer& offer, const CodeActionParams& params,
                               std::int64_t version) const;
  void resolve(const ResolveParams& params, Reply reply);
  void cancel_progress(const Json& token);
  /// The place an action was offered at, if the document still is what it was.
  [[nodiscard]] tl::expected<ActionPlace, ResponseError> place_of(const ActionData& data) const;

  // assistant_edits.cpp
  void edit(const ActionData& data, std::stop_token cancelled, Outcome<Json> done);
  void write_tests(const ActionData& data, Reply reply);
  void finish_tests(const ActionPtr& action, const GeneratedReply& written,
                    const std::shared_ptr<Reply>& reply);
  void offer_tests(const Action& action, const std::string& written, const std::string& code,
                   const std::shared_ptr<Reply>& reply);
  /// Tests that no file can be made for: for the user to place.
  void show_tests(const std::string& written, const std::string& reason,
                  const std::shared_ptr<Reply>& reply);
  /// Lets the model answer the action's message. `done` hears the whole reply.
  void run(const ActionPtr& action, std::stop_token cancelled, Outcome<GeneratedReply> done);
  void finish_edit(const ActionPtr& action, const GeneratedReply& reply, Outcome<Json> done);
  /// The answer to an action whose reply could not be used: with what is known of the model.
  [[nodiscard]] ResponseError unusable(const Error& error) const;
  void ask_confirmation(Json& edit, const Action& action) const;
  [[nodiscard]] Json to_workspace_edit(const Action& action, const ReplyEdit& edit) const;
  /// Asks the editor to apply the edit; the reply says whether it did.
  void apply(const std::string& label, Json edit, const std::shared_ptr<Reply>& reply);

  const AssistantServices services_;
  DefinitionFinder finder_;
  ClientCapabilities client_;
  PositionEncoding encoding_ = PositionEncoding::utf16;
  Settings settings_;  ///< for the ignore rules
  std::shared_ptr<ChatModel> model_;
  std::shared_ptr<Conversations> conversations_;
  std::uint64_t actions_ = 0;
  std::map<std::string, std::stop_source> progress_;  ///< by token, of actions under way
};

/// The answer to a request that failed with this error.
[[nodiscard]] ResponseError to_response_error(const Error& error);
/// The answer to one whose document has changed.
[[nodiscard]] ResponseError document_changed();
/// The answer to one that was cancelled.
[[nodiscard]] ResponseError request_cancelled();

}  // namespace caretd::lsp
