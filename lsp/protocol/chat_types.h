// caretd/chat and the code actions (docs/protocol.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lsp/features/chat/code_actions.h"
#include "lsp/features/chat/conversation.h"
#include "lsp/protocol/types.h"

namespace caretd::lsp {

/// A Diagnostic, as far as it is read; `json` is the whole.
struct Diagnostic {
  Range range;
  std::string message;
  std::string source;
  Json json;
};
bool read(const Json& json, Diagnostic& value, const JsonPath& path);

/// One entry of the context that a client names.
struct ChatContextParams {
  std::string kind;  ///< selection, file, openFiles, diagnostics
  std::string uri;   ///< empty for openFiles
  std::optional<Range> range;
  std::optional<std::string> text;  ///< of a file that is not open
  std::string name;                 ///< what the prompt calls that file; empty: what its URI says
  std::vector<Diagnostic> diagnostics;
};
bool read(const Json& json, ChatContextParams& value, const JsonPath& path);

struct ChatParams {
  std::string conversation;
  std::string message;
  bool regenerate = false;
  std::string system;
  std::vector<ChatContextParams> context;
  std::optional<int> max_tokens;
  std::optional<double> temperature;
  Json partial_token;  ///< null where the client wants no partial results
};
bool read(const Json& json, ChatParams& value, const JsonPath& path);

struct CloseChatParams {
  std::string conversation;
};
bool read(const Json& json, CloseChatParams& value, const JsonPath& path);

// What a reply begins with and the whole of it, written by the server and read by a client of ours.
void to_json(Json& json, const ChatOpening& value);
void to_json(Json& json, const ChatAnswer& value);
bool read(const Json& json, engine::FinishReason& value, const JsonPath& path);
bool read(const Json& json, engine::Usage& value, const JsonPath& path);
bool read(const Json& json, ContextReport& value, const JsonPath& path);
bool read(const Json& json, ChatOpening& value, const JsonPath& path);
bool read(const Json& json, ChatAnswer& value, const JsonPath& path);

struct CodeActionParams {
  std::string uri;
  Range range;
  std::vector<Diagnostic> diagnostics;
  std::vector<std::string> only;  ///< empty: every kind
};
bool read(const Json& json, CodeActionParams& value, const JsonPath& path);

/// What an action needs to be carried out later: its `data`, and the argument of its command.
struct ActionData {
  ActionVerb verb = ActionVerb::explain;
  std::string uri;
  std::int64_t version = 0;
  Range range;  ///< of the request, or of the diagnostic
  std::string instruction;
  std::string complaint;
  Json partial_token;  ///< of the command's argument
};
bool read(const Json& json, ActionData& value, const JsonPath& path);
void to_json(Json& json, const ActionData& value);

/// codeAction/resolve: the action as it was offered, and its data.
struct ResolveParams {
  Json action;
  ActionData data;
};
bool read(const Json& json, ResolveParams& value, const JsonPath& path);

/// window/workDoneProgress/cancel.
struct CancelProgressParams {
  Json token;
};
bool read(const Json& json, CancelProgressParams& value, const JsonPath& path);

}  // namespace caretd::lsp
