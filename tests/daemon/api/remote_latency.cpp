// What the remote engine adds to the time to the first token of a server that answers at once:
// the same request over a plain socket and through the engine, one after the other.
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
#include "daemon/remote/remote_engine.h"

namespace caretd::daemon {
namespace {

using boost::asio::ip::tcp;

constexpr int kWarmUps = 100;
constexpr int kRounds = 2000;
constexpr std::string_view kEnd = "data: [DONE]\n\n\r\n0\r\n\r\n";

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

Percentiles measure_socket(std::uint16_t port, const Clock& clock) {
  boost::asio::io_context io;
  tcp::socket socket(io);
  socket.connect({boost::asio::ip::address_v4::loopback(), port});
  socket.set_option(tcp::no_delay(true));
  const std::string body = R"({"model":"m","prompt":"x","max_tokens":1,"stream":true})";
  const std::string request = fmt::format(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
      body.size(), body);
  return measure([&] {
    boost::asio::streambuf reply;
    const TimePoint begin = clock.now();
    boost::asio::write(socket, boost::asio::buffer(request));
    boost::asio::read_until(socket, reply, "data: ");
    const double time = to_milliseconds(clock.now() - begin);
    boost::asio::read_until(socket, reply, kEnd);
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

int run() {
  const SteadyClock clock;
  PromptAnswer handler;
  HttpServerOptions options;
  options.address = "127.0.0.1:0";
  const auto server = HttpServer::start(options, handler, clock, make_null_logger());
  if (!server) {
    std::cerr << server.error().message << '\n';
    return 1;
  }
  RemoteSettings settings;
  settings.url = fmt::format("http://127.0.0.1:{}", (*server)->port());
  const auto engine = make_remote_engine(settings, clock, make_null_logger());
  const Percentiles socket = measure_socket((*server)->port(), clock);
  const Percentiles remote = measure_engine(*engine, clock);
  std::cout << fmt::format("first token over a plain socket: p50 {:.3f} ms, p90 {:.3f} ms\n",
                           socket.p50, socket.p90)
            << fmt::format("through the remote engine:       p50 {:.3f} ms, p90 {:.3f} ms\n",
                           remote.p50, remote.p90)
            << fmt::format("added:                           p50 {:.3f} ms, p90 {:.3f} ms\n",
                           remote.p50 - socket.p50, remote.p90 - socket.p90);
  return 0;
}

}  // namespace
}  // namespace caretd::daemon

int main() {
  return caretd::daemon::run();
}
