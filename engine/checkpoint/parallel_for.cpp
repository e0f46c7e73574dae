#include "engine/checkpoint/parallel_for.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace caretd::engine {
namespace {

class Loop {
 public:
  Loop(size_t count, const ParallelOptions& options,
       const std::function<Result<void>(size_t)>& work)
      : count_(count), options_(options), work_(work) {}

  void run() {
    while (const auto index = next()) finish(attempt(*index));
  }

  [[nodiscard]] Result<void> result() { return std::move(result_); }

 private:
  std::optional<size_t> next() {
    const std::lock_guard lock(mutex_);
    if (!result_ || next_ == count_) return std::nullopt;
    if (options_.stop.stop_requested()) {
      result_ = fail(ErrorKind::cancelled, "the operation was cancelled.");
      return std::nullopt;
    }
    return next_++;
  }

  Result<void> attempt(size_t index) {
    try {
      return work_(index);
    } catch (const std::bad_alloc&) {
      return fail(ErrorKind::out_of_memory, "not enough memory for a working buffer.");
    } catch (const std::exception& exception) {
      return fail(ErrorKind::internal, exception.what());
    }
  }

  void finish(Result<void> done) {
    const std::lock_guard lock(mutex_);
    if (!done && result_) result_ = std::move(done);
    ++finished_;
    if (options_.progress && result_) {
      options_.progress(static_cast<double>(finished_) / static_cast<double>(count_));
    }
  }

  const size_t count_;
  const ParallelOptions& options_;
  const std::function<Result<void>(size_t)>& work_;
  std::mutex mutex_;
  size_t next_ = 0;
  size_t finished_ = 0;
  Result<void> result_;
};

}  // namespace

Result<void> parallel_for(size_t count, const ParallelOptions& options,
                          const std::function<Result<void>(size_t)>& work) {
  Loop loop(count, options, work);
  const size_t cores = std::max(1U, std::thread::hardware_concurrency());
  const size_t wanted = options.threads > 0 ? static_cast<size_t>(options.threads) : cores;
  std::vector<std::jthread> helpers;
  for (size_t i = 1; i < std::min(wanted, count); ++i) helpers.emplace_back([&] { loop.run(); });
  loop.run();
  helpers.clear();  // joins
  return loop.result();
}

}  // namespace caretd::engine
