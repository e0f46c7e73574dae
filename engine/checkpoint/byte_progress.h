// Progress by bytes, for passes whose pieces differ in size.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>

namespace caretd::engine {

/// Adds up what several threads have done and passes the share on, one call at a time.
class ByteProgress {
 public:
  ByteProgress(std::int64_t total, std::function<void(double)> report)
      : total_(total), report_(std::move(report)) {}

  void add(std::int64_t bytes) {
    if (!report_) return;
    const std::lock_guard lock(mutex_);
    done_ += bytes;
    report_(total_ > 0 ? static_cast<double>(done_) / static_cast<double>(total_) : 1.0);
  }

 private:
  const std::int64_t total_;
  const std::function<void(double)> report_;
  std::mutex mutex_;
  std::int64_t done_ = 0;
};

}  // namespace caretd::engine
