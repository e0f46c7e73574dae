// initialize, configuration, shutdown and exit.

#include <algorithm>
#include <utility>

#include "lsp/server_impl.h"

namespace caretd::lsp {
namespace {

// utf-8 saves converting, so it is taken wherever it is offered; utf-16 is what every client has.
PositionEncoding choose_encoding(const std::vector<PositionEncoding>& offered) {
  const bool utf8 =
      std::find(offered.begin(), offered.end(), PositionEncoding::utf8) != offered.end();
  return utf8 ? PositionEncoding::utf8 : PositionEncoding::utf16;
}

std::string_view encoding_name(PositionEncoding encoding) {
  switch (encoding) {
    case PositionEncoding::utf8:
      return "utf-8";
    case PositionEncoding::utf16:
      return "utf-16";
    case PositionEncoding::utf32:
      return "utf-32";
  }
  return "utf-16";
}

}  // namespace

void Server::bind_lifecycle() {
  binder_.request<InitializeParams>("initialize", [this](InitializeParams params, Reply reply) {
    initialize(params, std::move(reply));
  });
  binder_.notification<NoParams>("initialized", [this](NoParams) { initialized(); });
  binder_.request<NoParams>("shutdown", [this](NoParams, Reply reply) {
    lifecycle_ = Lifecycle::shut_down;
    completions_->stop();
    assistant_->stop();
    reply.result(nullptr);
  });
  binder_.notification<NoParams>(
      "exit", [this](NoParams) { end(lifecycle_ == Lifecycle::shut_down ? 0 : 1); });
  binder_.notification<DidChangeConfigurationParams>(
      "workspace/didChangeConfiguration", [this](DidChangeConfigurationParams params) {
        if (client_.configuration) return pull_configuration();
        if (params.settings.is_object() && params.settings.contains("caretd")) {
          client_settings_.configuration = params.settings["caretd"];
          apply_settings();
        }
      });
  binder_.notification<NoParams>("$/setTrace", [](NoParams) {});
}

Json Server::capabilities() const {
  Json result = {{"positionEncoding", encoding_name(encoding_)},
                 {"textDocumentSync", {{"openClose", true}, {"change", 2}, {"save", true}}},
                 {"inlineCompletionProvider", true},
                 {"executeCommandProvider",
                  {{"commands", {"caretd.accepted", "caretd.setEnabled", "caretd.clearCache"}}}}};
  // A client with ghost text would show the same suggestion in its popup a second time.
  if (!client_.inline_completion) {
    result["completionProvider"] = {{"triggerCharacters", {".", "(", "=", ":"}}};
  }
  assistant_->add_capabilities(result);
  return result;
}

void Server::initialize(const InitializeParams& params, Reply reply) {
  if (lifecycle_ != Lifecycle::created) {
    return reply.error(ErrorCode::invalid_request, "The session is initialized already.");
  }
  lifecycle_ = Lifecycle::initialized;
  client_ = params.capabilities;
  encoding_ = choose_encoding(client_.position_encodings);
  client_settings_.initialization_options = params.initialization_options;
  for (const WorkspaceFolder& folder : params.folders) {
    client_settings_.folders.push_back(folder.uri);
  }
  assistant_->set_client(client_, encoding_);
  pipeline_->set_workspace(client_settings_.folders);
  services_.log->info("client {} {}", params.client_name, params.client_version);
  apply_settings();
  reply.result(Json{{"capabilities", capabilities()},
                    {"serverInfo", {{"name", "caretd"}, {"version", services_.version}}}});
}

void Server::initialized() {
  if (client_.configuration_registration) {
    connection_->call("client/registerCapability",
                      {{"registrations",
                        {{{"id", "caretd-configuration"},
                          {"method", "workspace/didChangeConfiguration"},
                          {"registerOptions", {{"section", "caretd"}}}}}}},
                      [](const Result<Json>&) {});
  }
  if (client_.configuration) pull_configuration();
  client_ready_ = true;
  status_->start(client_.work_done_progress);
  if (chat_status_) chat_status_->start(client_.work_done_progress);
}

void Server::pull_configuration() {
  const auto keep = [weak = weak_from_this()](const Result<Json>& answer) {
    const auto self = weak.lock();
    if (!self || !answer || !answer->is_array() || answer->empty()) return;
    self->client_settings_.configuration = answer->front();
    self->apply_settings();
  };
  connection_->call("workspace/configuration", {{"items", Json::array({{{"section", "caretd"}}})}},
                    keep);
}

void Server::settings_changed() {
  if (lifecycle_ == Lifecycle::initialized) apply_settings();
}

void Server::apply_settings() {
  ResolvedSettings resolved = services_.resolve_settings(client_settings_);
  settings_ = std::move(resolved.settings);
  std::shared_ptr<engine::Engine> chat =
      resolved.chat_engine ? std::move(resolved.chat_engine) : resolved.engine;
  assistant_->use(chat, resolved.chat, settings_);
  if (resolved.engine != engine_) use_engine(std::move(resolved.engine));
  use_chat_engine(std::move(chat));
  apply_switches();
  tell_problems(resolved.problems);
}

// The switches lie over the settings.
void Server::apply_switches() {
  Settings effective = settings_;
  effective.in_comments = switches_.in_comments(settings_);
  completions_->set_settings(effective);
  status_->send_status();
}

void Server::use_engine(std::shared_ptr<engine::Engine> engine) {
  if (completions_) completions_->stop();
  engine_ = std::move(engine);
  completions_ = std::make_shared<CompletionService>(
      CompletionDependencies{engine_, pipeline_, services_.statistics, documents_, strand_,
                             services_.workers, services_.clock, services_.log, number_,
                             [this](const std::string& sentence) { tell_problems({sentence}); }});
  status_ = std::make_shared<StatusReporter>(
      engine_, EngineRole{"caretd: loading the model", "caretd gives no completions"}, connection_,
      strand_, [this] { return Json(status_report()); },
      [this] {
        completions_->engine_changed();
        tell_limits();
      });
  if (client_ready_) status_->start(client_.work_done_progress);
}

void Server::use_chat_engine(std::shared_ptr<engine::Engine> engine) {
  const bool shared = engine == engine_;
  if (engine == chat_engine_ && shared == !chat_status_) return;
  chat_engine_ = std::move(engine);
  chat_status_.reset();
  if (shared) return;
  chat_status_ = std::make_shared<StatusReporter>(
      chat_engine_, EngineRole{"caretd: loading the chat model", "caretd cannot chat"}, connection_,
      strand_, nullptr, [this] { status_->send_status(); });
  if (client_ready_) chat_status_->start(client_.work_done_progress);
}

/// A model that completes less well than the user may expect is used, and named.
void Server::tell_limits() {
  const auto model = engine_->model();
  if (!model || model->fill_in_the_middle || model->left_to_right_wanted) return;
  tell_problems({"'" + model->name +
                 "' was not taught to fill in the middle: completions see only what is in front of "
                 "the cursor. Set model.path to the folder of a model that was, for example "
                 "DeepSeek-Coder-V2-Lite-Base."});
}

void Server::tell_problems(const std::vector<std::string>& problems) {
  for (const std::string& problem : problems) {
    const bool known =
        std::find(told_problems_.begin(), told_problems_.end(), problem) != told_problems_.end();
    if (known) continue;
    connection_->notify("window/showMessage", {{"type", static_cast<int>(MessageType::warning)},
                                               {"message", "caretd: " + problem}});
    told_problems_.push_back(problem);
  }
}

void Server::end(int exit_code) {
  if (lifecycle_ == Lifecycle::over) return;
  stop();
  if (ended_) ended_(exit_code);
  connection_->close();
}

}  // namespace caretd::lsp
