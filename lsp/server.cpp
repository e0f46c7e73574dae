#include "lsp/server.h"

#include <utility>

#include "lsp/server_impl.h"

namespace caretd::lsp {
namespace {

/// A pipeline that knows code answers for chat and actions, too.
std::shared_ptr<SourceKnowledge> knowledge_of(const std::shared_ptr<CompletionPipeline>& pipeline) {
  auto knowledge = std::dynamic_pointer_cast<SourceKnowledge>(pipeline);
  return knowledge ? knowledge : std::make_shared<SourceKnowledge>();
}

}  // namespace

Session::Session(const SessionServices& services, std::uint64_t number,
                 std::shared_ptr<Transport> transport, Ended ended)
    : server_(std::make_shared<Server>(services, number, std::move(transport), std::move(ended))) {
  server_->open();
}

Session::~Session() {
  server_->connection().shut();
  server_->strand().post([server = server_] { server->stop(); });
}

void Session::receive(std::string_view bytes) {
  server_->connection().receive(bytes);
}

void Session::end_of_input() {
  server_->strand().post([server = server_] { server->end_of_input(); });
}

void Session::settings_changed() {
  server_->strand().post([server = server_] { server->settings_changed(); });
}

bool Session::has_unanswered() const {
  return server_->connection().has_unanswered();
}

Server::Server(SessionServices services, std::uint64_t number, std::shared_ptr<Transport> transport,
               Session::Ended ended)
    : services_(std::move(services)),
      strand_(std::make_shared<Strand>(services_.handlers)),
      connection_(std::make_shared<Connection>(
          std::move(transport), strand_, services_.clock, services_.log,
          ConnectionLimits{.frame = {}, .open_requests = services_.open_requests})),
      documents_(std::make_shared<DocumentStore>(number)),
      pipeline_(services_.make_pipeline(documents_)),
      number_(number),
      assistant_(std::make_shared<Assistant>(
          AssistantServices{connection_, documents_, knowledge_of(pipeline_), strand_,
                            services_.workers, services_.clock, number_})),
      ended_(std::move(ended)) {}

void Server::open() {
  connection_->set_handler(weak_from_this());
  bind_lifecycle();
  bind_documents();
  bind_completion();
  bind_extensions();
  assistant_->bind(binder_);
}

void Server::on_request(const std::string& method, const Json& params, Reply reply) {
  if (lifecycle_ == Lifecycle::created && method != "initialize") {
    return reply.error(ErrorCode::server_not_initialized,
                       "The session has to begin with 'initialize'.");
  }
  if (lifecycle_ == Lifecycle::shut_down || lifecycle_ == Lifecycle::over) {
    return reply.error(ErrorCode::invalid_request, "The session was shut down.");
  }
  if (const Binder::RequestHandler* handler = binder_.find_request(method)) {
    return (*handler)(params, std::move(reply));
  }
  reply.error(ErrorCode::method_not_found, "There is no method '" + method + "'.");
}

void Server::on_notification(const std::string& method, const Json& params) {
  if (lifecycle_ != Lifecycle::initialized && method != "exit") return;
  const Binder::NotificationHandler* handler = binder_.find_notification(method);
  if (handler == nullptr) {
    services_.log->debug("notification '{}' was ignored", method);
    return;
  }
  if (const Result<void> handled = (*handler)(params); !handled) {
    services_.log->warn("notification '{}' was ignored: {}", method, handled.error().message);
  }
}

void Server::end_of_input() {
  end(lifecycle_ == Lifecycle::shut_down ? 0 : 1);
}

void Server::stop() {
  lifecycle_ = Lifecycle::over;
  if (completions_) completions_->stop();
  assistant_->stop();
  status_.reset();
  chat_status_.reset();
}

}  // namespace caretd::lsp
