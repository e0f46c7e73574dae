#include <csignal>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include <sys/signalfd.h>
#include <unistd.h>

#include "daemon/build_info.h"
#include "daemon/commands/ask.h"
#include "daemon/process/unique_fd.h"
#include "daemon/progress.h"
#include "daemon/relay/session_client.h"
#include "lsp/protocol/chat_types.h"

namespace caretd::daemon {

namespace {

using lsp::Json;

constexpr auto kReplyToken = "reply";

/// SIGINT as a descriptor, until it came once.
class InterruptKey {
 public:
  InterruptKey() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
    descriptor_ = UniqueFd(signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  ~InterruptKey() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  InterruptKey(const InterruptKey&) = delete;
  InterruptKey& operator=(const InterruptKey&) = delete;

  [[nodiscard]] Interruption interruption() {
    return {descriptor_.get(), [this] { take(); }};
  }

 private:
  void take() {
    signalfd_siginfo info{};
    if (read(descriptor_.get(), &info, sizeof info) > 0) {
      pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
  }

  sigset_t signals_{};
  sigset_t before_{};
  UniqueFd descriptor_;
};

Json to_params(const lsp::ChatQuestion& question) {
  Json params = {{"message", question.message},
                 {"context", Json::array()},
                 {"partialResultToken", kReplyToken}};
  if (!question.system.empty()) params["system"] = question.system;
  for (const lsp::ContextItem& item : question.context) {
    params["context"].push_back({{"kind", lsp::to_string(item.kind)},
                                 {"textDocument", {{"uri", item.uri}}},
                                 {"name", item.name},
                                 {"text", item.text}});
  }
  return params;
}

/// What the daemon tells while it answers.
class ReplyHearer {
 public:
  ReplyHearer(const lsp::ChatQuestion& question, const lsp::ChatListener& listener)
      : question_(question), listener_(listener) {
    progress_.emplace("loading the model", clock_, stderr_is_terminal());
  }

  void hear(const std::string& method, const Json& params) {
    if (!params.is_object()) return;
    if (method == "$/progress" && params.value("token", Json()) == kReplyToken) {
      on_part(params.value("value", Json()));
    } else if (method == "caretd/status" && params.value("state", Json()) == "starting") {
      const Json percent = params.value("percent", Json());
      if (progress_ && percent.is_number()) progress_->update(percent.get<double>() / 100);
    } else if (method == "window/showMessage") {
      const Json message = params.value("message", Json());
      if (message.is_string()) std::cerr << "caretd: " << message.get<std::string>() << '\n';
    }
  }

  /// Of a reply that was cancelled. What it cost was not told.
  [[nodiscard]] lsp::ChatAnswer answer_so_far() {
    so_far_.reply.reason = engine::FinishReason::cancelled;
    return so_far_;
  }

  /// With the files that never left this process.
  void complete(lsp::ChatOpening& opening) const {
    opening.context.insert(opening.context.end(), question_.refused.begin(),
                           question_.refused.end());
  }

 private:
  void on_part(const Json& part) {
    progress_.reset();
    if (auto opening = lsp::read_json<lsp::ChatOpening>(part)) {
      complete(*opening);
      so_far_.opening = *opening;
      listener_.begun(*opening);
    } else if (part.is_object() && part.value("content", Json()).is_string()) {
      const auto text = part["content"].get<std::string>();
      so_far_.reply.text += text;
      listener_.text(text);
    }
  }

  const lsp::ChatQuestion& question_;
  const lsp::ChatListener& listener_;
  const SteadyClock clock_;
  std::optional<ProgressReporter> progress_;
  lsp::ChatAnswer so_far_;
};

Error to_error(const lsp::ResponseError& error) {
  const bool mistaken = error.code == lsp::ErrorCode::invalid_params;
  return {mistaken ? ErrorKind::invalid_input : ErrorKind::unsupported, error.message};
}

}  // namespace

Result<lsp::ChatAnswer> ask_daemon(std::unique_ptr<Stream> daemon,
                                   const lsp::ChatQuestion& question,
                                   const lsp::ChatListener& listener) {
  ReplyHearer hearer(question, listener);
  SessionClient client(std::move(daemon), [&](const std::string& method, const Json& params) {
    hearer.hear(method, params);
  });
  const auto initialized = client.request(
      "initialize", {{"processId", getpid()},
                     {"rootUri", nullptr},
                     {"clientInfo", {{"name", "caretd chat"}, {"version", version()}}},
                     {"capabilities", Json::object()}});
  if (!initialized) return tl::unexpected(to_error(initialized.error()));
  client.notify("initialized", Json::object());
  InterruptKey key;
  const auto result = client.request("caretd/chat", to_params(question), key.interruption());
  const bool cancelled = !result && result.error().code == lsp::ErrorCode::request_cancelled;
  if (!result && !cancelled) return tl::unexpected(to_error(result.error()));
  if (cancelled) return hearer.answer_so_far();
  auto answer = lsp::read_json<lsp::ChatAnswer>(*result);
  if (answer) hearer.complete(answer->opening);
  return answer;
}

}  // namespace caretd::daemon
