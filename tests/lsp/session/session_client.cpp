#include "tests/lsp/session/session_client.h"

#include <chrono>
#include <latch>
#include <stdexcept>
#include <utility>

#include "lsp/features/syntax_pipeline.h"
#include "lsp/protocol/message.h"

namespace caretd::test {
namespace {

// Long enough for a loaded machine; a test that passes never waits for it.
constexpr auto kPatience = std::chrono::seconds(60);

}  // namespace

void MemoryTransport::write(std::string bytes) {
  const std::lock_guard lock(mutex_);
  reader_.push(bytes);
  while (auto event = reader_.next()) {
    messages_.push_back(Json::parse(std::get<std::string>(*event)));
  }
  changed_.notify_all();
}

void MemoryTransport::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

std::optional<Json> MemoryTransport::remove(const std::function<bool(const Json&)>& wanted) {
  for (auto message = messages_.begin(); message != messages_.end(); ++message) {
    if (!wanted(*message)) continue;
    Json found = std::move(*message);
    messages_.erase(message);
    return found;
  }
  return std::nullopt;
}

Json MemoryTransport::take(const std::function<bool(const Json&)>& wanted) {
  std::unique_lock lock(mutex_);
  std::optional<Json> found;
  const bool arrived = changed_.wait_for(lock, kPatience, [&] {
    found = remove(wanted);
    return found.has_value();
  });
  if (!arrived) throw std::runtime_error("the expected message did not arrive");
  return *std::move(found);
}

std::optional<Json> MemoryTransport::find(const std::function<bool(const Json&)>& wanted) {
  const std::lock_guard lock(mutex_);
  return remove(wanted);
}

void MemoryTransport::wait_until_closed() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [&] { return closed_; })) {
    throw std::runtime_error("the transport was not closed");
  }
}

SessionClient::SessionClient(SessionOptions options) : options_(std::move(options)) {
  resolved_->settings = options_.settings;
  FakeEngineOptions engine_options;
  engine_options.tokenizer = tiny_tokenizer();
  engine_options.state = options_.state;
  engine_options.paused = options_.paused;
  engine_options.model = options_.model;
  engine_ = std::make_shared<FakeEngine>(options_.script, engine_options);
  session_ = std::make_unique<lsp::Session>(services(), 1, transport_,
                                            [this](int code) { exit_code_ = code; });
}

SessionClient::~SessionClient() {
  session_.reset();
  // The sinks of requests that still run post to threads_, which ends before engine_ does.
  engine_->stop();
  if (options_.chat_engine) options_.chat_engine->stop();
}

lsp::SessionServices SessionClient::services() {
  return {statistics_,
          [](std::shared_ptr<const lsp::DocumentStore> documents)
              -> std::shared_ptr<lsp::CompletionPipeline> {
            return std::make_shared<lsp::SyntaxPipeline>(
                std::move(documents), [](const std::string& path) {
                  return path == "/project/.gitignore" ? std::optional<std::string>("out/\n")
                                                       : std::nullopt;
                });
          },
          [resolved = resolved_, engine = engine_,
           chat = options_.chat_engine](const lsp::ClientSettings& client) {
            resolved->client = client;
            return lsp::ResolvedSettings{resolved->settings, engine, resolved->problems, chat,
                                         resolved->chat};
          },
          threads_.short_tasks(),
          threads_.long_tasks(),
          clock_,
          make_null_logger(),
          "1.2.3"};
}

void SessionClient::send(const Json& message) {
  session_->receive(lsp::frame(message.dump()));
}

Json SessionClient::start(Json capabilities, Json initialization_options) {
  const Json answer =
      request("initialize", {{"processId", nullptr},
                             {"rootUri", "file:///project"},
                             {"capabilities", std::move(capabilities)},
                             {"initializationOptions", std::move(initialization_options)}});
  notify("initialized", Json::object());
  return answer.at("result");
}

int SessionClient::send_request(const std::string& method, Json params) {
  const int id = next_id_++;
  send(lsp::make_request(lsp::RequestId(std::int64_t{id}), method, std::move(params)));
  return id;
}

void SessionClient::notify(const std::string& method, Json params) {
  send(lsp::make_notification(method, std::move(params)));
}

Json SessionClient::response(int id) {
  return transport_->take([id](const Json& message) {
    return !message.contains("method") && message.value("id", Json()) == id;
  });
}

Json SessionClient::notification(const std::string& method) {
  return transport_
      ->take([&](const Json& message) {
        return message.value("method", "") == method && !message.contains("id");
      })
      .value("params", Json());
}

Json SessionClient::serve(const std::string& method, const Json& result) {
  const Json message = transport_->take([&](const Json& candidate) {
    return candidate.value("method", "") == method && candidate.contains("id");
  });
  send(lsp::make_response(message.at("id"), result));
  return message.value("params", Json());
}

void SessionClient::settle() {
  engine_->drain();
  // Tasks as many as there are workers can only meet once what was posted before them is done.
  const auto meeting = std::make_shared<std::latch>(kWorkers);
  for (int i = 0; i < kWorkers; ++i) workers().post([meeting] { meeting->arrive_and_wait(); });
  meeting->wait();
  sync();
}

void SessionClient::open(const std::string& uri, const std::string& text,
                         const std::string& language) {
  notify("textDocument/didOpen",
         {{"textDocument",
           {{"uri", uri}, {"languageId", language}, {"version", version_}, {"text", text}}}});
}

void SessionClient::insert(const std::string& uri, int line, int character,
                           const std::string& text) {
  const lsp::Position at{static_cast<std::uint32_t>(line), static_cast<std::uint32_t>(character)};
  replace(uri, {at, at}, text);
}

void SessionClient::replace(const std::string& uri, lsp::Range range, const std::string& text) {
  const auto position = [](const lsp::Position& p) {
    return Json{{"line", p.line}, {"character", p.character}};
  };
  notify(
      "textDocument/didChange",
      {{"textDocument", {{"uri", uri}, {"version", ++version_}}},
       {"contentChanges",
        Json::array({{{"range", {{"start", position(range.start)}, {"end", position(range.end)}}},
                      {"text", text}}})}});
}

int SessionClient::ask(const std::string& uri, int line, int character, Json context) {
  return send_request("textDocument/inlineCompletion",
                      {{"textDocument", {{"uri", uri}}},
                       {"position", {{"line", line}, {"character", character}}},
                       {"context", std::move(context)}});
}

Json SessionClient::complete(const std::string& uri, int line, int character, Json context) {
  return response(ask(uri, line, character, std::move(context))).at("result").at("items");
}

}  // namespace caretd::test
