// A language client in memory: drives a real Session and waits for messages, never for time.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lsp/protocol/framing.h"
#include "lsp/server.h"
#include "tests/helpers/fake_engine.h"
#include "tests/helpers/tiny_tokenizer.h"

namespace caretd::test {

/// The document of most sessions.
inline const std::string kUri = "file:///a.py";

using lsp::Json;

/// What the server wrote, for the test's thread to wait on.
class MemoryTransport final : public lsp::Transport {
 public:
  void write(std::string bytes) override;
  void pause_reading() override {}
  void resume_reading() override {}
  void close() override;

  /// The next message that `wanted` accepts is taken out, whatever came before it stays. Fails the
  /// test after ten seconds.
  Json take(const std::function<bool(const Json&)>& wanted);
  /// The same without waiting.
  std::optional<Json> find(const std::function<bool(const Json&)>& wanted);
  void wait_until_closed();

 private:
  std::optional<Json> remove(const std::function<bool(const Json&)>& wanted);

  std::mutex mutex_;
  std::condition_variable changed_;
  lsp::FrameReader reader_;
  std::deque<Json> messages_;
  bool closed_ = false;
};

/// What the model is given, control tokens by name.
inline std::string prompt_of(const engine::GenerationRequest& request) {
  return prompt_to_string(request.prompt, *tiny_tokenizer());
}

struct SessionOptions {
  Script script = always("");
  engine::EngineState state = engine::EngineState::ready;
  bool paused = false;
  /// Nothing beyond what is asked for, so that a test can count requests.
  lsp::Settings settings{
      .gate = {.automatic = 0}, .think_ahead = false, .warm_opened = false, .alternatives = 0};
  engine::ModelInfo model = FakeEngineOptions{}.model;
  std::shared_ptr<FakeEngine> chat_engine = nullptr;  ///< null: the one that completes
};

/// One session over a fake engine.
class SessionClient {
 public:
  explicit SessionClient(SessionOptions options = {});
  ~SessionClient();

  /// initialize with these capabilities, and initialized. Returns the result of initialize.
  Json start(Json capabilities = Json::object(), Json initialization_options = nullptr);

  int send_request(const std::string& method, Json params);
  void notify(const std::string& method, Json params);
  void send_raw(std::string_view bytes) { session_->receive(bytes); }
  void end_of_input() { session_->end_of_input(); }
  void disconnect() { session_.reset(); }

  /// The response to this id, taken out of what arrived.
  Json response(int id);
  Json request(const std::string& method, Json params) {
    return response(send_request(method, std::move(params)));
  }
  Json notification(const std::string& method);
  /// A request of the server; it is answered with `result`.
  Json serve(const std::string& method, const Json& result);
  /// Round trip: everything sent before has been handled, everything it caused on the strand too.
  void sync() { (void)request("caretd/status", nullptr); }
  /// What the engine has been asked for has ended, and the session has taken note of it.
  void settle();

  void open(const std::string& uri, const std::string& text,
            const std::string& language = "python");
  /// Types at a position: one change, one version more.
  void insert(const std::string& uri, int line, int character, const std::string& text);
  void replace(const std::string& uri, lsp::Range range, const std::string& text);
  int ask(const std::string& uri, int line, int character, Json context = {{"triggerKind", 2}});
  /// The items of an inline completion asked for and answered.
  Json complete(const std::string& uri, int line, int character,
                Json context = {{"triggerKind", 2}});

  /// What builds prompts; runs kWorkers tasks at once.
  static constexpr int kWorkers = 2;
  [[nodiscard]] Executor& workers() { return threads_.long_tasks(); }

  [[nodiscard]] FakeEngine& engine() { return *engine_; }
  [[nodiscard]] MemoryTransport& transport() { return *transport_; }
  [[nodiscard]] ManualClock& clock() { return clock_; }
  [[nodiscard]] lsp::Statistics& statistics() { return *statistics_; }
  [[nodiscard]] std::optional<int> exit_code() const { return exit_code_; }
  /// What the session resolves to from now on.
  void set_settings(const lsp::Settings& settings) { resolved_->settings = settings; }
  /// Before start().
  void set_chat(const lsp::ChatSettings& chat) { resolved_->chat = chat; }
  void set_problems(std::vector<std::string> problems) {
    resolved_->problems = std::move(problems);
  }
  [[nodiscard]] const lsp::ClientSettings& client_settings() const { return resolved_->client; }

 private:
  /// What settings resolve to and were resolved from; the session may outlive the client by a
  /// task.
  struct Resolved {
    lsp::Settings settings;
    std::vector<std::string> problems;
    lsp::ClientSettings client;
    lsp::ChatSettings chat;
  };

  [[nodiscard]] lsp::SessionServices services();
  void send(const Json& message);

  SessionOptions options_;
  ManualClock clock_;
  std::shared_ptr<FakeEngine> engine_;
  std::shared_ptr<lsp::Statistics> statistics_ = std::make_shared<lsp::Statistics>();
  std::shared_ptr<MemoryTransport> transport_ = std::make_shared<MemoryTransport>();
  std::shared_ptr<Resolved> resolved_ = std::make_shared<Resolved>();
  std::optional<int> exit_code_;
  /// Declared after all that its tasks touch: a task of a session that is ending must not copy
  /// engine_ while engine_ is being destroyed.
  TaskThreads threads_{1, kWorkers};
  std::unique_ptr<lsp::Session> session_;
  int next_id_ = 1;
  int version_ = 1;
};

}  // namespace caretd::test
