#include "daemon/progress.h"

#include <cstdio>
#include <memory>

#include "support/clock.h"
#include "tests/helpers/catch.h"

namespace caretd::daemon {
namespace {

/// What a reporter writes when it is told of `seconds` seconds, one tenth of the work in each.
std::string written(bool terminal, int seconds) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), &std::fclose);
  ManualClock clock;
  {
    ProgressReporter progress("loading", clock, terminal, file.get());
    for (int second = 0; second < seconds; ++second) {
      progress.update(0.1 * second);
      clock.advance(std::chrono::seconds(1));
    }
  }
  std::string text(static_cast<size_t>(std::ftell(file.get())), '\0');
  std::rewind(file.get());
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  return text;
}

TEST_CASE("what takes a moment shows no progress") {
  CHECK(written(true, 1).empty());
  CHECK(written(false, 1).empty());
}

TEST_CASE("a terminal gets a bar on one line, which is gone at the end") {
  const std::string text = written(true, 6);
  CHECK(text.find("loading") != std::string::npos);
  CHECK(text.find("50") != std::string::npos);
  CHECK(text.find('\n') == std::string::npos);
  CHECK(text.find('\r') != std::string::npos);
}

TEST_CASE("anything else gets plain lines") {
  const std::string text = written(false, 6);
  CHECK(text.find("loading") != std::string::npos);
  CHECK(text.find('\r') == std::string::npos);
  CHECK(text.find('\033') == std::string::npos);
  REQUIRE(!text.empty());
  CHECK(text.back() == '\n');
}

}  // namespace
}  // namespace caretd::daemon
