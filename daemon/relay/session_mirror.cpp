#include "daemon/relay/session_mirror.h"

#include <optional>
#include <utility>

#include "lsp/protocol/message.h"

namespace caretd::daemon {

namespace {

using lsp::Json;

/// Ids of the mirror's own requests; no client uses such a word.
constexpr std::string_view kOwnId = "caretd-relay/";

/// Requests whose result may be null: the client then shows nothing, which is right.
constexpr std::string_view kMayBeNull[] = {"textDocument/inlineCompletion",
                                           "textDocument/completion", "textDocument/codeAction",
                                           "shutdown"};

std::string text_at(const Json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const Json& at(const Json& object, const char* key) {
  static const Json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

/// Ids and tokens are numbers or strings; as text they are map keys.
std::string key_of(const Json& id) {
  return lsp::to_string(id);
}

std::int64_t integer_at(const Json& object, const char* key) {
  const Json& value = at(object, key);
  return value.is_number_integer() ? value.get<std::int64_t>() : 0;
}

std::uint32_t coordinate(const Json& position, const char* key) {
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(integer_at(position, key), 0, 1 << 30));
}

lsp::Position read_position(const Json& position) {
  return {coordinate(position, "line"), coordinate(position, "character")};
}

lsp::ContentChange read_change(const Json& change) {
  lsp::ContentChange result;
  result.text = text_at(change, "text");
  const Json& range = at(change, "range");
  if (range.is_object()) {
    result.range = lsp::Range{read_position(at(range, "start")), read_position(at(range, "end"))};
  }
  return result;
}

Json answer_of_lost(const Json& request) {
  const std::string method = text_at(request, "method");
  for (const std::string_view name : kMayBeNull) {
    if (method == name) return lsp::make_response(at(request, "id"), nullptr);
  }
  return lsp::make_error_response(at(request, "id"), {lsp::ErrorCode::request_cancelled,
                                                      "the daemon was restarted; ask again"});
}

/// Whether the result of a request has something to show.
bool has_content(const std::string& method, const Json& result) {
  if (method == "caretd/chat") return result.is_object();
  if (method != "textDocument/inlineCompletion" && method != "textDocument/completion") {
    return false;
  }
  const Json& items = result.is_array() ? result : at(result, "items");
  return items.is_array() && !items.empty();
}

bool is_id(const Json& id) {
  return id.is_number_integer() || id.is_string();
}

}  // namespace

SessionMirror::SessionMirror() : documents_(1) {}

bool SessionMirror::on_client_message(const Json& message) {
  const std::string method = text_at(message, "method");
  const Json& id = at(message, "id");
  if (method.empty()) {
    if (!is_id(id)) return true;
    const auto stale = stale_.find(key_of(id));
    if (stale != stale_.end()) {
      if (--stale->second == 0) stale_.erase(stale);
      return false;
    }
    on_client_response(id);
  } else if (is_id(id)) {
    on_client_request(method, message);
  } else {
    on_client_notification(method, message);
  }
  return true;
}

void SessionMirror::on_client_request(const std::string& method, const Json& message) {
  outstanding_[key_of(at(message, "id"))] = message;
  if (method == "initialize" && initialize_.is_null()) {
    initialize_ = message;
  } else if (method == "caretd/setEnabled") {
    Json subject = at(message, "params");
    if (subject.is_object()) subject.erase("enabled");
    switches_[lsp::to_string(subject)] = message;
  }
}

void SessionMirror::on_client_notification(const std::string& method, const Json& message) {
  const Json& params = at(message, "params");
  if (method == "textDocument/didOpen") open_document(params);
  if (method == "textDocument/didChange") change_document(params);
  if (method == "textDocument/didClose") close_document(params);
  if (method == "initialized") initialized_ = true;
  if (method == "workspace/didChangeConfiguration") configuration_ = message;
}

void SessionMirror::on_client_response(const Json& id) {
  const auto asked = asked_.find(key_of(id));
  if (asked != asked_.end() && --asked->second == 0) asked_.erase(asked);
}

void SessionMirror::open_document(const Json& params) {
  const Json& document = at(params, "textDocument");
  documents_.open(text_at(document, "uri"), text_at(document, "languageId"),
                  integer_at(document, "version"), text_at(document, "text"));
}

void SessionMirror::change_document(const Json& params) {
  std::vector<lsp::ContentChange> changes;
  const Json& list = at(params, "contentChanges");
  if (!list.is_array()) return;
  for (const Json& change : list) changes.push_back(read_change(change));
  const Json& document = at(params, "textDocument");
  // A document that is not open is the daemon's to complain about.
  (void)documents_.change(text_at(document, "uri"), integer_at(document, "version"), changes,
                          encoding_);
}

void SessionMirror::close_document(const Json& params) {
  documents_.close(text_at(at(params, "textDocument"), "uri"));
}

bool SessionMirror::on_daemon_message(const Json& message) {
  const Json& id = at(message, "id");
  const std::string method = text_at(message, "method");
  if (method == kGoodbyeMethod) {
    said_goodbye_ = true;
    return false;
  }
  if (!method.empty()) {
    if (is_id(id)) on_daemon_request(message);
    if (method == "$/progress") on_progress(at(message, "params"));
    return true;
  }
  if (id.is_string() && id.get<std::string>().starts_with(kOwnId)) return false;
  const auto asked = outstanding_.find(key_of(id));
  if (asked == outstanding_.end()) return true;
  const std::string answered = text_at(asked->second, "method");
  const Json& result = at(message, "result");
  if (answered == "initialize") on_initialized_by_daemon(result);
  was_of_use_ = was_of_use_ || has_content(answered, result);
  outstanding_.erase(asked);
  return true;
}

void SessionMirror::on_daemon_request(const Json& message) {
  ++asked_[key_of(at(message, "id"))];
}

void SessionMirror::on_initialized_by_daemon(const Json& result) {
  const std::string encoding = text_at(at(result, "capabilities"), "positionEncoding");
  if (encoding == "utf-8") encoding_ = lsp::PositionEncoding::utf8;
  if (encoding == "utf-32") encoding_ = lsp::PositionEncoding::utf32;
}

void SessionMirror::on_progress(const Json& params) {
  const std::string kind = text_at(at(params, "value"), "kind");
  const std::string token = lsp::to_string(at(params, "token"));
  if (kind == "begin") progress_.insert(token);
  if (kind == "end") progress_.erase(token);
}

std::vector<Json> SessionMirror::on_daemon_lost() {
  std::vector<Json> messages;
  for (auto request = outstanding_.begin(); request != outstanding_.end();) {
    if (text_at(request->second, "method") == "initialize") {
      ++request;
      continue;
    }
    messages.push_back(answer_of_lost(request->second));
    request = outstanding_.erase(request);
  }
  for (const std::string& token : progress_) {
    messages.push_back(lsp::make_notification(
        "$/progress", {{"token", Json::parse(token)}, {"value", {{"kind", "end"}}}}));
  }
  progress_.clear();
  for (const auto& [id, count] : asked_) stale_[id] += count;
  asked_.clear();
  return messages;
}

std::vector<Json> SessionMirror::replay() {
  std::vector<Json> messages;
  said_goodbye_ = false;
  was_of_use_ = false;
  if (initialize_.is_null()) return messages;
  const auto own_id = [this] { return std::string(kOwnId) + std::to_string(++own_requests_); };
  // A client that still waits for its answer to initialize gets it from the new daemon.
  const bool waiting = outstanding_.contains(key_of(at(initialize_, "id")));
  messages.push_back(initialize_);
  if (!waiting) messages.back()["id"] = own_id();
  if (!initialized_) return messages;
  messages.push_back(lsp::make_notification("initialized", Json::object()));
  if (!configuration_.is_null()) messages.push_back(configuration_);
  for (const auto& [subject, request] : switches_) {
    messages.push_back(request);
    messages.back()["id"] = own_id();
  }
  for (const auto& document : documents_.all()) {
    messages.push_back(lsp::make_notification("textDocument/didOpen",
                                              {{"textDocument",
                                                {{"uri", document->uri},
                                                 {"languageId", document->language_id},
                                                 {"version", document->version},
                                                 {"text", std::string(document->text.view())}}}}));
  }
  return messages;
}

}  // namespace caretd::daemon
