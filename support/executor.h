// Where work runs: features are synchronous functions, an Executor decides on which thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace caretd {

using Task = std::function<void()>;

/// Runs tasks, in the order posted for a single-threaded executor. `post` is thread-safe, never
/// blocks and never runs the task inside the call unless the implementation says so.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual void post(Task task) = 0;
};

/// Runs every task inside post(), on the caller's thread. For tests.
class InlineExecutor final : public Executor {
 public:
  void post(Task task) override { task(); }
};

/// A fixed number of threads over one queue. The destructor runs what is still queued and joins.
class ThreadPool final : public Executor {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void post(Task task) override;

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable work_available_;
  std::deque<Task> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

/// Runs at most `width` of its tasks at the same time on the executor beneath, begun in the order
/// posted; the others wait here and not there. All that share that executor take turns, however
/// many tasks each of them has. Must not outlive it. The tasks keep what they need alive.
class LimitedExecutor : public Executor {
 public:
  LimitedExecutor(Executor& beneath, int width);
  void post(Task task) override;

 private:
  struct Queue;
  static void drain(const std::shared_ptr<Queue>& queue);
  std::shared_ptr<Queue> queue_;
};

/// Tasks of one strand run one after another, never at the same time.
class Strand final : public LimitedExecutor {
 public:
  explicit Strand(Executor& beneath) : LimitedExecutor(beneath, 1) {}
};

/// Threads for two kinds of tasks: short ones that somebody waits for, and long ones. However many
/// long ones there are, they leave the threads of the short ones free. Tasks of either kind may
/// post tasks of the other until the destructor has returned.
class TaskThreads {
 public:
  TaskThreads(int for_short, int for_long)
      : long_tasks_(threads_, for_long), threads_(for_short + for_long) {}

  [[nodiscard]] Executor& short_tasks() { return threads_; }
  [[nodiscard]] Executor& long_tasks() { return long_tasks_; }

 private:
  LimitedExecutor long_tasks_;  // before the threads: their last tasks may still post to it
  ThreadPool threads_;
};

}  // namespace caretd
