#include "lsp/protocol/chat_types.h"

#include <algorithm>
#include <array>

namespace caretd::lsp {
namespace {

// Longer messages and instructions are a mistake of the client, not a question.
constexpr std::size_t kLongestMessage = std::size_t{1} << 20;

struct ActionContext {
  std::vector<Diagnostic> diagnostics;
  std::vector<std::string> only;
};

bool read(const Json& json, ActionContext& value, const JsonPath& path) {
  return bool(ObjectReader(json, path)
                  .optional("diagnostics", value.diagnostics)
                  .optional("only", value.only));
}

bool is_token(const Json& token, const JsonPath& path) {
  return token.is_null() || token.is_string() || token.is_number_integer() ||
         path.field("partialResultToken").expected("a string or a whole number");
}

Json report_to_json(const ContextReport& report) {
  Json json = {{"kind", to_string(report.kind)},
               {"uri", report.uri},
               {"tokens", report.tokens},
               {"totalTokens", report.total_tokens}};
  if (!report.left_out.empty()) json["leftOut"] = report.left_out;
  return json;
}

constexpr std::array<std::pair<engine::FinishReason, std::string_view>, 4> kReasons = {{
    {engine::FinishReason::end_of_sentence, "end"},
    {engine::FinishReason::max_tokens, "maxTokens"},
    {engine::FinishReason::context_full, "contextFull"},
    {engine::FinishReason::cancelled, "cancelled"},
}};

std::string_view reason_name(engine::FinishReason reason) {
  const auto* const known =
      std::ranges::find(kReasons, reason, [](const auto& entry) { return entry.first; });
  return known == kReasons.end() ? "end" : known->second;
}

}  // namespace

bool read(const Json& json, Diagnostic& value, const JsonPath& path) {
  value.json = json;
  return bool(ObjectReader(json, path)
                  .required("range", value.range)
                  .required("message", value.message)
                  .optional("source", value.source));
}

bool read(const Json& json, ChatContextParams& value, const JsonPath& path) {
  ObjectReader reader(json, path);
  if (!reader.required("kind", value.kind)) return false;
  const bool known = value.kind == "selection" || value.kind == "file" ||
                     value.kind == "openFiles" || value.kind == "diagnostics";
  if (!known) {
    return path.field("kind").expected("one of selection, file, openFiles, diagnostics");
  }
  TextDocumentIdentifier document;
  if (value.kind != "openFiles") reader.required("textDocument", document);
  reader.optional("range", value.range)
      .optional("text", value.text)
      .optional("name", value.name)
      .optional("diagnostics", value.diagnostics);
  value.uri = std::move(document.uri);
  return bool(reader);
}

bool read(const Json& json, ChatParams& value, const JsonPath& path) {
  ObjectReader reader(json, path);
  reader.optional("conversationId", value.conversation)
      .optional("message", value.message)
      .optional("regenerate", value.regenerate)
      .optional("system", value.system)
      .optional("context", value.context)
      .optional("maxTokens", value.max_tokens)
      .optional("temperature", value.temperature)
      .optional("partialResultToken", value.partial_token);
  if (!reader) return false;
  if (value.message.empty() && !value.regenerate) {
    return path.field("message").expected("a question");
  }
  if (value.message.size() > kLongestMessage) {
    return path.field("message").expected("at most 1 MiB");
  }
  if (value.max_tokens && *value.max_tokens < 1) {
    return path.field("maxTokens").expected("a number above 0");
  }
  if (value.temperature && !(*value.temperature >= 0.0 && *value.temperature <= 2.0)) {
    return path.field("temperature").expected("a number from 0 to 2");
  }
  return is_token(value.partial_token, path);
}

bool read(const Json& json, CloseChatParams& value, const JsonPath& path) {
  return bool(ObjectReader(json, path).required("conversationId", value.conversation));
}

void to_json(Json& json, const ChatOpening& value) {
  json = {{"conversationId", value.conversation},
          {"context", Json::array()},
          {"promptTokens", value.prompt.tokens},
          {"messagesLeftOut", value.prompt.left_out}};
  for (const ContextReport& report : value.context) {
    json["context"].push_back(report_to_json(report));
  }
  if (!value.notice.empty()) json["notice"] = value.notice;
}

void to_json(Json& json, const ChatAnswer& value) {
  to_json(json, value.opening);
  const engine::Usage& usage = value.reply.usage;
  json["content"] = value.reply.text;
  json["finishReason"] = reason_name(value.reply.reason);
  if (usage.prompt_tokens + usage.generated_tokens == 0) return;  // nobody counted
  json["usage"] = {{"promptTokens", usage.prompt_tokens},
                   {"cachedTokens", usage.cached_tokens},
                   {"computedTokens", usage.computed_tokens},
                   {"generatedTokens", usage.generated_tokens}};
}

bool read(const Json& json, engine::FinishReason& value, const JsonPath& path) {
  std::string name;
  if (!read(json, name, path)) return false;
  const auto* const known =
      std::ranges::find(kReasons, name, [](const auto& entry) { return entry.second; });
  if (known == kReasons.end()) return path.expected("a reason to finish");
  value = known->first;
  return true;
}

bool read(const Json& json, ContextReport& value, const JsonPath& path) {
  std::string kind;
  ObjectReader reader(json, path);
  reader.required("kind", kind)
      .required("uri", value.uri)
      .required("tokens", value.tokens)
      .required("totalTokens", value.total_tokens)
      .optional("leftOut", value.left_out);
  value.kind = kind_of_context(kind);
  return bool(reader);
}

bool read(const Json& json, engine::Usage& value, const JsonPath& path) {
  return bool(ObjectReader(json, path)
                  .required("promptTokens", value.prompt_tokens)
                  .required("cachedTokens", value.cached_tokens)
                  .required("computedTokens", value.computed_tokens)
                  .required("generatedTokens", value.generated_tokens));
}

bool read(const Json& json, ChatOpening& value, const JsonPath& path) {
  return bool(ObjectReader(json, path)
                  .required("conversationId", value.conversation)
                  .required("context", value.context)
                  .required("promptTokens", value.prompt.tokens)
                  .required("messagesLeftOut", value.prompt.left_out)
                  .optional("notice", value.notice));
}

bool read(const Json& json, ChatAnswer& value, const JsonPath& path) {
  return read(json, value.opening, path) && ObjectReader(json, path)
                                                .required("content", value.reply.text)
                                                .required("finishReason", value.reply.reason)
                                                .optional("usage", value.reply.usage);
}

bool read(const Json& json, CodeActionParams& value, const JsonPath& path) {
  TextDocumentIdentifier document;
  ActionContext context;
  ObjectReader reader(json, path);
  reader.required("textDocument", document)
      .required("range", value.range)
      .optional("context", context);
  value.uri = std::move(document.uri);
  value.diagnostics = std::move(context.diagnostics);
  value.only = std::move(context.only);
  return bool(reader);
}

bool read(const Json& json, ActionData& value, const JsonPath& path) {
  std::string verb;
  ObjectReader reader(json, path);
  reader.required("verb", verb)
      .required("uri", value.uri)
      .required("version", value.version)
      .required("range", value.range)
      .optional("instruction", value.instruction)
      .optional("complaint", value.complaint)
      .optional("partialResultToken", value.partial_token);
  if (!reader) return false;
  const auto known = verb_of("caretd." + verb);
  if (!known) return path.field("verb").expected("an action of caretd");
  value.verb = *known;
  if (value.instruction.size() > kLongestMessage) {
    return path.field("instruction").expected("at most 1 MiB");
  }
  return is_token(value.partial_token, path);
}

void to_json(Json& json, const ActionData& value) {
  constexpr std::string_view kPrefix = "caretd.";
  json = {{"verb", command_of(value.verb).substr(kPrefix.size())},
          {"uri", value.uri},
          {"version", value.version},
          {"range", value.range}};
  if (!value.complaint.empty()) json["complaint"] = value.complaint;
  if (!value.instruction.empty()) json["instruction"] = value.instruction;
}

bool read(const Json& json, ResolveParams& value, const JsonPath& path) {
  value.action = json;
  return bool(ObjectReader(json, path).required("data", value.data));
}

bool read(const Json& json, CancelProgressParams& value, const JsonPath& path) {
  return bool(ObjectReader(json, path).required("token", value.token));
}

}  // namespace caretd::lsp
