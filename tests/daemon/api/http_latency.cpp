// What HTTP costs, on loopback: a completion over the API with an engine that answers at once, and
// what the remote engine adds to the time to the first token of a server that answers at once. To
// be run in the root of the repository.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <spdlog/fmt/fmt.h>

#include "daemon/http/http_server.h"
#include "daemon/http/http_service.h"
#include "daemon/remote/remote_engine.h"

namespace caretd::daemon {
namespace {

using boost::asio::ip::tcp;

constexpr int kWarmUps = 100;
constexpr int kRounds = 2000;
constexpr std::string_view kStreamEnd = "data: [DONE]\n\n\r\n0\r\n\r\n";

/// One token of text for whatever is asked, inside submit().
class InstantEngine final : public engine::Engine {
 public:
  explicit InstantEngine(std::shared_ptr<const engine::Tokenizer> tokenizer)
      : tokenizer_(std::move(tokenizer)),
        model_(std::make_shared<const engine::ModelInfo>(engine::ModelInfo{
            .name = "instant", .context_tokens = 2048, .fill_in_the_middle = true})) {}

  [[nodiscard]] engine::EngineStatus status() const override {
    return {.state = engine::EngineState::ready};
  }
  [[nodiscard]] engine::Subscription on_status(
      std::function<void(const engine::EngineStatus&)>) override {
    return {};
  }
  [[nodiscard]] std::shared_ptr<const engine::ModelInfo> model() const override { return model_; }
  [[nodiscard]] std::shared_ptr<const engine::Tokenizer> tokenizer() const override {
    return tokenizer_;
  }
  void submit(engine::GenerationRequest, std::shared_ptr<engine::TokenSink> sink) override {
    (void)sink->on_token({.id = 300, .text = "x"});
    engine::Generation generation;
    generation.reason = engine::FinishReason::max_tokens;
    generation.text = "x";
    generation.tokens = {300};
    sink->on_finish(generation);
  }
  void release(engine::CacheOwner) override {}
  void clear_cache() override {}
  [[nodiscard]] engine::EngineStatistics statistics() const override { return {}; }
  void unload() override {}
  void load() override {}

 private:
  const std::shared_ptr<const engine::Tokenizer> tokenizer_;
  const std::shared_ptr<const engine::ModelInfo> model_;
};

/// One token, at once.
class PromptAnswer final : public api::Handler {
 public:
  void handle(api::Request request, std::shared_ptr<api::Reply> reply) override {
    if (request.method == "GET") {
      return reply->respond(200, "application/json", R"({"data":[{"id":"m","owned_by":"x"}]})");
    }
    (void)reply->send_event(R"({"choices":[{"index":0,"text":"x","finish_reason":null}]})");
    (void)reply->send_event(R"({"choices":[{"index":0,"text":"","finish_reason":"stop"}]})");
    (void)reply->send_event("[DONE]");
    reply->end_events();
  }
  void responded(const std::string&, int) override {}
};

/// Tells when the first token is there and when the request is over.
class FirstToken final : public engine::TokenSink {
 public:
  explicit FirstToken(const Clock& clock) : clock_(clock) {}

  engine::Verdict on_token(const engine::TokenEvent&) override {
    const std::lock_guard lock(mutex_);
    first_ = std::min(first_, clock_.now());
    return engine::Verdict::go_on;
  }
  void on_finish(const engine::Generation&) override {
    const std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_one();
  }
  TimePoint wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return over_; });
    return first_;
  }

 private:
  const Clock& clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  TimePoint first_ = TimePoint::max();
  bool over_ = false;
};

struct Percentiles {
  double p50 = 0;
  double p90 = 0;
};

/// Of `round`'s milliseconds.
Percentiles measure(const std::function<double()>& round) {
  for (int i = 0; i < kWarmUps; ++i) round();
  std::vector<double> times;
  times.reserve(kRounds);
  for (int i = 0; i < kRounds; ++i) times.push_back(round());
  std::ranges::sort(times);
  return {times[kRounds / 2], times[kRounds * 9 / 10]};
}

/// A client that does nothing but wait: sends the body and reads up to `first`, which is measured,
/// and then to `end`.
Percentiles measure_socket(std::uint16_t port, std::string_view body, std::string_view first,
                           std::string_view end, const Clock& clock) {
  boost::asio::io_context io;
  tcp::socket socket(io);
  socket.connect({boost::asio::ip::address_v4::loopback(), port});
  socket.set_option(tcp::no_delay(true));
  const std::string request = fmt::format(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
      body.size(), body);
  return measure([&] {
    boost::asio::streambuf reply;
    const TimePoint begin = clock.now();
    boost::asio::write(socket, boost::asio::buffer(request));
    boost::asio::read_until(socket, reply, first);
    const double time = to_milliseconds(clock.now() - begin);
    boost::asio::read_until(socket, reply, end);
    return time;
  });
}

Percentiles measure_engine(engine::Engine& engine, const Clock& clock) {
  return measure([&] {
    engine::GenerationRequest request;
    request.prompt = {engine::ControlToken::begin_of_sentence, std::string("x")};
    request.max_tokens = 1;
    const auto sink = std::make_shared<FirstToken>(clock);
    const TimePoint begin = clock.now();
    engine.submit(std::move(request), sink);
    return to_milliseconds(sink->wait() - begin);
  });
}

void print(std::string_view what, const Percentiles& figures) {
  std::cout << fmt::format("{:<42} p50 {:.3f} ms, p90 {:.3f} ms\n", what, figures.p50, figures.p90);
}

Result<void> measure_api(const Clock& clock) {
  auto tokenizer = engine::Tokenizer::load("models/tiny");
  if (!tokenizer) return pass_on(std::move(tokenizer));
  HttpServerOptions options;
  options.address = "127.0.0.1:0";
  const auto engine = std::make_shared<InstantEngine>(*std::move(tokenizer));
  const auto service = HttpService::start(
      options,
      [engine] {
        return SessionEngines{engine, engine};
      },
      [] {}, clock, make_null_logger());
  if (!service) return fail(service.error().kind, service.error().message);
  const std::string url = (*service)->url();
  const auto port = static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
  constexpr std::string_view kBody =
      R"({"prompt":"def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return","max_tokens":1})";
  print("a completion with an instant engine",
        measure_socket(port, kBody, "\"total_tokens\":", "}}", clock));
  return {};
}

Result<void> measure_remote(const Clock& clock) {
  PromptAnswer handler;
  HttpServerOptions options;
  options.address = "127.0.0.1:0";
  const auto server = HttpServer::start(options, handler, clock, make_null_logger());
  if (!server) return fail(server.error().kind, server.error().message);
  RemoteSettings settings;
  settings.url = fmt::format("http://127.0.0.1:{}", (*server)->port());
  const auto engine = make_remote_engine(settings, clock, make_null_logger());
  constexpr std::string_view kBody = R"({"model":"m","prompt":"x","max_tokens":1,"stream":true})";
  const Percentiles socket = measure_socket((*server)->port(), kBody, "data: ", kStreamEnd, clock);
  const Percentiles remote = measure_engine(*engine, clock);
  print("first token over a plain socket", socket);
  print("first token through the remote engine", remote);
  print("added by the remote engine", {remote.p50 - socket.p50, remote.p90 - socket.p90});
  return {};
}

int run() {
  const SteadyClock clock;
  for (const auto& measurement : {measure_api, measure_remote}) {
    if (const auto measured = measurement(clock); !measured) {
      std::cerr << measured.error().message << '\n';
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace caretd::daemon

int main() {
  return caretd::daemon::run();
}
