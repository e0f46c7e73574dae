#include "lsp/protocol/connection.h"

#include <optional>
#include <string>
#include <vector>

#include "lsp/protocol/binder.h"
#include "lsp/protocol/progress.h"
#include "tests/helpers/catch.h"

using namespace caretd;
using namespace caretd::lsp;

namespace {

struct RecordingTransport final : Transport {
  void write(std::string bytes) override { reader.push(bytes); }
  void pause_reading() override { ++pauses; }
  void resume_reading() override { ++resumes; }
  void close() override { closed = true; }

  std::optional<Json> next() {
    auto event = reader.next();
    if (!event) return std::nullopt;
    return Json::parse(std::get<std::string>(*event));
  }

  FrameReader reader;
  int pauses = 0;
  int resumes = 0;
  bool closed = false;
};

struct KeepingHandler final : MessageHandler {
  void on_request(const std::string& method, const Json&, Reply reply) override {
    methods.push_back(method);
    if (method == "throw") throw std::runtime_error("oops");
    replies.push_back(std::move(reply));
  }
  void on_notification(const std::string& method, const Json&) override {
    methods.push_back(method);
  }
  std::vector<std::string> methods;
  std::vector<Reply> replies;
};

/// Runs tasks when told to.
struct ManualExecutor final : Executor {
  void post(Task task) override { tasks.push_back(std::move(task)); }
  void run() {
    while (!tasks.empty()) {
      Task task = std::move(tasks.front());
      tasks.erase(tasks.begin());
      task();
    }
  }
  std::vector<Task> tasks;
};

struct Fixture {
  std::shared_ptr<RecordingTransport> transport = std::make_shared<RecordingTransport>();
  std::shared_ptr<KeepingHandler> handler = std::make_shared<KeepingHandler>();
  std::shared_ptr<ManualExecutor> executor = std::make_shared<ManualExecutor>();
  ManualClock clock;
  std::shared_ptr<Connection> connection;

  explicit Fixture(ConnectionLimits limits = {})
      : connection(
            std::make_shared<Connection>(transport, executor, clock, make_null_logger(), limits)) {
    connection->set_handler(handler);
  }

  void receive(const Json& json) {
    connection->receive(frame(json.dump()));
    executor->run();
  }
  void request(const Json& id, const std::string& method) {
    receive({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}});
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a reply is sent once and the first one counts") {
  request(1, "a");
  Reply reply = std::move(handler->replies[0]);
  CHECK(reply);
  reply.result(5);
  CHECK_FALSE(reply);
  reply.error(ErrorCode::internal_error, "too late");
  CHECK(transport->next() == Json({{"jsonrpc", "2.0"}, {"id", 1}, {"result", 5}}));
  CHECK_FALSE(transport->next());
}

TEST_CASE_METHOD(Fixture, "a dropped reply answers internal error") {
  request("x", "a");
  handler->replies.clear();
  const Json answer = transport->next().value();
  CHECK(answer["id"] == "x");
  CHECK(answer["error"]["code"] == -32603);
}

TEST_CASE_METHOD(Fixture, "a handler that throws costs its request and nothing else") {
  request(1, "throw");
  CHECK(transport->next().value()["error"]["code"] == -32603);
  request(2, "a");
  handler->replies[0].result(nullptr);
  CHECK(transport->next().value()["result"].is_null());
}

TEST_CASE_METHOD(Fixture, "cancel stops the token of the open request it names") {
  request(1, "a");
  request("1", "b");
  receive({{"jsonrpc", "2.0"}, {"method", "$/cancelRequest"}, {"params", {{"id", "1"}}}});
  CHECK_FALSE(handler->replies[0].cancelled().stop_requested());
  CHECK(handler->replies[1].cancelled().stop_requested());
  receive({{"jsonrpc", "2.0"}, {"method", "$/cancelRequest"}, {"params", {{"id", 99}}}});
  receive({{"jsonrpc", "2.0"}, {"method", "$/cancelRequest"}, {"params", Json::array()}});
  CHECK_FALSE(transport->next());
}

TEST_CASE_METHOD(Fixture, "an id that is still open is refused and may be used again later") {
  request(1, "a");
  request(1, "a");
  CHECK(transport->next().value()["error"]["code"] == -32600);
  handler->replies[0].result(1);
  CHECK(transport->next().value()["result"] == 1);
  request(1, "a");
  CHECK(handler->replies.size() == 2);
}

TEST_CASE("open requests have a limit") {
  ConnectionLimits limits;
  limits.open_requests = 3;
  Fixture fixture(limits);
  for (int i = 0; i < 4; ++i) fixture.request(i, "a");
  const Json refused = fixture.transport->next().value();
  CHECK(refused["id"] == 3);
  CHECK(refused["error"]["code"] == -32803);
}

TEST_CASE_METHOD(Fixture, "invalid JSON, garbage and batches are answered and survived") {
  connection->receive("nonsense\n" + frame("{") + frame("[]"));
  executor->run();
  CHECK(transport->next().value()["error"]["code"] == -32700);
  CHECK(transport->next().value()["error"]["code"] == -32700);
  CHECK(transport->next().value()["error"]["code"] == -32600);
  request(1, "a");
  CHECK(handler->methods.back() == "a");
}

TEST_CASE_METHOD(Fixture, "our own requests get their answers") {
  std::vector<Result<Json>> answers;
  const auto keep = [&](Result<Json> answer) { answers.push_back(std::move(answer)); };
  connection->call("one", nullptr, keep);
  connection->call("two", {{"a", 1}}, keep);
  const Json one = transport->next().value();
  const Json two = transport->next().value();
  CHECK(one["method"] == "one");
  CHECK(two["params"]["a"] == 1);
  receive({{"jsonrpc", "2.0"}, {"id", two["id"]}, {"result", 7}});
  receive({{"jsonrpc", "2.0"}, {"id", one["id"]}, {"error", {{"code", 1}, {"message", "no"}}}});
  receive({{"jsonrpc", "2.0"}, {"id", 12345}, {"result", 7}});
  REQUIRE(answers.size() == 2);
  CHECK(answers[0].value() == 7);
  CHECK(answers[1].error().message == "no");
  CHECK_FALSE(transport->next());
}

TEST_CASE("a client that floods is asked to pause until its input is handled") {
  ConnectionLimits limits;
  limits.queued_bytes = 100;
  Fixture fixture(limits);
  for (int i = 0; i < 10; ++i) {
    fixture.connection->receive(frame(R"({"jsonrpc":"2.0","method":"a"})"));
  }
  CHECK(fixture.transport->pauses == 1);
  CHECK(fixture.transport->resumes == 0);
  fixture.executor->run();
  CHECK(fixture.transport->resumes == 1);
  CHECK(fixture.handler->methods.size() == 10);
}

TEST_CASE_METHOD(Fixture, "after the end nothing is sent and open requests are stopped") {
  request(1, "a");
  connection->close();
  CHECK(transport->closed);
  CHECK(handler->replies[0].cancelled().stop_requested());
  handler->replies[0].result(1);
  connection->notify("x", nullptr);
  CHECK_FALSE(transport->next());
}

TEST_CASE_METHOD(Fixture, "a session that is gone handles nothing") {
  handler.reset();
  request(1, "a");
  CHECK(transport->next().value()["error"]["code"] == -32603);
}

TEST_CASE_METHOD(Fixture, "progress is created, begun with the latest figure, reported, ended") {
  auto progress = WorkDoneProgress::start(connection, "t", "Loading");
  progress->report(40, "tiny");
  const Json create = transport->next().value();
  CHECK(create["method"] == "window/workDoneProgress/create");
  CHECK_FALSE(transport->next());
  receive({{"jsonrpc", "2.0"}, {"id", create["id"]}, {"result", nullptr}});
  const Json begin = transport->next().value();
  CHECK(begin["params"]["value"]["kind"] == "begin");
  CHECK(begin["params"]["value"]["percentage"] == 40);
  progress->report(70, "tiny");
  CHECK(transport->next().value()["params"]["value"]["percentage"] == 70);
  progress->end("ready");
  progress->end("ready");
  CHECK(transport->next().value()["params"]["value"]["kind"] == "end");
  CHECK_FALSE(transport->next());
}

TEST_CASE_METHOD(Fixture, "a client that refuses a progress bar gets none") {
  auto progress = WorkDoneProgress::start(connection, "t", "Loading");
  const Json create = transport->next().value();
  receive(
      {{"jsonrpc", "2.0"}, {"id", create["id"]}, {"error", {{"code", -32601}, {"message", ""}}}});
  progress->report(10, "");
  progress->end("");
  CHECK_FALSE(transport->next());
}
