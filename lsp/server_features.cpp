// Documents, completions and the caretd/* messages.

#include <algorithm>
#include <utility>

#include "lsp/features/presentation.h"
#include "lsp/server_impl.h"

namespace caretd::lsp {

void Server::bind_documents() {
  binder_.notification<DidOpenParams>(
      "textDocument/didOpen", [this](DidOpenParams params) { did_open(std::move(params)); });
  binder_.notification<DidChangeParams>("textDocument/didChange",
                                        [this](DidChangeParams params) { did_change(params); });
  binder_.notification<DocumentParams>("textDocument/didClose", [this](DocumentParams params) {
    switches_.forget_document(params.uri);
    did_close(params.uri);
  });
  binder_.notification<DocumentParams>(
      "textDocument/didSave", [this](DocumentParams params) { pipeline_->did_save(params.uri); });
}

void Server::did_open(DidOpenParams params) {
  did_close(params.uri);  // a client that opens it twice means the second text
  const DocumentSnapshot document = documents_->open(
      std::move(params.uri), std::move(params.language_id), params.version, std::move(params.text));
  if (leave_out(*document)) return;
  completions_->did_open(document, switches_.enabled_for(settings_, *document));
}

/// Sessions share one process: none may fill its memory.
bool Server::leave_out(const Document& document) {
  std::size_t bytes = 0;
  for (const DocumentSnapshot& open : documents_->all()) bytes += open->text.size();
  if (bytes <= services_.open_bytes) return false;
  did_close(document.uri);
  tell_problems({"the open documents of this window have more than " +
                 std::to_string(services_.open_bytes >> 20) +
                 " MiB of text (daemon.max_open_mebibytes_per_session); those beyond it are not "
                 "completed"});
  return true;
}

void Server::did_close(const std::string& uri) {
  if (const DocumentSnapshot last = documents_->close(uri)) completions_->did_close(last);
}

void Server::did_change(const DidChangeParams& params) {
  const DocumentSnapshot before = documents_->find(params.uri);
  const Result<DocumentSnapshot> now =
      documents_->change(params.uri, params.version, params.changes, encoding_);
  if (!now) return services_.log->warn("{}", now.error().message);
  if (leave_out(**now)) return;
  completions_->did_change(before, *now);
}

void Server::did_focus(const DocumentPositionParams& params) {
  const DocumentSnapshot document = documents_->find(params.uri);
  if (!document || !switches_.enabled_for(settings_, *document)) return;
  completions_->did_focus(document, document->text.offset_at(params.position, encoding_));
}

void Server::bind_completion() {
  binder_.request<InlineCompletionParams>("textDocument/inlineCompletion",
                                          [this](InlineCompletionParams params, Reply reply) {
                                            inline_completion(params, std::move(reply));
                                          });
  binder_.request<DocumentPositionParams>(
      "textDocument/completion",
      [this](DocumentPositionParams params, Reply reply) { completion(params, std::move(reply)); });
}

void Server::complete(
    PromptQuery query, bool invoked, Reply reply,
    std::function<void(const PromptQuery&, const CompletionAnswer&, Reply&)> answer) {
  if (!switches_.enabled_for(settings_, *query.document)) return answer(query, {}, reply);
  std::stop_token cancelled = reply.cancelled();
  // std::function wants a copyable callable.
  auto shared_reply = std::make_shared<Reply>(std::move(reply));
  completions_->complete(
      {query, invoked}, std::move(cancelled),
      [query, shared_reply, answer = std::move(answer)](const CompletionAnswer& result) {
        if (result.outcome == Outcome::cancelled) {
          return shared_reply->error(ErrorCode::request_cancelled, "The request was cancelled.");
        }
        // Superseded: editors show any error but 'cancelled' to the user, so it is an empty list.
        answer(query, result, *shared_reply);
      });
}

void Server::inline_completion(const InlineCompletionParams& params, Reply reply) {
  const DocumentSnapshot document = documents_->find(params.uri);
  if (!document) return reply.result(InlineCompletionList{});
  complete(
      to_query(document, params, encoding_), params.invoked, std::move(reply),
      [encoding = encoding_](const PromptQuery& query, const CompletionAnswer& answer, Reply& to) {
        InlineCompletionList list;
        for (const Offer& offer : answer.offers) {
          list.items.push_back(to_inline_item(offer, *query.document, encoding));
        }
        to.result(list);
      });
}

void Server::completion(const DocumentPositionParams& params, Reply reply) {
  const DocumentSnapshot document = documents_->find(params.uri);
  if (!document) return reply.result(CompletionList{});
  const std::size_t cursor = document->text.offset_at(params.position, encoding_);
  complete(
      {document, cursor, {}, cursor}, false, std::move(reply),
      [encoding = encoding_](const PromptQuery& query, const CompletionAnswer& answer, Reply& to) {
        CompletionList list;
        if (!answer.offers.empty()) {
          list.items.push_back(to_popup_item(answer.offers.front(), *query.document, encoding));
        }
        to.result(list);
      });
}

void Server::bind_extensions() {
  binder_.request<NoParams>("caretd/status",
                            [this](NoParams, Reply reply) { reply.result(status_report()); });
  binder_.request<SetEnabledParams>("caretd/setEnabled",
                                    [this](SetEnabledParams params, Reply reply) {
                                      set_enabled(params);
                                      reply.result(status_report());
                                    });
  binder_.request<NoParams>("caretd/stats", [this](NoParams, Reply reply) {
    reply.result(StatisticsReport{services_.statistics->snapshot(), engine_->statistics()});
  });
  binder_.notification<DocumentPositionParams>(
      "caretd/didFocus", [this](DocumentPositionParams params) { did_focus(params); });
  binder_.request<DocumentParams>(
      "caretd/why", [this](DocumentParams params, Reply reply) { why(params, std::move(reply)); });
  binder_.request<ExecuteCommandParams>(
      "workspace/executeCommand",
      [this](ExecuteCommandParams params, Reply reply) { execute(params, std::move(reply)); });
}

StatusReport Server::status_report() const {
  StatusReport report;
  report.engine = engine_->status();
  report.model = engine_->model();
  if (const auto model = chat_engine_->model(); model && model->chat) report.chat_model = model;
  report.enabled = switches_.enabled(settings_);
  report.in_comments = switches_.in_comments(settings_);
  report.disabled_languages = switches_.disabled_languages(settings_);
  report.disabled_documents = switches_.disabled_documents();
  return report;
}

void Server::set_enabled(const SetEnabledParams& params) {
  switches_.set(params.scope, params.subject, params.enabled);
  apply_switches();
}

void Server::why(const DocumentParams& params, Reply reply) {
  const DocumentSnapshot document = documents_->find(params.uri);
  const CompletionTrace* trace = document ? completions_->trace(document->id) : nullptr;
  if (trace == nullptr) return reply.result(nullptr);
  const auto tokenizer = engine_->tokenizer();
  reply.result(WhyReport{*trace, tokenizer.get(), encoding_});
}

void Server::execute(const ExecuteCommandParams& params, Reply reply) {
  if (params.command == "caretd.clearCache") {
    engine_->clear_cache();
    if (chat_engine_ != engine_) chat_engine_->clear_cache();
    return reply.result(nullptr);
  }
  if (assistant_->execute(params, reply)) return;
  const Json argument = params.arguments.empty() ? Json() : params.arguments.front();
  if (params.command == "caretd.accepted") {
    const Result<std::int64_t> suggestion = read_json<std::int64_t>(argument);
    if (suggestion) completions_->accepted(static_cast<std::uint64_t>(*suggestion));
    return reply.result(nullptr);
  }
  if (params.command == "caretd.setEnabled") {
    const Result<SetEnabledParams> change = read_json<SetEnabledParams>(argument);
    if (!change) {
      return reply.error(ErrorCode::invalid_params, "arguments[0]: " + change.error().message);
    }
    set_enabled(*change);
    return reply.result(status_report());
  }
  reply.error(ErrorCode::invalid_params, "There is no command '" + params.command + "'.");
}

}  // namespace caretd::lsp
