#include "lsp/protocol/framing.h"

#include <random>
#include <string>
#include <vector>

#include "tests/helpers/catch.h"

using namespace caretd::lsp;

namespace {

std::vector<FrameEvent> all_events(FrameReader& reader) {
  std::vector<FrameEvent> events;
  while (auto event = reader.next()) events.push_back(*std::move(event));
  return events;
}

std::vector<FrameEvent> read_all(std::string_view bytes, FrameLimits limits = {}) {
  FrameReader reader(limits);
  reader.push(bytes);
  return all_events(reader);
}

bool is_body(const FrameEvent& event, std::string_view body) {
  return std::holds_alternative<std::string>(event) && std::get<std::string>(event) == body;
}

// Not operator+: GCC 12 warns about an overflow inside of it that cannot happen.
std::string join(std::initializer_list<std::string_view> parts) {
  std::string all;
  for (const std::string_view part : parts) all.append(part);
  return all;
}

bool is_fault(const FrameEvent& event) {
  return std::holds_alternative<FrameFault>(event);
}

}  // namespace

TEST_CASE("frames are cut however the bytes arrive") {
  const std::string bytes = join(
      {frame("{}"), frame(""), frame("[1,2,3]"),
       "content-length:4\r\nContent-Type: application/vscode-jsonrpc; charset=utf8\r\n\r\nnull",
       "Content-Length: 1\n\n7"});
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    FrameReader reader;
    std::vector<FrameEvent> events;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      reader.push(std::string_view(bytes).substr(at, piece));
      for (auto& event : all_events(reader)) events.push_back(std::move(event));
    }
    REQUIRE(events.size() == 5);
    CHECK(is_body(events[0], "{}"));
    CHECK(is_body(events[1], ""));
    CHECK(is_body(events[2], "[1,2,3]"));
    CHECK(is_body(events[3], "null"));
    CHECK(is_body(events[4], "7"));
  }
}

TEST_CASE("garbage costs one fault and the next message is read") {
  const std::string garbage =
      GENERATE(as<std::string>(), "hello\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
               "Content-Length: abc\r\n\r\n", "Content-Length: -5\r\n\r\n",
               "Content-Length: 99999999999999999999\r\n\r\n", "\r\n\r\n",
               "Content-Type: a\r\n\r\n", "{\"jsonrpc\":\"2.0\"}\n\n", "\xff\xfe\n: x\n\n");
  const std::vector<FrameEvent> events = read_all(join({garbage, frame("{}")}));
  REQUIRE(events.size() == 2);
  CHECK(is_fault(events[0]));
  CHECK(is_body(events[1], "{}"));
}

TEST_CASE("an endless header is given up and memory stays small") {
  FrameReader reader(FrameLimits{.header_bytes = 100, .body_bytes = 1000});
  int faults = 0;
  for (int i = 0; i < 1000; ++i) {
    reader.push(std::string(100, 'x'));
    for (const auto& event : all_events(reader)) faults += is_fault(event) ? 1 : 0;
  }
  CHECK(faults == 1);
  reader.push(join({"\n", frame("{}")}));
  const auto events = all_events(reader);
  REQUIRE(events.size() == 1);
  CHECK(is_body(events[0], "{}"));
}

TEST_CASE("a body over the limit is skipped, the next message is read") {
  const FrameLimits limits{.header_bytes = 4096, .body_bytes = 10};
  const auto events = read_all(join({frame(std::string(11, 'x')), frame("0123456789")}), limits);
  REQUIRE(events.size() == 2);
  CHECK(is_fault(events[0]));
  CHECK(is_body(events[1], "0123456789"));
}

TEST_CASE("a body in another charset is refused") {
  const auto events = read_all(
      join({"Content-Length: 2\r\nContent-Type: x; charset=utf-16\r\n\r\n{}", frame("1")}));
  REQUIRE(events.size() == 2);
  CHECK(is_fault(events[0]));
  CHECK(is_body(events[1], "1"));
}

TEST_CASE("any bytes in any pieces end neither in a crash nor without the message after them") {
  std::mt19937 random(5);
  const std::vector<std::string> pieces = {
      "Content-Length: ", "5\r\n",    "\r\n",    "\r\n\r\n", "\n", ":", "{}", "-1", "x",
      "Content-Type: a",  "\xF0\x9F", "4000\r\n"};
  for (int round = 0; round < 3000; ++round) {
    FrameReader reader(FrameLimits{.header_bytes = 64, .body_bytes = 64});
    for (int i = 0; i < 12; ++i) {
      reader.push(pieces[random() % pieces.size()]);
      if (random() % 2 == 0) (void)all_events(reader);
    }
    // Whatever state that left, a reader recovers once a skipped or started body is filled up.
    reader.push(join({std::string(5000, ' '), frame("{\"a\":1}")}));
    const auto events = all_events(reader);
    REQUIRE_FALSE(events.empty());
    REQUIRE(is_body(events.back(), "{\"a\":1}"));
  }
}
