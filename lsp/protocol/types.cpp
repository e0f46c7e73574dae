#include "lsp/protocol/types.h"

#include <algorithm>

namespace caretd::lsp {
namespace {

// A value deep inside optional objects; null where any of them is missing or something else.
const Json& at(const Json& json, std::initializer_list<const char*> names) {
  static const Json kNull;
  const Json* value = &json;
  for (const char* name : names) {
    if (!value->is_object()) return kNull;
    const auto field = value->find(name);
    if (field == value->end()) return kNull;
    value = &*field;
  }
  return *value;
}

bool is_true(const Json& json) {
  return json.is_boolean() && json.get<bool>();
}

bool contains_string(const Json& array, std::string_view wanted) {
  return array.is_array() && std::any_of(array.begin(), array.end(), [&](const Json& entry) {
           return entry.is_string() && entry.get_ref<const std::string&>() == wanted;
         });
}

// Capabilities are read leniently: what is malformed is not offered.
ClientCapabilities read_capabilities(const Json& json) {
  ClientCapabilities result;
  const Json& encodings = at(json, {"general", "positionEncodings"});
  for (const Json& encoding : encodings.is_array() ? encodings : Json::array()) {
    if (encoding == "utf-8") result.position_encodings.push_back(PositionEncoding::utf8);
    if (encoding == "utf-16") result.position_encodings.push_back(PositionEncoding::utf16);
    if (encoding == "utf-32") result.position_encodings.push_back(PositionEncoding::utf32);
  }
  const Json& actions = at(json, {"textDocument", "codeAction"});
  result.work_done_progress = is_true(at(json, {"window", "workDoneProgress"}));
  result.configuration = is_true(at(json, {"workspace", "configuration"}));
  result.configuration_registration =
      is_true(at(json, {"workspace", "didChangeConfiguration", "dynamicRegistration"}));
  result.inline_completion = at(json, {"textDocument", "inlineCompletion"}).is_object();
  result.apply_edit = is_true(at(json, {"workspace", "applyEdit"}));
  result.code_action_literals = at(actions, {"codeActionLiteralSupport"}).is_object();
  result.code_action_resolve_edit =
      contains_string(at(actions, {"resolveSupport", "properties"}), "edit");
  const Json& edits = at(json, {"workspace", "workspaceEdit"});
  result.document_changes = is_true(at(edits, {"documentChanges"}));
  result.change_annotations = at(edits, {"changeAnnotationSupport"}).is_object();
  result.create_files = result.document_changes &&
                        contains_string(at(edits, {"resourceOperations"}), "create");
  result.chat_view = is_true(at(json, {"experimental", "caretd", "chat"}));
  result.asks_instruction = is_true(at(json, {"experimental", "caretd", "instruction"}));
  return result;
}

std::string string_at(const Json& json, std::initializer_list<const char*> names) {
  const Json& value = at(json, names);
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::vector<WorkspaceFolder> read_folders(const Json& json) {
  std::vector<WorkspaceFolder> folders;
  const Json& listed = at(json, {"workspaceFolders"});
  for (const Json& folder : listed.is_array() ? listed : Json::array()) {
    WorkspaceFolder entry{string_at(folder, {"uri"}), string_at(folder, {"name"})};
    if (!entry.uri.empty()) folders.push_back(std::move(entry));
  }
  std::string root = string_at(json, {"rootUri"});
  if (folders.empty() && !root.empty()) folders.push_back({std::move(root), {}});
  return folders;
}

struct InlineCompletionContext {
  int trigger_kind = 2;
  std::optional<SelectedCompletionInfo> selected;
};

bool read(const Json& json, InlineCompletionContext& value, const JsonPath& path) {
  return bool(ObjectReader(json, path)
                  .optional("triggerKind", value.trigger_kind)
                  .optional("selectedCompletionInfo", value.selected));
}

struct TextDocumentItem {
  DidOpenParams& params;
};

struct VersionedIdentifier {
  std::string uri;
  std::int64_t version = 0;
};

bool read(const Json& json, VersionedIdentifier& value, const JsonPath& path) {
  return bool(
      ObjectReader(json, path).required("uri", value.uri).optional("version", value.version));
}

bool read(const Json& json, TextDocumentItem& value, const JsonPath& path) {
  return bool(ObjectReader(json, path)
                  .required("uri", value.params.uri)
                  .required("languageId", value.params.language_id)
                  .required("version", value.params.version)
                  .required("text", value.params.text));
}

}  // namespace

bool read(const Json& json, Position& value, const JsonPath& path) {
  return bool(
      ObjectReader(json, path).required("line", value.line).required("character", value.character));
}

bool read(const Json& json, Range& value, const JsonPath& path) {
  return bool(ObjectReader(json, path).required("start", value.start).required("end", value.end));
}

void to_json(Json& json, const Position& value) {
  json = {{"line", value.line}, {"character", value.character}};
}

void to_json(Json& json, const Range& value) {
  json = {{"start", value.start}, {"end", value.end}};
}

bool read(const Json& json, InitializeParams& value, const JsonPath& path) {
  if (!json.is_object()) return path.expected("an object");
  value.client_name = string_at(json, {"clientInfo", "name"});
  value.client_version = string_at(json, {"clientInfo", "version"});
  value.folders = read_folders(json);
  value.capabilities = read_capabilities(at(json, {"capabilities"}));
  value.initialization_options = at(json, {"initializationOptions"});
  return true;
}

bool read(const Json& json, TextDocumentIdentifier& value, const JsonPath& path) {
  return bool(ObjectReader(json, path).required("uri", value.uri));
}

bool read(const Json& json, DidOpenParams& value, const JsonPath& path) {
  TextDocumentItem item{value};
  return bool(ObjectReader(json, path).required("textDocument", item));
}

bool read(const Json& json, ContentChange& value, const JsonPath& path) {
  return bool(ObjectReader(json, path).optional("range", value.range).required("text", value.text));
}

bool read(const Json& json, DidChangeParams& value, const JsonPath& path) {
  VersionedIdentifier document;
  ObjectReader reader(json, path);
  reader.required("textDocument", document).required("contentChanges", value.changes);
  value.uri = std::move(document.uri);
  value.version = document.version;
  return bool(reader);
}

bool read(const Json& json, DocumentParams& value, const JsonPath& path) {
  TextDocumentIdentifier document;
  ObjectReader reader(json, path);
  reader.required("textDocument", document);
  value.uri = std::move(document.uri);
  return bool(reader);
}

bool read(const Json& json, DocumentPositionParams& value, const JsonPath& path) {
  TextDocumentIdentifier document;
  ObjectReader reader(json, path);
  reader.required("textDocument", document).required("position", value.position);
  value.uri = std::move(document.uri);
  return bool(reader);
}

bool read(const Json& json, SelectedCompletionInfo& value, const JsonPath& path) {
  return bool(ObjectReader(json, path).required("range", value.range).required("text", value.text));
}

bool read(const Json& json, InlineCompletionParams& value, const JsonPath& path) {
  TextDocumentIdentifier document;
  InlineCompletionContext context;
  ObjectReader reader(json, path);
  reader.required("textDocument", document)
      .required("position", value.position)
      .optional("context", context);
  value.uri = std::move(document.uri);
  value.invoked = context.trigger_kind == 1;
  value.selected = std::move(context.selected);
  return bool(reader);
}

void to_json(Json& json, const Command& value) {
  json = {{"title", value.title}, {"command", value.command}, {"arguments", value.arguments}};
}

void to_json(Json& json, const InlineCompletionItem& value) {
  json = {{"insertText", value.insert_text}, {"range", value.range}};
  if (value.command) json["command"] = *value.command;
}

void to_json(Json& json, const InlineCompletionList& value) {
  json = {{"items", value.items}};
}

void to_json(Json& json, const CompletionItem& value) {
  constexpr int kSnippetKind = 15;  // CompletionItemKind.Snippet: several tokens at once
  constexpr int kPlainText = 1;     // InsertTextFormat
  constexpr int kInsertAsIs = 1;    // InsertTextMode: the indentation is right already
  json = {{"label", value.label},
          {"kind", kSnippetKind},
          {"detail", "caretd"},
          {"filterText", value.filter_text},
          {"sortText", "\x7f"},
          {"insertTextFormat", kPlainText},
          {"insertTextMode", kInsertAsIs},
          {"documentation", value.documentation},
          {"textEdit", {{"range", value.range}, {"newText", value.new_text}}}};
  if (value.command) json["command"] = *value.command;
}

void to_json(Json& json, const CompletionList& value) {
  json = {{"isIncomplete", value.is_incomplete}, {"items", value.items}};
}

bool read(const Json& json, ExecuteCommandParams& value, const JsonPath& path) {
  return bool(ObjectReader(json, path)
                  .required("command", value.command)
                  .optional("arguments", value.arguments));
}

bool read(const Json& json, DidChangeConfigurationParams& value, const JsonPath& path) {
  return bool(ObjectReader(json, path).optional("settings", value.settings));
}

}  // namespace caretd::lsp
