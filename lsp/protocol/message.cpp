#include "lsp/protocol/message.h"

#include <utility>

#include "lsp/protocol/json_reader.h"

namespace caretd::lsp {
namespace {

InvalidMessage invalid(Json id, std::string message) {
  return {std::move(id), {ErrorCode::invalid_request, std::move(message)}};
}

Json take(Json& object, const char* name) {
  const auto field = object.find(name);
  return field == object.end() ? Json() : std::move(*field);
}

Message classify_response(Json& json) {
  const std::optional<RequestId> id = read_request_id(json.value("id", Json()));
  const bool has_result = json.contains("result");
  const bool has_error = json.contains("error") && json["error"].is_object();
  // Answering a broken response would answer an answer, so the caller only logs it.
  if (!id || (!has_result && !has_error)) {
    return invalid(nullptr, "A response needs an id and a result or an error.");
  }
  ResponseMessage response{*id, take(json, "result"), std::nullopt};
  if (has_error) {
    const Json& error = json["error"];
    const Json code = error.value("code", Json());
    const Json message = error.value("message", Json());
    response.error =
        ResponseError{static_cast<ErrorCode>(code.is_number_integer() ? code.get<int>() : -32603),
                      message.is_string() ? message.get<std::string>() : "unknown error"};
  }
  return response;
}

}  // namespace

Json to_json_value(const RequestId& id) {
  return std::visit([](const auto& value) { return Json(value); }, id);
}

std::optional<RequestId> read_request_id(const Json& json) {
  if (json.is_string()) return RequestId(json.get<std::string>());
  const Result<std::int64_t> number = read_json<std::int64_t>(json);
  if (!number) return std::nullopt;
  return RequestId(*number);
}

Message classify(Json json) {
  if (json.is_array()) return invalid(nullptr, "Batches are not part of the protocol.");
  if (!json.is_object()) return invalid(nullptr, "A message is a JSON object.");

  const bool has_id = json.contains("id");
  const std::optional<RequestId> id = has_id ? read_request_id(json["id"]) : std::nullopt;
  const Json reply_id = id ? to_json_value(*id) : Json();
  if (json.value("jsonrpc", Json()) != "2.0") {
    return invalid(reply_id, "A message needs \"jsonrpc\": \"2.0\".");
  }
  const auto method = json.find("method");
  if (method == json.end()) {
    if (json.contains("result") || json.contains("error")) return classify_response(json);
    return invalid(reply_id, "A message needs a method.");
  }
  if (!method->is_string()) return invalid(reply_id, "A method is a string.");
  if (has_id && !id) return invalid(nullptr, "An id is a whole number or a string.");

  std::string name = method->get<std::string>();
  Json params = take(json, "params");
  if (!params.is_structured() && !params.is_null()) {
    return invalid(reply_id, "Params are an object or an array.");
  }
  if (!id) return NotificationMessage{std::move(name), std::move(params)};
  return RequestMessage{*id, std::move(name), std::move(params)};
}

Json make_request(const RequestId& id, std::string_view method, Json params) {
  Json json = make_notification(method, std::move(params));
  json["id"] = to_json_value(id);
  return json;
}

Json make_notification(std::string_view method, Json params) {
  Json json = {{"jsonrpc", "2.0"}, {"method", method}};
  if (!params.is_null()) json["params"] = std::move(params);
  return json;
}

Json make_response(Json id, Json result) {
  return {{"jsonrpc", "2.0"}, {"id", std::move(id)}, {"result", std::move(result)}};
}

Json make_error_response(Json id, const ResponseError& error) {
  return {{"jsonrpc", "2.0"},
          {"id", std::move(id)},
          {"error", {{"code", static_cast<int>(error.code)}, {"message", error.message}}}};
}

}  // namespace caretd::lsp
