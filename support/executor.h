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

/// Tasks of one strand run one after another, never at the same time, on the executor beneath.
/// Strands take turns there, however many tasks each of them has.
/// Must not outlive that executor. The tasks keep the strand's queue alive.
class Strand final : public Executor {
 public:
  explicit Strand(Executor& beneath);
  void post(Task task) override;

 private:
  struct Queue;
  static void drain(const std::shared_ptr<Queue>& queue);
  std::shared_ptr<Queue> queue_;
};

}  // namespace caretd
