// Actions that change files: the model writes, the reply becomes an edit.

#include <algorithm>
#include <optional>
#include <utility>

#include "lsp/assistant.h"
#include "lsp/features/chat/reply_markdown.h"
#include "lsp/features/chat/test_file.h"

namespace caretd::lsp {
namespace {

// Room for the whole code to be written again; the model's context may allow less.
constexpr int kEditTokens = 2048;

ResponseError failed(std::string message) {
  return {ErrorCode::request_failed, std::move(message)};
}

std::string_view doing(ActionVerb verb) {
  switch (verb) {
    case ActionVerb::document:
      return "Documenting";
    case ActionVerb::fix:
      return "Fixing";
    case ActionVerb::write_tests:
      return "Writing tests";
    default:
      return "Rewriting";
  }
}

/// A WorkspaceEdit that appends the tests to their file if it is open, and else makes the file;
/// making fails where it exists, so that no tests are overwritten.
Json test_file_edit(const std::string& uri, const Document* open, const std::string& code,
                    PositionEncoding encoding) {
  Json document = {{"uri", uri}, {"version", nullptr}};
  Json changes = Json::array();
  Position at;
  std::string text = code;
  if (open != nullptr) {
    document["version"] = open->version;
    at = open->text.position_at(open->text.size(), encoding);
    text = (open->text.view().ends_with('\n') ? "\n\n" : "\n\n\n") + code;
  } else {
    changes.push_back({{"kind", "create"}, {"uri", uri}, {"options", {{"overwrite", false}}}});
  }
  const Json edit = {{"range", Range{at, at}}, {"newText", text}};
  changes.push_back({{"textDocument", document}, {"edits", Json::array({edit})}});
  return {{"documentChanges", changes}};
}

bool is_complete(const GeneratedReply& reply) {
  return reply.reason == engine::FinishReason::end_of_sentence;
}

}  // namespace

struct Assistant::Action {
  ActionData data;
  ActionPlace place;
  CodeTarget target;
  std::stop_source stop;
  std::optional<std::stop_callback<std::function<void()>>> on_cancel;
  std::string token;
  std::shared_ptr<WorkDoneProgress> progress;
  std::string beginning;    ///< of the reply
  std::size_t written = 0;  ///< bytes of the reply so far

  [[nodiscard]] std::string title() const {
    const std::string of = target.name.empty() ? std::string() : " " + target.name;
    return std::string(doing(data.verb)) + of;
  }
};

void Assistant::run(const ActionPtr& action, std::stop_token cancelled,
                    Outcome<GeneratedReply> done) {
  const auto place = place_of(action->data);
  if (!place) return done(tl::unexpected(place.error()));
  const auto target = target_of(action->data.verb, *place, finder_);
  if (!target) {
    return done(tl::unexpected(failed("There is no code here that this action is for.")));
  }
  action->place = *place;
  action->target = *target;
  action->beginning = reply_beginning(action->data.verb, *place, *target);
  action->on_cancel.emplace(std::move(cancelled),
                            [source = action->stop]() mutable { source.request_stop(); });
  action->token =
      "caretd/action-" + std::to_string(services_.session) + "-" + std::to_string(++actions_);
  progress_.emplace(action->token, action->stop);
  if (client_.work_done_progress) {
    action->progress = WorkDoneProgress::start(services_.connection, action->token,
                                               "caretd: " + action->title(), true);
  }
  const std::size_t line = place->document->text.line_of(place->begin);
  const std::size_t first = place->document->text.line_of(target->begin);
  ReplyRequest request;
  request.max_tokens = kEditTokens;
  request.session = services_.session;
  request.beginning = action->beginning;
  request.compose =
      [message = action_message(action->data.verb, *place, *target,
                                {action->data.instruction, action->data.complaint, line - first})](
          const engine::Tokenizer&, int) -> Result<std::vector<engine::ChatMessage>> {
    return std::vector<engine::ChatMessage>{{engine::ChatRole::user, message, {}}};
  };
  ReplyListener listener;
  listener.text = [action](const std::string& text) {
    if (!action->progress) return;
    // The code comes back about as long as it was; what is left is for the end.
    constexpr std::size_t kMost = 95;
    action->written += text.size();
    const std::size_t expected = action->target.end - action->target.begin + 64;
    const std::size_t percent = std::min(kMost, 100 * action->written / expected);
    action->progress->report(static_cast<int>(percent),
                             std::to_string(action->written) + " characters");
  };
  listener.ended = [action, done = std::move(done),
                    weak = weak_from_this()](const Result<GeneratedReply>& reply) {
    if (const auto self = weak.lock()) self->progress_.erase(action->token);
    action->on_cancel.reset();
    const bool withdrawn = action->stop.stop_requested() ||
                           (reply && reply->reason == engine::FinishReason::cancelled);
    if (action->progress) action->progress->end(withdrawn ? "cancelled" : "done");
    if (withdrawn) return done(tl::unexpected(request_cancelled()));
    if (!reply) return done(tl::unexpected(to_response_error(reply.error())));
    GeneratedReply whole = *reply;
    whole.text = whole_reply(action->beginning, reply->text, is_complete(*reply));
    done(std::move(whole));
  };
  model_->generate(std::move(request), action->stop.get_token(), std::move(listener));
}

void Assistant::edit(const ActionData& data, std::stop_token cancelled, Outcome<Json> done) {
  if (data.verb == ActionVerb::refactor && data.instruction.empty()) {
    return done(tl::unexpected(ResponseError{
        ErrorCode::invalid_params, "instruction: expected words that say what to change"}));
  }
  auto action = std::make_shared<Action>();
  action->data = data;
  run(action, std::move(cancelled),
      [action, done = std::move(done),
       weak = weak_from_this()](const tl::expected<GeneratedReply, ResponseError>& reply) {
        if (!reply) return done(tl::unexpected(reply.error()));
        if (const auto self = weak.lock()) self->finish_edit(action, *reply, done);
      });
}

void Assistant::finish_edit(const ActionPtr& action, const GeneratedReply& reply,
                            Outcome<Json> done) {
  services_.workers.post([action, reply, done = std::move(done), weak = weak_from_this(),
                          strand = services_.strand, &clock = services_.clock] {
    const EditSite site{action->place.document, action->place.tree, action->target};
    const auto edit = action->data.verb == ActionVerb::document
                          ? documentation(site, reply.text, is_complete(reply), clock)
                          : replacement(site, reply.text, is_complete(reply), clock);
    strand->post([action, edit, done, weak] {
      const auto self = weak.lock();
      if (!self) return;
      if (!edit) return done(tl::unexpected(self->unusable(edit.error())));
      const DocumentSnapshot now = self->services_.documents->find(action->data.uri);
      if (now != action->place.document) return done(tl::unexpected(document_changed()));
      done(self->to_workspace_edit(*action, *edit));
    });
  });
}

ResponseError Assistant::unusable(const Error& error) const {
  ResponseError response = to_response_error(error);
  if (const std::string notice = model_->notice(); !notice.empty()) {
    response.message += " " + notice;
  }
  return response;
}

/// The editor shows what would change and lets the user decide, where it can.
void Assistant::ask_confirmation(Json& edit, const Action& action) const {
  if (!client_.change_annotations) return;
  constexpr const char* kAnnotation = "caretd";
  Json annotation = {{"label", "caretd: " + action.title()}, {"needsConfirmation", true}};
  if (std::string notice = model_->notice(); !notice.empty()) {
    annotation["description"] = std::move(notice);
  }
  edit["changeAnnotations"] = {{kAnnotation, std::move(annotation)}};
  for (Json& change : edit["documentChanges"]) {
    if (change.contains("kind")) {
      change["annotationId"] = kAnnotation;
      continue;
    }
    for (Json& text_edit : change["edits"]) text_edit["annotationId"] = kAnnotation;
  }
}

Json Assistant::to_workspace_edit(const Action& action, const ReplyEdit& edit) const {
  const Document& document = *action.place.document;
  const Range range{document.text.position_at(edit.begin, encoding_),
                    document.text.position_at(edit.end, encoding_)};
  const Json edits = Json::array({{{"range", range}, {"newText", edit.text}}});
  if (!client_.document_changes) return {{"changes", {{document.uri, edits}}}};
  Json result = {
      {"documentChanges",
       Json::array({{{"textDocument", {{"uri", document.uri}, {"version", document.version}}},
                     {"edits", edits}}})}};
  ask_confirmation(result, action);
  return result;
}

void Assistant::write_tests(const ActionData& data, Reply reply) {
  auto action = std::make_shared<Action>();
  action->data = data;
  std::stop_token cancelled = reply.cancelled();
  run(action, std::move(cancelled),
      [action, weak = weak_from_this(), shared = std::make_shared<Reply>(std::move(reply))](
          const tl::expected<GeneratedReply, ResponseError>& written) {
        if (!written) return shared->error(written.error());
        if (const auto self = weak.lock()) self->finish_tests(action, *written, shared);
      });
}

void Assistant::finish_tests(const ActionPtr& action, const GeneratedReply& written,
                             const std::shared_ptr<Reply>& reply) {
  services_.workers.post([action, written, reply, weak = weak_from_this(),
                          strand = services_.strand, &clock = services_.clock] {
    const auto code =
        test_code(written.text, action->place.tree->language(), is_complete(written), clock);
    strand->post([action, written, reply, code, weak] {
      const auto self = weak.lock();
      if (!self) return;
      if (!code) return reply->error(self->unusable(code.error()));
      self->offer_tests(*action, written.text, *code, reply);
    });
  });
}

void Assistant::offer_tests(const Action& action, const std::string& written,
                            const std::string& code, const std::shared_ptr<Reply>& reply) {
  const Language& language = action.place.tree->language();
  const auto uri = test_file_uri(action.place.document->uri, language);
  if (!uri) {
    return show_tests(written,
                      "Tests in " + std::string(language.id) +
                          " have no customary file; put these where yours are.",
                      reply);
  }
  if (!client_.create_files || !client_.apply_edit) {
    return show_tests(written, "The editor makes no files for a server; put these into one.",
                      reply);
  }
  const DocumentSnapshot open = services_.documents->find(*uri);
  Json edit = test_file_edit(*uri, open.get(), code, encoding_);
  ask_confirmation(edit, action);
  apply(action.title(), std::move(edit), reply);
}

void Assistant::show_tests(const std::string& written, const std::string& reason,
                           const std::shared_ptr<Reply>& reply) {
  if (!client_.chat_view) {
    services_.connection->notify(
        "window/showMessage",
        {{"type", static_cast<int>(MessageType::info)}, {"message", reason + "\n\n" + written}});
  }
  reply->result(Json{{"applied", false}, {"reason", reason}, {"content", written}});
}

void Assistant::apply(const std::string& label, Json edit, const std::shared_ptr<Reply>& reply) {
  if (!client_.apply_edit) {
    return reply->error(ErrorCode::request_failed, "The editor does not apply edits of a server.");
  }
  services_.connection->call(
      "workspace/applyEdit", {{"label", label}, {"edit", std::move(edit)}},
      [reply](const Result<Json>& answer) {
        const Json said = answer && answer->is_object() ? *answer : Json::object();
        const Json reason =
            answer ? said.value("failureReason", Json()) : Json(answer.error().message);
        if (reason.is_string()) {
          return reply->error(ErrorCode::request_failed, "The editor did not apply the edit (" +
                                                             reason.get<std::string>() +
                                                             "); nothing was changed.");
        }
        // Without a reason it was the user's wish.
        reply->result(Json{{"applied", said.value("applied", Json()) == true}});
      });
}

}  // namespace caretd::lsp
