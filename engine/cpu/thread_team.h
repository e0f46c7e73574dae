// A few threads that share the items of one loop after another, with microseconds between loops.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace caretd::engine {

/// The calling thread and `threads - 1` helpers. Items are handed out in shares that shrink towards
/// the end of a loop: few visits to the shared counters, and a helper that the system has put aside
/// delays nobody but its current share. Helpers spin for some tens of microseconds between loops,
/// then sleep. for_each() is for one thread at a time.
class ThreadTeam {
 public:
  explicit ThreadTeam(int threads);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  [[nodiscard]] int size() const { return threads_; }

  /// Calls work(item, thread) for every item in [0, count), about in ascending order, with
  /// thread in [0, size()); returns when all are done. `work` must not throw.
  template <typename Work>
  void for_each(int count, Work&& work) {
    using Plain = std::remove_reference_t<Work>;
    run({.call = [](void* context, int item,
                    int thread) { (*static_cast<Plain*>(context))(item, thread); },
         .context = const_cast<void*>(static_cast<const void*>(std::addressof(work))),
         .count = count});
  }

 private:
  struct Loop {
    void (*call)(void* context, int item, int thread) = nullptr;
    void* context = nullptr;
    int count = 0;
  };

  void run(const Loop& loop);
  void help(int thread);
  bool take_share(int thread);
  [[nodiscard]] bool has_work() const;
  void sleep_until_work();

  const int threads_;
  Loop loop_;  ///< written while no item is outstanding, read by holders of an item
  /// The number of the loop in the upper half, items not handed out in the lower half.
  alignas(64) std::atomic<std::uint64_t> tickets_{0};
  alignas(64) std::atomic<int> unfinished_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable work_available_;
  std::vector<std::thread> helpers_;
};

/// Processors that this process may run on.
[[nodiscard]] int available_processors();

}  // namespace caretd::engine
