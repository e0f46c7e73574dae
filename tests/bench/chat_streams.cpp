// Chats that stream beside one another from a server with the OpenAI-compatible API on this
// machine: tokens a second of all of them together.
//
//   chat_streams PORT [STREAMS [TOKENS [WORDS]]]
//
// http_load.mjs starts the server and this. The client shares the cores with the server, so it
// keeps what it receives, with the time, and reads it when everything is over: each event is
// parsed, its text has to be there, and what the server counted has to be what was asked for.
// Events of one token that carry no text (half a character) are not counted.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>

#include "daemon/process/unique_fd.h"
#include "daemon/remote/sse_parser.h"
#include "lsp/protocol/json.h"
#include "support/clock.h"

namespace caretd::daemon {
namespace {

struct Options {
  std::uint16_t port = 0;
  int streams = 8;
  int tokens = 128;
  int words = 89;  ///< of a prompt; two tokens each
};

struct Arrival {
  TimePoint at;
  std::size_t bytes = 0;  ///< received so far
};

/// One reply as it came.
struct Stream {
  UniqueFd socket;
  std::string received;
  std::vector<Arrival> arrivals;
};

/// What a reply says.
struct Reading {
  std::vector<TimePoint> texts;  ///< when each event with text was there
  int completion_tokens = 0;
  bool done = false;
};

/// HTTP/1.0: the events come as they are, and the connection ends with them.
std::string request(const Options& options, int index) {
  std::string words;
  for (int i = 0; i < options.words; ++i) words += fmt::format("{} ", index);
  const std::string body =
      lsp::to_string({{"messages", lsp::Json::array({{{"role", "user"}, {"content", words}}})},
                      {"max_tokens", options.tokens},
                      {"temperature", 0},
                      {"ignore_eos", true},
                      {"stream", true},
                      {"stream_options", {{"include_usage", true}}}});
  return fmt::format(
      "POST /v1/chat/completions HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
      body.size(), body);
}

bool connect_and_ask(Stream& stream, const Options& options, int index) {
  stream.socket = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = stream.socket.get();
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return false;
  const std::string bytes = request(options, index);
  return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

/// False once the peer has closed.
bool receive(Stream& stream, const Clock& clock) {
  std::array<char, 64 << 10> buffer;
  const ssize_t count = ::recv(stream.socket.get(), buffer.data(), buffer.size(), 0);
  if (count <= 0) return false;
  stream.received.append(buffer.data(), static_cast<std::size_t>(count));
  stream.arrivals.push_back({clock.now(), stream.received.size()});
  return true;
}

/// Asks all of them and takes what comes until every connection is closed.
bool run_streams(std::vector<Stream>& streams, const Options& options, const Clock& clock) {
  std::vector<pollfd> sockets;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if (!connect_and_ask(streams[i], options, static_cast<int>(i))) return false;
    sockets.push_back({streams[i].socket.get(), POLLIN, 0});
  }
  for (std::size_t open = streams.size(); open > 0;) {
    if (::poll(sockets.data(), sockets.size(), -1) < 0) return false;
    for (std::size_t i = 0; i < streams.size(); ++i) {
      if (sockets[i].revents == 0 || receive(streams[i], clock)) continue;
      sockets[i].fd = -1;  // poll() passes it over
      --open;
    }
  }
  return true;
}

void read_event(const std::string& data, TimePoint at, Reading& reading) {
  if (data == "[DONE]") {
    reading.done = true;
    return;
  }
  const auto event = lsp::parse_json(data);
  if (!event) return;
  if (const auto usage = event->find("usage"); usage != event->end() && usage->is_object()) {
    reading.completion_tokens = usage->value("completion_tokens", 0);
  }
  for (const lsp::Json& choice : event->value("choices", lsp::Json::array())) {
    const lsp::Json delta = choice.value("delta", lsp::Json::object());
    if (!delta.value("content", "").empty()) reading.texts.push_back(at);
  }
}

Reading read(const Stream& stream) {
  Reading reading;
  SseParser parser;
  const std::string_view received = stream.received;
  std::size_t from = received.find("\r\n\r\n");
  if (from == std::string_view::npos) return reading;
  from += 4;
  for (const Arrival& arrival : stream.arrivals) {
    if (arrival.bytes <= from) continue;
    const auto events = parser.push(received.substr(from, arrival.bytes - from));
    from = arrival.bytes;
    if (!events) return reading;
    for (const std::string& event : *events) read_event(event, arrival.at, reading);
  }
  return reading;
}

/// Tokens a second while all of them stream: from the last one's first text to the first one's
/// last.
double rate(const std::vector<Reading>& readings) {
  TimePoint begin = readings.front().texts.front();
  TimePoint end = readings.front().texts.back();
  for (const Reading& reading : readings) {
    begin = std::max(begin, reading.texts.front());
    end = std::min(end, reading.texts.back());
  }
  std::ptrdiff_t texts = 0;
  for (const Reading& reading : readings) {
    texts +=
        std::ranges::count_if(reading.texts, [&](TimePoint at) { return at > begin && at <= end; });
  }
  return 1000.0 * static_cast<double>(texts) / to_milliseconds(end - begin);
}

int run(const Options& options) {
  const SteadyClock clock;
  std::vector<Stream> streams(static_cast<std::size_t>(options.streams));
  if (!run_streams(streams, options, clock)) {
    std::cerr << "The server on port " << options.port << " does not answer.\n";
    return 1;
  }
  std::vector<Reading> readings;
  std::size_t events = 0;
  for (const Stream& stream : streams) {
    const Reading& reading = readings.emplace_back(read(stream));
    events += reading.texts.size();
    if (reading.done && reading.completion_tokens == options.tokens && reading.texts.size() > 1) {
      continue;
    }
    std::cerr << fmt::format("A stream ended with {} events and {} of {} tokens.\n",
                             reading.texts.size(), reading.completion_tokens, options.tokens);
    return 1;
  }
  std::cout << fmt::format("{} streams of {} tokens, {} events with text: {:.0f} tok/s together\n",
                           options.streams, options.tokens, events, rate(readings));
  return 0;
}

}  // namespace
}  // namespace caretd::daemon

int main(int argc, char** argv) {
  caretd::daemon::Options options;
  const auto argument = [&](int i, int otherwise) {
    return argc > i ? std::atoi(argv[i]) : otherwise;
  };
  options.port = static_cast<std::uint16_t>(argument(1, 0));
  options.streams = argument(2, options.streams);
  options.tokens = argument(3, options.tokens);
  options.words = argument(4, options.words);
  if (options.port == 0 || options.streams < 1 || options.tokens < 2) {
    std::cerr << "chat_streams PORT [STREAMS [TOKENS [WORDS]]]\n";
    return 2;
  }
  return caretd::daemon::run(options);
}
