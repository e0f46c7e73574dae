#include "daemon/remote/remote_server.h"

#include <utility>

#include "daemon/config/secret.h"

namespace caretd::daemon {

namespace {

using Found = std::function<void(Result<RemoteServer>)>;

constexpr std::size_t kMostListBytes = std::size_t{1} << 20;
constexpr std::size_t kFimTokenCount = 3;

/// Waits for the list of models.
class ModelList final : public ClientListener {
 public:
  ModelList(RemoteServer server, RemoteSettings settings, Found found)
      : server_(std::move(server)), settings_(std::move(settings)), found_(std::move(found)) {}

  [[nodiscard]] bool on_body(int, std::string_view bytes) override {
    body_ += bytes;
    return body_.size() <= kMostListBytes;
  }

  void on_end(const ClientOutcome& outcome) override {
    auto model = model_of(outcome);
    if (!model) return found_(pass_on(std::move(model)));
    server_.model = *std::move(model);
    server_.features = features_for(server_.model, settings_);
    found_(std::move(server_));
  }

 private:
  [[nodiscard]] Result<RemoteModel> model_of(const ClientOutcome& outcome) const {
    const std::string host = host_of(settings_.url);
    const std::string where = "The remote server " + host;
    if (!outcome.failure.empty()) return fail(ErrorKind::io, where + ": " + outcome.failure);
    // A server without a list serves what it is asked for.
    const bool no_list = outcome.status == 404 && !settings_.model.empty();
    if (no_list) return RemoteModel{settings_.model, {}, 0};
    if (outcome.status != 200) return tl::unexpected(error_of(outcome.status, body_, host));
    auto model = read_models(body_, settings_.model);
    if (!model) return pass_on(std::move(model), where);
    return model;
  }

  RemoteServer server_;
  const RemoteSettings settings_;
  const Found found_;
  std::string body_;
};

/// What the settings and their files say, before the server is asked.
Result<RemoteServer> read_setup(const RemoteSettings& settings) {
  RemoteServer server;
  auto base = base_url(settings.url);
  if (!base) return pass_on(std::move(base));
  server.base = *std::move(base);
  auto key = read_secret(settings.api_key, settings.key_file, "remote.key_file");
  if (!key) return pass_on(std::move(key));
  server.api_key = *std::move(key);
  server.fill_in_the_middle = settings.fim != "off";
  if (settings.fim_tokens.size() != kFimTokenCount) {
    return fail(ErrorKind::invalid_input,
                "remote.fim_tokens must be three: before the prefix, the suffix and the middle");
  }
  if (settings.tokenizer.empty()) return server;
  auto tokenizer = engine::Tokenizer::load(settings.tokenizer);
  if (!tokenizer) return pass_on(std::move(tokenizer), "remote.tokenizer");
  server.tokenizer = *std::move(tokenizer);
  return server;
}

}  // namespace

std::vector<std::string> RemoteServer::headers() const {
  std::vector<std::string> headers{"Content-Type: application/json"};
  if (!api_key.empty()) headers.push_back("Authorization: Bearer " + api_key);
  return headers;
}

engine::ModelInfo RemoteServer::describe(const std::string& host) const {
  return {.name = model.name,
          .device = host,
          .weight_format = "remote",
          .context_tokens = model.context_tokens,
          .fill_in_the_middle = fill_in_the_middle,
          .left_to_right_wanted = !fill_in_the_middle,
          .chat = tokenizer != nullptr && !tokenizer->chat_template().empty(),
          .local = false};
}

void find_server(HttpClient& client, const RemoteSettings& settings, Found found) {
  auto server = read_setup(settings);
  if (!server) return found(std::move(server));
  ClientRequest request{server->base + "/models", server->headers(), {}};
  (void)client.send(std::move(request),
                    std::make_shared<ModelList>(*std::move(server), settings, std::move(found)),
                    false);
}

}  // namespace caretd::daemon
