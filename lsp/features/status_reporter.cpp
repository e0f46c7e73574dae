#include "lsp/features/status_reporter.h"

#include <utility>

#include "lsp/protocol/types.h"

namespace caretd::lsp {

StatusReporter::StatusReporter(std::shared_ptr<engine::Engine> engine, EngineRole role,
                               std::shared_ptr<Connection> connection,
                               std::shared_ptr<Executor> strand, std::function<Json()> report,
                               std::function<void()> engine_changed)
    : engine_(std::move(engine)),
      role_(std::move(role)),
      connection_(std::move(connection)),
      strand_(std::move(strand)),
      report_(std::move(report)),
      engine_changed_(std::move(engine_changed)) {}

void StatusReporter::start(bool progress) {
  started_ = true;
  progress_ = progress;
  subscription_ = engine_->on_status(
      [weak = weak_from_this(), strand = strand_](const engine::EngineStatus& status) {
        strand->post([weak, status] {
          if (const auto self = weak.lock()) self->update(status);
        });
      });
  update(engine_->status());
}

void StatusReporter::update(const engine::EngineStatus& status) {
  engine_changed_();
  show_loading(status);
  show_failure(status);
  send_status();
}

void StatusReporter::send_status() {
  if (!started_ || !report_) return;
  Json report = report_();
  if (report == last_sent_) return;
  connection_->notify("caretd/status", report);
  last_sent_ = std::move(report);
}

void StatusReporter::show_loading(const engine::EngineStatus& status) {
  if (!progress_) return;
  const bool starting = status.state == engine::EngineState::starting;
  if (starting && !loading_) {
    const std::string token = role_.loading + "/" + std::to_string(++loads_);
    loading_ = WorkDoneProgress::start(connection_, token, role_.loading);
  }
  if (!loading_) return;
  if (starting) {
    loading_->report(status.percent, {});
  } else {
    loading_->end(status.state == engine::EngineState::ready ? "ready" : status.reason);
    loading_.reset();
  }
}

void StatusReporter::show_failure(const engine::EngineStatus& status) {
  if (status.state != engine::EngineState::failed) {
    failure_shown_ = false;
    return;
  }
  if (std::exchange(failure_shown_, true)) return;
  connection_->notify("window/showMessage", {{"type", static_cast<int>(MessageType::error)},
                                             {"message", role_.failing + ": " + status.reason}});
}

}  // namespace caretd::lsp
