#include "daemon/progress.h"

#include <algorithm>
#include <utility>

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

namespace caretd::daemon {

namespace {

constexpr auto kQuietTime = std::chrono::seconds(1);
constexpr int kBarWidth = 30;
constexpr int kLineStep = 10;  // percent between two plain lines

}  // namespace

ProgressReporter::ProgressReporter(std::string title, const Clock& clock, bool terminal,
                                   std::FILE* out)
    : title_(std::move(title)),
      clock_(clock),
      terminal_(terminal),
      out_(out),
      begin_(clock.now()) {}

ProgressReporter::~ProgressReporter() {
  if (terminal_ && shown_percent_ >= 0) fmt::print(out_, "\r\033[K");
}

void ProgressReporter::update(double fraction) {
  if (clock_.now() - begin_ < kQuietTime) return;
  const int percent = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * 100);
  if (percent == shown_percent_) return;
  if (terminal_) {
    draw_bar(percent);
  } else {
    print_line(percent);
  }
}

void ProgressReporter::draw_bar(int percent) {
  const int filled = percent * kBarWidth / 100;
  fmt::print(out_, "\r{} [{:#<{}}{:<{}}] {:3}%", title_, "", filled, "", kBarWidth - filled,
             percent);
  std::fflush(out_);
  shown_percent_ = percent;
}

void ProgressReporter::print_line(int percent) {
  if (shown_percent_ >= 0 && percent < shown_percent_ + kLineStep && percent < 100) return;
  fmt::print(out_, "{}: {}%\n", title_, percent);
  shown_percent_ = percent;
}

bool stderr_is_terminal() {
  return isatty(STDERR_FILENO) == 1;
}

}  // namespace caretd::daemon
