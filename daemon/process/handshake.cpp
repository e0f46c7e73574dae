#include "daemon/process/handshake.h"

#include <array>
#include <utility>

#include "lsp/protocol/json.h"

namespace caretd::daemon {

namespace {

constexpr std::array<std::pair<Purpose, std::string_view>, 3> kPurposes{
    {{Purpose::session, "session"}, {Purpose::status, "status"}, {Purpose::stop, "stop"}}};

std::string text_of(const lsp::Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::vector<std::string> words_of(const lsp::Json& object) {
  std::vector<std::string> words;
  const auto list = object.find("set");
  if (list == object.end() || !list->is_array()) return words;
  for (const auto& word : *list) {
    if (word.is_string()) words.push_back(word.get<std::string>());
  }
  return words;
}

std::map<std::string, std::string> variables_of(const lsp::Json& object) {
  std::map<std::string, std::string> variables;
  const auto list = object.find("environment");
  if (list == object.end() || !list->is_object()) return variables;
  for (const auto& [name, value] : list->items()) {
    if (value.is_string()) variables.emplace(name, value.get<std::string>());
  }
  return variables;
}

Result<lsp::Json> read_line(std::string_view line) {
  auto json = lsp::parse_json(line);
  if (!json) return json;
  if (!json->is_object() || text_of(*json, "caretd").empty()) {
    return fail(ErrorKind::invalid_input, "the peer is not caretd");
  }
  return json;
}

}  // namespace

std::string write_hello(const Hello& hello) {
  lsp::Json json{{"caretd", hello.version}};
  for (const auto& [purpose, name] : kPurposes) {
    if (purpose == hello.purpose) json["for"] = name;
  }
  if (!hello.token.empty()) json["token"] = hello.token;
  if (!hello.overrides.empty()) json["set"] = hello.overrides;
  if (!hello.environment.empty()) json["environment"] = hello.environment;
  if (!hello.config.empty()) json["config"] = hello.config;
  return lsp::to_string(json) + '\n';
}

std::string write_welcome(const Welcome& welcome) {
  lsp::Json json{{"caretd", welcome.version}};
  if (welcome.error.empty()) {
    json["ok"] = true;
    json["pid"] = welcome.pid;
  } else {
    json["error"] = welcome.error;
  }
  return lsp::to_string(json) + '\n';
}

Result<Hello> read_hello(std::string_view line) {
  auto json = read_line(line);
  if (!json) return pass_on(std::move(json));
  const std::string wanted = text_of(*json, "for");
  for (const auto& [purpose, name] : kPurposes) {
    if (wanted != name) continue;
    return Hello{text_of(*json, "caretd"), purpose,
                 text_of(*json, "token"),  words_of(*json),
                 variables_of(*json),      text_of(*json, "config")};
  }
  return fail(ErrorKind::invalid_input, "the connection says no purpose this version knows");
}

Result<Welcome> read_welcome(std::string_view line) {
  auto json = read_line(line);
  if (!json) return pass_on(std::move(json));
  Welcome welcome{text_of(*json, "caretd"), 0, text_of(*json, "error")};
  const auto pid = json->find("pid");
  if (pid != json->end() && pid->is_number_integer()) welcome.pid = pid->get<int>();
  return welcome;
}

bool equal_secrets(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  }
  return difference == 0;
}

}  // namespace caretd::daemon
