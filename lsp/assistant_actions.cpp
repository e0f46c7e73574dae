// textDocument/codeAction, codeAction/resolve and the commands.

#include <algorithm>
#include <utility>

#include "lsp/assistant.h"

namespace caretd::lsp {
namespace {

constexpr std::array kVerbs = {ActionVerb::explain, ActionVerb::document, ActionVerb::fix,
                               ActionVerb::write_tests, ActionVerb::refactor};

/// Kinds are hierarchical: "refactor" asks for "refactor.rewrite" too.
bool is_wanted(std::string_view kind, const std::vector<std::string>& only) {
  return only.empty() || std::ranges::any_of(only, [kind](const std::string& wanted) {
           return wanted.empty() || kind == wanted ||
                  (kind.starts_with(wanted) && kind[wanted.size()] == '.');
         });
}

std::string first_line(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

}  // namespace

void Assistant::add_capabilities(Json& capabilities) const {
  for (const ActionVerb verb : kVerbs) {
    capabilities["executeCommandProvider"]["commands"].push_back(command_of(verb));
  }
  if (client_.code_action_literals) {
    capabilities["codeActionProvider"] = {
        {"codeActionKinds", {"quickfix", "refactor.rewrite", "source"}}, {"resolveProvider", true}};
  } else {
    capabilities["codeActionProvider"] = true;
  }
}

Json Assistant::to_action(const ActionOffer& offer, const CodeActionParams& params,
                          std::int64_t version) const {
  ActionData data{offer.verb, params.uri, version, params.range, {}, {}, nullptr};
  if (offer.complaint) {
    data.range = params.diagnostics[*offer.complaint].range;
    data.complaint = first_line(params.diagnostics[*offer.complaint].message);
  }
  const Command command{offer.title, std::string(command_of(offer.verb)), Json::array({data})};
  if (!client_.code_action_literals) return command;
  Json action = {{"title", offer.title}, {"kind", kind_of(offer.verb)}};
  if (offer.complaint) {
    action["diagnostics"] = Json::array({params.diagnostics[*offer.complaint].json});
  }
  // An instruction can only be asked for by the client, in front of the command.
  const bool resolvable = edits(offer.verb) && offer.verb != ActionVerb::refactor;
  if (resolvable && client_.code_action_resolve_edit) {
    action["data"] = data;
  } else {
    action["command"] = command;
  }
  return action;
}

void Assistant::offer(const CodeActionParams& params, Reply reply) {
  const DocumentSnapshot document = services_.documents->find(params.uri);
  if (!document || !model_->may_chat()) return reply.result(Json::array());
  const Text& text = document->text;
  ActionPlace place{document, nullptr, text.offset_at(params.range.start, encoding_),
                    text.offset_at(params.range.end, encoding_)};
  place.end = std::max(place.begin, place.end);
  std::vector<Complaint> complaints;
  for (std::size_t i = 0; i < params.diagnostics.size(); ++i) {
    const Diagnostic& diagnostic = params.diagnostics[i];
    const std::size_t begin = text.offset_at(diagnostic.range.start, encoding_);
    complaints.push_back({begin, std::max(begin, text.offset_at(diagnostic.range.end, encoding_)),
                          diagnostic.message, i});
  }
  services_.workers.post([self = shared_from_this(), place, complaints, params,
                          settings = settings_,
                          shared = std::make_shared<Reply>(std::move(reply))]() mutable {
    Json actions = Json::array();
    SourceKnowledge& knowledge = *self->services_.knowledge;
    if (!knowledge.ignored(*place.document, settings))
      place.tree = knowledge.tree_of(place.document);
    for (const ActionOffer& offer : offer_actions(place, complaints, self->finder_)) {
      const bool possible =
          (offer.verb != ActionVerb::refactor || self->client_.asks_instruction) &&
          (!edits(offer.verb) || self->client_.apply_edit ||
           self->client_.code_action_resolve_edit);
      if (!possible || !is_wanted(kind_of(offer.verb), params.only)) continue;
      actions.push_back(self->to_action(offer, params, place.document->version));
    }
    shared->result(actions);
  });
}

tl::expected<ActionPlace, ResponseError> Assistant::place_of(const ActionData& data) const {
  const DocumentSnapshot document = services_.documents->find(data.uri);
  if (!document || document->version != data.version) return tl::unexpected(document_changed());
  if (services_.knowledge->ignored(*document, settings_)) {
    return tl::unexpected(
        ResponseError{ErrorCode::request_failed, "An ignore rule keeps this file from the model."});
  }
  const std::size_t begin = document->text.offset_at(data.range.start, encoding_);
  const std::size_t end = document->text.offset_at(data.range.end, encoding_);
  return ActionPlace{document, services_.knowledge->tree_of(document), begin, std::max(begin, end)};
}

void Assistant::resolve(const ResolveParams& params, Reply reply) {
  if (!edits(params.data.verb)) return reply.result(params.action);
  std::stop_token cancelled = reply.cancelled();
  edit(params.data, std::move(cancelled),
       [shared = std::make_shared<Reply>(std::move(reply)),
        action = params.action](const tl::expected<Json, ResponseError>& edit) {
         if (!edit) return shared->error(edit.error());
         Json resolved = action;
         resolved["edit"] = *edit;
         shared->result(resolved);
       });
}

void Assistant::cancel_progress(const Json& token) {
  const auto found = token.is_string() ? progress_.find(token.get<std::string>()) : progress_.end();
  if (found != progress_.end()) found->second.request_stop();
}

bool Assistant::execute(const ExecuteCommandParams& params, Reply& reply) {
  const std::optional<ActionVerb> verb = verb_of(params.command);
  if (!verb) return false;
  Result<ActionData> data =
      read_json<ActionData>(params.arguments.empty() ? Json() : params.arguments.front());
  if (!data) {
    reply.error(ErrorCode::invalid_params, "arguments[0]: " + data.error().message);
    return true;
  }
  data->verb = *verb;
  if (*verb == ActionVerb::explain) {
    explain(*data, std::move(reply));
  } else if (*verb == ActionVerb::write_tests) {
    write_tests(*data, std::move(reply));
  } else {
    std::stop_token cancelled = reply.cancelled();
    edit(*data, std::move(cancelled),
         [weak = weak_from_this(), shared = std::make_shared<Reply>(std::move(reply))](
             const tl::expected<Json, ResponseError>& edit) {
           if (!edit) return shared->error(edit.error());
           if (const auto self = weak.lock()) self->apply("caretd", *edit, shared);
         });
  }
  return true;
}

}  // namespace caretd::lsp
