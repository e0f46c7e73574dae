#include "daemon/replay/editor.h"

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <variant>

#include <fcntl.h>

#include "lsp/protocol/framing.h"

namespace caretd::daemon::replay {

namespace {

using nlohmann::json;

constexpr auto kEncoding = lsp::PositionEncoding::utf8;

struct PipeEnds {
  UniqueFd read;
  UniqueFd write;
};

PipeEnds make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "a pipe cannot be made");
  }
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

json position_of(lsp::Position position) {
  return {{"line", position.line}, {"character", position.character}};
}

lsp::Position position_in(const json& value) {
  return {value.at("line").get<std::uint32_t>(), value.at("character").get<std::uint32_t>()};
}

std::string notification(std::string_view method, json params) {
  return lsp::frame(
      json{{"jsonrpc", "2.0"}, {"method", method}, {"params", std::move(params)}}.dump());
}

std::optional<Item> first_item(const json& message) {
  const json& items = message.at("result").at("items");
  if (items.empty()) return std::nullopt;
  const json& item = items.front();
  return Item{item.at("insertText").get<std::string>(),
              {position_in(item.at("range").at("start")), position_in(item.at("range").at("end"))}};
}

}  // namespace

Editor::Editor(const lsp::SessionServices& services, const Clock& clock) : clock_(clock) {
  PipeEnds in = make_pipe();
  PipeEnds out = make_pipe();
  server_input_ = std::move(in.read);
  to_server_ = std::move(in.write);
  from_server_ = std::move(out.read);
  server_output_ = std::move(out.write);
  transport_ = std::make_shared<StdioTransport>(server_input_.get(), server_output_.get());
  session_ = std::make_unique<lsp::Session>(services, 1, transport_, [](int) {});
  server_ = std::thread([this] {
    transport_->run([this](std::string_view bytes) { session_->receive(bytes); },
                    [this] { session_->end_of_input(); });
  });
  reader_ = std::thread([this] { read_answers(); });
  call("initialize", {{"processId", nullptr},
                      {"rootUri", nullptr},
                      {"clientInfo", {{"name", "caretd replay"}}},
                      {"capabilities",
                       {{"general", {{"positionEncodings", {"utf-8"}}}},
                        {"textDocument", {{"inlineCompletion", json::object()}}}}}});
  send(notification("initialized", json::object()));
}

Editor::~Editor() {
  send(request(next_id_++, "shutdown", nullptr) + notification("exit", nullptr));
  to_server_.reset();
  server_.join();
  session_.reset();
  server_output_.reset();
  reader_.join();
}

void Editor::open(const std::string& uri, const std::string& language, const std::string& text) {
  uri_ = uri;
  version_ = 1;
  document_ = lsp::Text(text);
  send(notification(
      "textDocument/didOpen",
      {{"textDocument",
        {{"uri", uri}, {"languageId", language}, {"version", version_}, {"text", text}}}}));
  synchronise();
}

void Editor::close() {
  send(notification("textDocument/didClose", {{"textDocument", {{"uri", uri_}}}}));
  synchronise();
}

std::int64_t Editor::edit(std::size_t begin, std::size_t end, std::string_view text) {
  const json range{{"start", position_of(document_.position_at(begin, kEncoding))},
                   {"end", position_of(document_.position_at(end, kEncoding))}};
  document_.replace(begin, end, text);
  const lsp::Position cursor = document_.position_at(begin + text.size(), kEncoding);
  const std::int64_t id = next_id_++;
  send(notification("textDocument/didChange",
                    {{"textDocument", {{"uri", uri_}, {"version", ++version_}}},
                     {"contentChanges", {{{"range", range}, {"text", text}}}}}) +
       request(id, "textDocument/inlineCompletion",
               {{"textDocument", {{"uri", uri_}}},
                {"position", position_of(cursor)},
                {"context", {{"triggerKind", 2}}}}));
  return id;
}

void Editor::look_at(std::size_t offset) {
  send(notification("caretd/didFocus",
                    {{"textDocument", {{"uri", uri_}}},
                     {"position", position_of(document_.position_at(offset, kEncoding))}}));
}

std::optional<Answer> Editor::wait_for(std::int64_t handle, std::optional<TimePoint> until) {
  auto response = take(handle, until);
  if (!response) return std::nullopt;
  if (response->message.contains("error")) return Answer{response->arrived, std::nullopt};
  return Answer{response->arrived, first_item(response->message)};
}

nlohmann::json Editor::why() {
  return call("caretd/why", {{"textDocument", {{"uri", uri_}}}});
}

void Editor::synchronise() {
  call("caretd/status", nullptr);
}

std::string Editor::request(std::int64_t id, std::string_view method, json params) const {
  return lsp::frame(
      json{{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", std::move(params)}}
          .dump());
}

nlohmann::json Editor::call(std::string_view method, json params) {
  const std::int64_t id = next_id_++;
  send(request(id, method, std::move(params)));
  const auto response = take(id, std::nullopt);
  return response->message.value("result", json());
}

std::optional<Editor::Response> Editor::take(std::int64_t id, std::optional<TimePoint> until) {
  std::unique_lock lock(mutex_);
  const auto there = [&] { return responses_.contains(id) || ended_; };
  if (!until) {
    arrived_.wait(lock, there);
  } else if (!arrived_.wait_until(lock, *until, there)) {
    return std::nullopt;
  }
  const auto found = responses_.find(id);
  if (found == responses_.end()) throw std::runtime_error("the server ended the session");
  Response response = std::move(found->second);
  responses_.erase(responses_.begin(), std::next(found));  // older ones are not waited for
  return response;
}

void Editor::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t written = ::write(to_server_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // the server is gone; whoever waits for it is told
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void Editor::read_answers() {
  lsp::FrameReader frames;
  std::array<char, 1 << 16> buffer;
  while (true) {
    const ssize_t got = ::read(from_server_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    const TimePoint now = clock_.now();
    frames.push({buffer.data(), static_cast<std::size_t>(got)});
    while (const auto event = frames.next()) {
      const auto* body = std::get_if<std::string>(&*event);
      json message = body ? json::parse(*body, nullptr, false) : json();
      if (!message.is_object() || message.contains("method") || !message.contains("id")) continue;
      const auto id = message["id"].get<std::int64_t>();
      const std::lock_guard lock(mutex_);
      responses_.insert_or_assign(id, Response{now, std::move(message)});
      arrived_.notify_all();
    }
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  arrived_.notify_all();
}

}  // namespace caretd::daemon::replay
