// caretd/chat: conversations with partial results, context the user names.

#include <algorithm>
#include <utility>

#include "lsp/assistant.h"
#include "lsp/context/secrets.h"

namespace caretd::lsp {
namespace {

Json progress(const Json& token, Json value) {
  return {{"token", token}, {"value", std::move(value)}};
}

std::string diagnostics_text(const std::vector<Diagnostic>& diagnostics) {
  std::string text;
  for (const Diagnostic& diagnostic : diagnostics) {
    text += "line " + std::to_string(diagnostic.range.start.line + 1) + ": " + diagnostic.message;
    if (!diagnostic.source.empty()) text += " (" + diagnostic.source + ")";
    text += '\n';
  }
  return text;
}

/// A file that the client sends along because it is not open.
DocumentSnapshot unopened(const std::string& uri, const std::string& text) {
  auto document = std::make_shared<Document>();
  document->uri = uri;
  document->text = Text(text);
  return document;
}

std::string language_of(const Document& document) {
  const Language& language = find_language(document.language_id, document.uri);
  return &language == &plain_text() ? std::string() : std::string(language.id);
}

}  // namespace

ResponseError to_response_error(const Error& error) {
  return {error_code(error.kind), error.message};
}

ResponseError document_changed() {
  return {ErrorCode::content_modified, "The document has changed since; ask again."};
}

ResponseError request_cancelled() {
  return {ErrorCode::request_cancelled, "The request was cancelled."};
}

void Assistant::bind(Binder& binder) {
  binder.request<ChatParams>("caretd/chat", [this](const ChatParams& params, Reply reply) {
    chat(params, std::move(reply));
  });
  binder.notification<CloseChatParams>("caretd/closeChat", [this](const CloseChatParams& params) {
    conversations_->close(params.conversation);
  });
  binder.request<CodeActionParams>(
      "textDocument/codeAction",
      [this](const CodeActionParams& params, Reply reply) { offer(params, std::move(reply)); });
  binder.request<ResolveParams>(
      "codeAction/resolve",
      [this](const ResolveParams& params, Reply reply) { resolve(params, std::move(reply)); });
  binder.notification<CancelProgressParams>(
      "window/workDoneProgress/cancel",
      [this](const CancelProgressParams& params) { cancel_progress(params.token); });
}

void Assistant::set_client(const ClientCapabilities& client, PositionEncoding encoding) {
  client_ = client;
  encoding_ = encoding;
}

void Assistant::use(const std::shared_ptr<engine::Engine>& engine, const ChatSettings& chat,
                    const Settings& settings) {
  settings_ = settings;
  if (!model_ || &model_->engine() != engine.get()) {
    stop();
    model_ = std::make_shared<ChatModel>(engine, services_.strand, services_.workers);
    model_->start();
    conversations_ = std::make_shared<Conversations>(model_, services_.session);
  }
  conversations_->set_settings(chat);
}

void Assistant::stop() {
  for (auto& [token, source] : progress_) source.request_stop();
  if (model_) model_->stop();
}

void Assistant::add_file(const DocumentSnapshot& document, const std::string& name,
                         ChatQuestion& question) const {
  if (services_.knowledge->ignored(*document, settings_)) {
    question.refused.push_back({ContextKind::file, document->uri, 0, 0, "ignored"});
    return;
  }
  question.context.push_back({ContextKind::file, document->uri,
                              name.empty() ? services_.knowledge->relative_path(*document) : name,
                              language_of(*document), 0, std::string(document->text.view())});
}

void Assistant::add_context(const ChatContextParams& params, ChatQuestion& question) const {
  if (params.kind == "openFiles") {
    for (const DocumentSnapshot& document : services_.documents->all()) {
      const bool named = std::ranges::any_of(question.context, [&](const ContextItem& item) {
        return item.kind == ContextKind::file && item.uri == document->uri;
      });
      if (!named) add_file(document, {}, question);
    }
    return;
  }
  const ContextKind kind = kind_of_context(params.kind);
  DocumentSnapshot document = services_.documents->find(params.uri);
  if (!document && params.text) document = unopened(params.uri, *params.text);
  if (!document) {
    question.refused.push_back({kind, params.uri, 0, 0, "notOpen"});
    return;
  }
  if (kind == ContextKind::file) return add_file(document, params.name, question);
  if (services_.knowledge->ignored(*document, settings_)) {
    question.refused.push_back({kind, params.uri, 0, 0, "ignored"});
    return;
  }
  ContextItem item{kind, document->uri, services_.knowledge->relative_path(*document), {}, 0, {}};
  if (kind == ContextKind::diagnostics) {
    item.text = diagnostics_text(params.diagnostics);
  } else {
    const Text& text = document->text;
    const Range range = params.range.value_or(Range{});
    const std::size_t begin = text.offset_at(range.start, encoding_);
    const std::size_t end = std::max(begin, text.offset_at(range.end, encoding_));
    item.language = language_of(*document);
    item.line = text.line_of(begin);
    item.text =
        redact(text.view().substr(begin, end - begin), redaction_state_at(text.view(), begin));
  }
  question.context.push_back(std::move(item));
}

void Assistant::ask(ChatQuestion question, const Json& partial_token, std::stop_token cancelled,
                    Outcome<ChatAnswer> done) {
  ChatListener listener;
  if (!partial_token.is_null()) {
    const auto send = [connection = services_.connection, partial_token](Json value) {
      connection->notify("$/progress", progress(partial_token, std::move(value)));
    };
    listener.begun = [send](const ChatOpening& opening) { send(Json(opening)); };
    listener.text = [send](const std::string& text) { send({{"content", text}}); };
  }
  listener.ended = [done = std::move(done)](const Result<ChatAnswer>& answer) {
    if (!answer) return done(tl::unexpected(to_response_error(answer.error())));
    if (answer->reply.reason == engine::FinishReason::cancelled) {
      return done(tl::unexpected(request_cancelled()));
    }
    done(*answer);
  };
  conversations_->ask(std::move(question), std::move(cancelled), std::move(listener));
}

void Assistant::chat(const ChatParams& params, Reply reply) {
  ChatQuestion question;
  question.conversation = params.conversation;
  question.message = params.message;
  question.regenerate = params.regenerate;
  question.system = params.system;
  question.max_tokens = params.max_tokens;
  if (params.temperature) question.temperature = static_cast<float>(*params.temperature);
  for (const ChatContextParams& item : params.context) add_context(item, question);
  std::stop_token cancelled = reply.cancelled();
  ask(std::move(question), params.partial_token, std::move(cancelled),
      [shared = std::make_shared<Reply>(std::move(reply))](
          const tl::expected<ChatAnswer, ResponseError>& answer) {
        if (!answer) return shared->error(answer.error());
        shared->result(*answer);
      });
}

void Assistant::explain(const ActionData& data, Reply reply) {
  const auto place = place_of(data);
  if (!place) return reply.error(place.error());
  const auto target = target_of(ActionVerb::explain, *place, finder_);
  if (!target) {
    return reply.error(ErrorCode::request_failed, "There is no code here to explain.");
  }
  ChatQuestion question;
  question.message = action_message(ActionVerb::explain, *place, *target, {});
  std::stop_token cancelled = reply.cancelled();
  const bool shows_chat = client_.chat_view;
  ask(std::move(question), data.partial_token, std::move(cancelled),
      [shared = std::make_shared<Reply>(std::move(reply)), connection = services_.connection,
       shows_chat](const tl::expected<ChatAnswer, ResponseError>& answer) {
        if (!answer) return shared->error(answer.error());
        if (!shows_chat) {
          connection->notify("window/showMessage", {{"type", static_cast<int>(MessageType::info)},
                                                    {"message", answer->reply.text}});
        }
        shared->result(*answer);
      });
}

}  // namespace caretd::lsp
