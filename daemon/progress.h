// Progress of anything that takes longer than a second: a bar where a person watches, plain lines
// where a file or a pipe does.
#pragma once

#include <cstdio>
#include <string>

#include "support/clock.h"

namespace caretd::daemon {

/// Writes to stderr. Not thread-safe; what ends early leaves no half line behind.
class ProgressReporter {
 public:
  /// `terminal`: whether stderr is one. Nothing is written during the first second.
  ProgressReporter(std::string title, const Clock& clock, bool terminal, std::FILE* out = stderr);
  ~ProgressReporter();
  ProgressReporter(const ProgressReporter&) = delete;
  ProgressReporter& operator=(const ProgressReporter&) = delete;

  /// `fraction` in 0..1.
  void update(double fraction);

 private:
  void draw_bar(int percent);
  void print_line(int percent);

  const std::string title_;
  const Clock& clock_;
  const bool terminal_;
  std::FILE* const out_;
  const TimePoint begin_;
  int shown_percent_ = -1;
};

[[nodiscard]] bool stderr_is_terminal();

}  // namespace caretd::daemon
