// The HTTP state machine over a stream in memory: framing, limits, time, and clients that go away.
#include <atomic>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "daemon/http/http_connection.h"
#include "daemon/http/http_message.h"
#include "tests/helpers/catch.h"

namespace caretd::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// The peer's side of a connection; tasks run when the test says so.
struct Wire {
  std::deque<std::function<void()>> tasks;
  std::optional<Duration> pause;  ///< of the pacer, until pause_over()
  std::string received;           ///< by the peer
  std::span<char> reading_into;
  std::function<void(bool, std::size_t)> reading;
  std::string_view unwritten;
  std::function<void(bool, std::size_t)> writing;
  bool stuck = false;  ///< the peer does not read
  bool finished = false;
  bool closed = false;

  void run() {
    while (!tasks.empty()) {
      const auto task = std::move(tasks.front());
      tasks.pop_front();
      task();
    }
  }
  void send(std::string_view bytes) {
    while (!bytes.empty() && reading) {
      const std::size_t count = std::min(bytes.size(), reading_into.size());
      std::copy_n(bytes.data(), count, reading_into.data());
      bytes.remove_prefix(count);
      std::exchange(reading, nullptr)(true, count);
      run();
    }
  }
  /// The peer that was stuck reads a little.
  void take(std::size_t count) {
    count = std::min(count, unwritten.size());
    received += unwritten.substr(0, count);
    if (writing) std::exchange(writing, nullptr)(true, count);
    run();
  }
  void hang_up() {
    if (reading) std::exchange(reading, nullptr)(false, 0);
    run();
  }
};

class MemoryStream final : public ByteStream {
 public:
  explicit MemoryStream(Wire& wire) : wire_(wire) {}
  void handshake(std::function<void(bool)> done) override {
    wire_.tasks.emplace_back([done = std::move(done)] { done(true); });
  }
  void read_some(std::span<char> into, std::function<void(bool, std::size_t)> done) override {
    wire_.reading_into = into;
    wire_.reading = std::move(done);
  }
  void write_some(std::string_view bytes, std::function<void(bool, std::size_t)> done) override {
    if (wire_.stuck) {
      wire_.unwritten = bytes;
      wire_.writing = std::move(done);
      return;
    }
    wire_.received += bytes;
    wire_.tasks.emplace_back([done = std::move(done), bytes] { done(true, bytes.size()); });
  }
  void finish_writing() override { wire_.finished = true; }
  void close() override {
    wire_.closed = true;
    if (wire_.reading) {
      wire_.tasks.emplace_back([done = std::exchange(wire_.reading, nullptr)] { done(false, 0); });
    }
    if (wire_.writing) {
      wire_.tasks.emplace_back([done = std::exchange(wire_.writing, nullptr)] { done(false, 0); });
    }
  }
  void post(std::function<void()> task) override { wire_.tasks.push_back(std::move(task)); }

 private:
  Wire& wire_;
};

struct RecordingHandler final : api::Handler {
  void handle(api::Request request, std::shared_ptr<api::Reply> reply) override {
    requests.push_back(std::move(request));
    replies.push_back(std::move(reply));
  }
  void responded(const std::string&, int status) override { statuses.push_back(status); }

  std::vector<api::Request> requests;
  std::vector<std::shared_ptr<api::Reply>> replies;
  std::vector<int> statuses;
};

struct Peer {
  explicit Peer(std::string api_key = {}) : key(std::move(api_key)) {
    limits.max_body_bytes = 1000;
    limits.max_header_bytes = 2000;
    limits.max_unsent_bytes = 10'000;
    connection =
        make_http_connection(std::make_unique<MemoryStream>(wire), 7,
                             {limits, key, handler, clock, pacer, live}, [this] { ++closed; });
    connection->start();
    wire.run();
  }
  ~Peer() {
    connection->close();
    handler.replies.clear();
    wire.run();
  }
  void wait(milliseconds time) {
    clock.advance(time);
    connection->check_deadline(clock.now());
    wire.run();
  }
  void end_pause() {
    REQUIRE(std::exchange(wire.pause, std::nullopt));
    pacer.pause_over();
    wire.run();
  }
  std::string take() { return std::exchange(wire.received, {}); }

  HttpLimits limits;
  std::string key;
  ManualClock clock;
  RecordingHandler handler;
  std::atomic<int> live = 0;
  Wire wire;
  EventPacer pacer{{[this] { wire.tasks.emplace_back([this] { pacer.run(); }); },
                    [this](Duration pause) { wire.pause = pause; }}};
  int closed = 0;
  std::shared_ptr<HttpConnection> connection;
};

const std::string kPost =
    "POST /v1/completions?x=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
    "X-Caretd-Priority: keystroke\r\n\r\nbody";

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("A request arrives in any pieces and is answered", "[http]") {
  Peer peer;
  for (const char c : kPost) peer.wire.send(std::string_view(&c, 1));
  REQUIRE(peer.handler.requests.size() == 1);
  const api::Request& request = peer.handler.requests[0];
  CHECK(request.method == "POST");
  CHECK(request.path == "/v1/completions");
  CHECK(request.body == "body");
  CHECK(request.priority == "keystroke");
  CHECK(request.connection == 7);
  peer.handler.replies[0]->respond(200, "application/json", "{}");
  peer.wire.run();
  const std::string reply = peer.take();
  CHECK(reply.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(has(reply, "Content-Length: 2\r\n"));
  CHECK(reply.ends_with("\r\n\r\n{}"));
  CHECK(peer.handler.statuses == std::vector{200});
  CHECK_FALSE(peer.wire.closed);
}

TEST_CASE("Pipelined requests are handled one after another", "[http]") {
  Peer peer;
  peer.wire.send(kPost + kPost);
  REQUIRE(peer.handler.requests.size() == 1);
  peer.handler.replies[0]->respond(200, "text/plain", "one");
  peer.wire.run();
  REQUIRE(peer.handler.requests.size() == 2);
  peer.handler.replies[1]->respond(200, "text/plain", "two");
  peer.wire.run();
  CHECK(has(peer.take(), "two"));
}

TEST_CASE("Events are chunks, and several of them one write", "[http]") {
  Peer peer;
  peer.wire.send(kPost);
  auto& reply = *peer.handler.replies[0];
  REQUIRE(reply.send_event("a"));
  REQUIRE(reply.send_event("b"));
  peer.wire.run();
  CHECK(has(peer.take(),
            "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n"
            "12\r\ndata: a\n\ndata: b\n\n\r\n"));
  reply.end_events();
  peer.wire.run();
  CHECK(peer.take() == "0\r\n\r\n");
  peer.wire.send(kPost);
  CHECK(peer.handler.requests.size() == 2);
}

TEST_CASE("Events that may wait are written after a pause, all that came during it", "[http]") {
  Peer peer;
  peer.wire.send(kPost);
  auto& reply = *peer.handler.replies[0];
  reply.gather_events();
  REQUIRE(reply.send_event("a"));
  peer.wire.run();
  CHECK(has(peer.take(), "9\r\ndata: a\n\n\r\n"));  // nobody waits for a first one
  CHECK(peer.wire.pause == EventPacer::kEventPause);
  REQUIRE(reply.send_event("b"));
  REQUIRE(reply.send_event("c"));
  CHECK(peer.wire.tasks.empty());  // the I/O thread is not even woken
  peer.end_pause();
  CHECK(peer.take() == "12\r\ndata: b\n\ndata: c\n\n\r\n");
  REQUIRE(reply.send_event("d"));
  SECTION("the end waits for nothing") {
    reply.end_events();
    peer.wire.run();
    CHECK(peer.take() == "9\r\ndata: d\n\n\r\n0\r\n\r\n");
  }
  SECTION("after a pause without events the next one is written at once") {
    peer.end_pause();
    CHECK(has(peer.take(), "data: d"));
    peer.end_pause();
    CHECK_FALSE(peer.wire.pause);
    REQUIRE(reply.send_event("e"));
    peer.wire.run();
    CHECK(has(peer.take(), "data: e"));
  }
}

TEST_CASE("An event that may not wait takes along those that may", "[http]") {
  Wire wire;
  std::vector<std::string> flushed;
  EventPacer pacer{{[&] { wire.tasks.emplace_back([&] { pacer.run(); }); },
                    [&](Duration pause) { wire.pause = pause; }}};
  const auto add = [&](const char* name, bool may_wait) {
    pacer.add([&flushed, name] { flushed.emplace_back(name); }, may_wait);
  };
  add("first", true);
  wire.run();
  CHECK(flushed == std::vector<std::string>{"first"});
  add("chat", true);
  add("another chat", true);
  CHECK(wire.tasks.empty());
  add("keystroke", false);
  add("keystroke again", false);
  CHECK(wire.tasks.size() == 1);
  wire.run();
  CHECK(flushed.size() == 5);
  CHECK(wire.pause);  // the one pause that was under way
}

TEST_CASE("HTTP/1.0 gets the events as they are and then the end", "[http]") {
  Peer peer;
  peer.wire.send("POST /infill HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(peer.handler.replies[0]->send_event("a"));
  peer.handler.replies[0]->end_events();
  peer.wire.run();
  const std::string reply = peer.take();
  CHECK(reply.ends_with("\r\n\r\ndata: a\n\n"));
  CHECK_FALSE(has(reply, "chunked"));
  CHECK(peer.wire.finished);
}

TEST_CASE("A client that goes away is told to whoever answers it", "[http]") {
  Peer peer;
  peer.wire.send(kPost);
  auto& reply = *peer.handler.replies[0];
  REQUIRE_FALSE(reply.gone().stop_requested());
  peer.wire.hang_up();
  CHECK(reply.gone().stop_requested());
  CHECK_FALSE(reply.send_event("a"));
  reply.respond(200, "text/plain", "late");
  peer.wire.run();
  CHECK(peer.take().empty());
  CHECK(peer.closed == 1);
}

TEST_CASE("A client that does not read is cut off at the bound", "[http]") {
  Peer peer;
  peer.wire.send(kPost);
  peer.wire.stuck = true;
  auto& reply = *peer.handler.replies[0];
  const std::string event(1000, 'x');
  int taken = 0;
  while (reply.send_event(event)) {
    ++taken;
    REQUIRE(taken < 20);
    peer.wire.run();
  }
  CHECK(taken == 9);
  peer.wire.run();
  CHECK(peer.wire.closed);
  CHECK(reply.gone().stop_requested());
}

TEST_CASE("A client that reads slowly but reads may have any amount", "[http]") {
  Peer peer;
  peer.wire.send(kPost);
  const std::string event(1000, 'x');
  for (int i = 0; i < 100; ++i) {
    REQUIRE(peer.handler.replies[0]->send_event(event));
    peer.wire.run();
  }
  CHECK(peer.take().size() > 100'000);
}

TEST_CASE("A write that nobody takes ends the connection in time", "[http]") {
  Peer peer;
  peer.wire.send(kPost);
  peer.wire.stuck = true;
  REQUIRE(peer.handler.replies[0]->send_event("a"));
  peer.wire.run();
  peer.wait(peer.limits.write_time);
  CHECK_FALSE(peer.wire.closed);
  peer.wait(milliseconds(1));
  CHECK(peer.wire.closed);
}

TEST_CASE("A client that takes a reply in pieces has the time for each of them", "[http]") {
  Peer peer;
  peer.wire.send(kPost);
  peer.wire.stuck = true;
  const std::string body(1000, 'x');
  peer.handler.replies[0]->respond(200, "text/plain", body);
  peer.wire.run();
  for (int i = 0; i < 5; ++i) {
    peer.wait(peer.limits.write_time);
    peer.wire.take(100);
    REQUIRE_FALSE(peer.wire.closed);
  }
  peer.wire.stuck = false;
  peer.wire.take(1);
  CHECK(peer.take().ends_with("\r\n\r\n" + body));
  CHECK_FALSE(peer.wire.closed);
}

TEST_CASE("Requests that come too slowly", "[http]") {
  Peer peer;
  SECTION("a header") {
    peer.wire.send("GET / HT");
    peer.wait(peer.limits.header_time - milliseconds(1));
    CHECK(peer.take().empty());
    peer.wire.send("TP");  // a byte now and then does not help
    peer.wait(milliseconds(1));
    CHECK(has(peer.take(), " 408 "));
  }
  SECTION("a body") {
    peer.wire.send(kPost.substr(0, kPost.size() - 1));
    peer.wait(peer.limits.body_time);
    CHECK(has(peer.take(), " 408 "));
  }
  SECTION("nothing at all") {
    peer.wait(peer.limits.idle_time);
    CHECK(peer.take().empty());
    CHECK(peer.wire.closed);
  }
}

TEST_CASE("Requests that are too large", "[http]") {
  Peer peer;
  SECTION("header") {
    peer.wire.send("GET / HTTP/1.1\r\nX: " + std::string(3000, 'x'));
    CHECK(has(peer.take(), " 431 "));
  }
  SECTION("body by its length") {
    peer.wire.send("POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n");
    CHECK(has(peer.take(), " 413 "));
  }
  SECTION("body by what comes") {
    peer.wire.send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3E9\r\n" +
                   std::string(1001, ' '));
    CHECK(has(peer.take(), " 413 "));
  }
  CHECK(peer.handler.requests.empty());
  // What is still on its way is read and dropped, so that the answer arrives; not for ever.
  peer.wire.send(std::string(100'000, 'x'));
  CHECK_FALSE(peer.wire.closed);
  peer.wait(peer.limits.drain_time);
  CHECK(peer.wire.closed);
}

TEST_CASE("A client that waits for leave to send its body gets it", "[http]") {
  const std::string head =
      "POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: ";
  Peer peer;
  SECTION("leave") {
    peer.wire.send(head + "4\r\n\r\n");
    const std::string leave = peer.take();
    CHECK(std::string_view(leave) == "HTTP/1.1 100 Continue\r\n\r\n");
    peer.wire.send("body");
    CHECK(peer.handler.requests.size() == 1);
  }
  SECTION("no leave") {
    peer.wire.send(head + "2000\r\n\r\n");
    CHECK(has(peer.take(), " 413 "));
  }
}

TEST_CASE("A reply that is dropped is an internal error", "[http]") {
  Peer peer;
  peer.wire.send(kPost);
  peer.handler.replies.clear();
  peer.wire.run();
  CHECK(has(peer.take(), " 500 "));
  CHECK(peer.live == 0);
}

TEST_CASE("The key is asked for before the body", "[http]") {
  Peer peer("secret");
  peer.wire.send("POST / HTTP/1.1\r\nContent-Length: 900\r\n\r\n");
  const std::string reply = peer.take();
  CHECK(has(reply, " 401 "));
  CHECK(has(reply, "WWW-Authenticate: Bearer\r\n"));
}

TEST_CASE("Who may use the server", "[http]") {
  const auto status = [](const Credentials& credentials, std::string_view key) {
    const auto error = check_credentials(credentials, key);
    return error ? error->status : 200;
  };
  CHECK(status({.path = "/v1/models", .authorization = "Bearer k"}, "k") == 200);
  CHECK(status({.path = "/v1/models", .authorization = "bearer k"}, "k") == 200);
  CHECK(status({.path = "/v1/models", .api_key = "k"}, "k") == 200);
  CHECK(status({.path = "/v1/models", .authorization = "Bearer kk"}, "k") == 401);
  CHECK(status({.path = "/v1/models", .authorization = "Basic k"}, "k") == 401);
  CHECK(status({.path = "/v1/models"}, "k") == 401);
  CHECK(status({.path = "/health"}, "k") == 200);
  CHECK(status({.path = "/x", .host = "127.0.0.1:8012"}, "") == 200);
  CHECK(status({.path = "/x", .host = "evil.example"}, "") == 403);
  CHECK(status({.path = "/x", .host = "localhost", .origin = "https://evil.example"}, "") == 403);
  CHECK(status({.path = "/x", .host = "localhost", .origin = "null"}, "") == 403);
  CHECK(status({.path = "/x", .host = "localhost", .origin = "http://localhost:1"}, "") == 200);
}

}  // namespace
}  // namespace caretd::daemon
