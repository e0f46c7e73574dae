// Work-done progress that the server starts by itself (LSP 3.18, "Server Initiated Progress").
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "lsp/protocol/connection.h"

namespace caretd::lsp {

/// One progress bar in the editor. It is created first and shown only once the client agreed;
/// reports before that are remembered, the latest wins. For the session's strand only.
class WorkDoneProgress : public std::enable_shared_from_this<WorkDoneProgress> {
 public:
  /// Asks the client for a bar named by `token`. `cancellable`: the user may stop the work, which
  /// the client tells as window/workDoneProgress/cancel.
  static std::shared_ptr<WorkDoneProgress> start(std::shared_ptr<Connection> connection,
                                                 std::string token, std::string title,
                                                 bool cancellable = false);

  void report(int percent, std::string message);
  /// Takes the bar away; `message` is the last word.
  void end(std::string message);

 private:
  enum class State : unsigned char { asked, shown, over };

  WorkDoneProgress(std::shared_ptr<Connection> connection, std::string token, std::string title,
                   bool cancellable);
  void on_created(bool agreed);
  void send(Json value);

  const std::shared_ptr<Connection> connection_;
  const std::string token_;
  const std::string title_;
  const bool cancellable_;
  State state_ = State::asked;
  int percent_ = 0;
  std::string message_;
  bool ended_ = false;
};

}  // namespace caretd::lsp
