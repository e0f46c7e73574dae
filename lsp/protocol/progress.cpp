#include "lsp/protocol/progress.h"

#include <utility>

namespace caretd::lsp {

WorkDoneProgress::WorkDoneProgress(std::shared_ptr<Connection> connection, std::string token,
                                   std::string title, bool cancellable)
    : connection_(std::move(connection)),
      token_(std::move(token)),
      title_(std::move(title)),
      cancellable_(cancellable) {}

std::shared_ptr<WorkDoneProgress> WorkDoneProgress::start(std::shared_ptr<Connection> connection,
                                                          std::string token, std::string title,
                                                          bool cancellable) {
  std::shared_ptr<WorkDoneProgress> progress(new WorkDoneProgress(
      std::move(connection), std::move(token), std::move(title), cancellable));
  progress->connection_->call(
      "window/workDoneProgress/create", {{"token", progress->token_}},
      [progress](const Result<Json>& answer) { progress->on_created(answer.has_value()); });
  return progress;
}

void WorkDoneProgress::on_created(bool agreed) {
  state_ = agreed && !ended_ ? State::shown : State::over;
  if (state_ == State::over) return;
  send({{"kind", "begin"},
        {"title", title_},
        {"cancellable", cancellable_},
        {"percentage", percent_},
        {"message", message_}});
}

void WorkDoneProgress::report(int percent, std::string message) {
  percent_ = percent;
  message_ = std::move(message);
  if (state_ != State::shown) return;
  send({{"kind", "report"}, {"percentage", percent_}, {"message", message_}});
}

void WorkDoneProgress::end(std::string message) {
  if (std::exchange(ended_, true) || state_ != State::shown) return;
  state_ = State::over;
  send({{"kind", "end"}, {"message", std::move(message)}});
}

void WorkDoneProgress::send(Json value) {
  connection_->notify("$/progress", {{"token", token_}, {"value", std::move(value)}});
}

}  // namespace caretd::lsp
