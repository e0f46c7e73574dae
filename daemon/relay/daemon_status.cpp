#include "daemon/relay/daemon_status.h"

#include <array>
#include <utility>

#include <poll.h>

#include "daemon/build_info.h"
#include "daemon/relay/daemon_launcher.h"

namespace caretd::daemon {

namespace {

constexpr int kAnswerTimeMs = 5000;

/// Everything the daemon sends until it closes.
std::string read_rest(Stream& stream) {
  std::string text;
  std::array<char, 4096> buffer{};
  pollfd entry{stream.descriptor(), POLLIN, 0};
  while (poll(&entry, 1, kAnswerTimeMs) > 0) {
    const auto got = stream.read(buffer);
    if (got.outcome == Stream::Outcome::closed) break;
    text.append(buffer.data(), got.bytes);
  }
  return text;
}

}  // namespace

Result<lsp::Json> read_daemon_status(const RuntimeFolder& folder) {
  Hello hello;
  hello.version = version();
  hello.purpose = Purpose::status;
  auto stream = greet_daemon(folder, hello);
  if (!stream) return pass_on(std::move(stream));
  auto status = lsp::parse_json(read_rest(**stream));
  if (status && !status->is_object()) {
    return fail(ErrorKind::unavailable, "the daemon does not answer; run: caretd daemon restart");
  }
  return status;
}

std::string http_problem_of(const lsp::Json& status) {
  const auto problem = status.find("httpProblem");
  return problem != status.end() && problem->is_string() ? problem->get<std::string>()
                                                         : std::string();
}

}  // namespace caretd::daemon
