// The protocol's structures, as far as the server reads or writes them (LSP 3.18). JSON is
// converted here, at the edge; nothing behind it sees JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lsp/documents/document_store.h"
#include "lsp/documents/position.h"
#include "lsp/protocol/json_reader.h"

namespace caretd::lsp {

bool read(const Json& json, Position& value, const JsonPath& path);
bool read(const Json& json, Range& value, const JsonPath& path);
void to_json(Json& json, const Position& value);
void to_json(Json& json, const Range& value);

// Lifecycle.

struct ClientCapabilities {
  std::vector<PositionEncoding> position_encodings;  ///< those we know, in the client's order
  bool work_done_progress = false;                   ///< window.workDoneProgress
  bool configuration = false;                        ///< workspace.configuration
  bool configuration_registration =
      false;                              ///< workspace.didChangeConfiguration.dynamicRegistration
  bool inline_completion = false;         ///< textDocument.inlineCompletion
  bool apply_edit = false;                ///< workspace.applyEdit
  bool code_action_literals = false;      ///< textDocument.codeAction.codeActionLiteralSupport
  bool code_action_resolve_edit = false;  ///< codeAction.resolveSupport names "edit"
  bool document_changes = false;          ///< workspace.workspaceEdit.documentChanges
  bool change_annotations = false;        ///< workspace.workspaceEdit.changeAnnotationSupport
  bool create_files = false;              ///< workspaceEdit.resourceOperations names "create"
  bool chat_view = false;                 ///< experimental.caretd.chat: it shows replies itself
  bool asks_instruction = false;          ///< experimental.caretd.instruction: it can ask for one
};

struct WorkspaceFolder {
  std::string uri;
  std::string name;
};

struct InitializeParams {
  std::string client_name;
  std::string client_version;
  std::vector<WorkspaceFolder> folders;  ///< workspaceFolders, else the older rootUri
  ClientCapabilities capabilities;
  Json initialization_options;
};
bool read(const Json& json, InitializeParams& value, const JsonPath& path);

// Documents.

struct TextDocumentIdentifier {
  std::string uri;
};
bool read(const Json& json, TextDocumentIdentifier& value, const JsonPath& path);

struct DidOpenParams {
  std::string uri;
  std::string language_id;
  std::int64_t version = 0;
  std::string text;
};
bool read(const Json& json, DidOpenParams& value, const JsonPath& path);

bool read(const Json& json, ContentChange& value, const JsonPath& path);

struct DidChangeParams {
  std::string uri;
  std::int64_t version = 0;
  std::vector<ContentChange> changes;
};
bool read(const Json& json, DidChangeParams& value, const JsonPath& path);

/// didClose, didSave and whatever else names one document.
struct DocumentParams {
  std::string uri;
};
bool read(const Json& json, DocumentParams& value, const JsonPath& path);

struct DocumentPositionParams {
  std::string uri;
  Position position;
};
bool read(const Json& json, DocumentPositionParams& value, const JsonPath& path);

// Completion.

/// The item selected in the completion popup: what the suggestion has to extend.
struct SelectedCompletionInfo {
  Range range;
  std::string text;
};
bool read(const Json& json, SelectedCompletionInfo& value, const JsonPath& path);

struct InlineCompletionParams {
  std::string uri;
  Position position;
  bool invoked = false;  ///< triggerKind 1; else automatic
  std::optional<SelectedCompletionInfo> selected;
};
bool read(const Json& json, InlineCompletionParams& value, const JsonPath& path);

struct Command {
  std::string title;
  std::string command;
  Json arguments = Json::array();
};
void to_json(Json& json, const Command& value);

struct InlineCompletionItem {
  std::string insert_text;
  Range range;
  std::optional<Command> command;
};
void to_json(Json& json, const InlineCompletionItem& value);

struct InlineCompletionList {
  std::vector<InlineCompletionItem> items;
};
void to_json(Json& json, const InlineCompletionList& value);

/// The one item that stands for a suggestion in textDocument/completion.
struct CompletionItem {
  std::string label;
  std::string new_text;
  Range range;
  std::string filter_text;
  std::string documentation;  ///< shown as the item's text
  std::optional<Command> command;
};
void to_json(Json& json, const CompletionItem& value);

struct CompletionList {
  bool is_incomplete = true;  ///< asked again while typing: the answer depends on the text
  std::vector<CompletionItem> items;
};
void to_json(Json& json, const CompletionList& value);

// Commands and configuration.

struct ExecuteCommandParams {
  std::string command;
  std::vector<Json> arguments;
};
bool read(const Json& json, ExecuteCommandParams& value, const JsonPath& path);

struct DidChangeConfigurationParams {
  Json settings;
};
bool read(const Json& json, DidChangeConfigurationParams& value, const JsonPath& path);

/// MessageType of window/showMessage.
enum class MessageType : int { error = 1, warning = 2, info = 3, log = 4 };

}  // namespace caretd::lsp
