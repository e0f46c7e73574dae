#include "support/executor.h"

#include <utility>

namespace caretd {

namespace {

/// Tasks that run before what else was posted to the executor beneath has its turn.
constexpr int kTasksInARow = 16;

}  // namespace

ThreadPool::ThreadPool(int threads) {
  threads_.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_available_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(task));
  }
  work_available_.notify_one();
}

void ThreadPool::run() {
  while (true) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      work_available_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

struct LimitedExecutor::Queue {
  Queue(Executor& executor, int tasks_at_once) : beneath(executor), width(tasks_at_once) {}
  Executor& beneath;
  const int width;
  std::mutex mutex;
  std::deque<Task> tasks;
  int draining = 0;
};

LimitedExecutor::LimitedExecutor(Executor& beneath, int width)
    : queue_(std::make_shared<Queue>(beneath, width)) {}

void LimitedExecutor::post(Task task) {
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->tasks.push_back(std::move(task));
    if (queue_->draining == queue_->width) return;
    ++queue_->draining;
  }
  queue_->beneath.post([queue = queue_] { drain(queue); });
}

void LimitedExecutor::drain(const std::shared_ptr<Queue>& queue) {
  for (int done = 0; done < kTasksInARow; ++done) {
    Task task;
    {
      const std::lock_guard lock(queue->mutex);
      if (queue->tasks.empty()) {
        --queue->draining;
        return;
      }
      task = std::move(queue->tasks.front());
      queue->tasks.pop_front();
    }
    task();
  }
  // To the back of the line: whoever is flooded must not keep a thread from the others.
  queue->beneath.post([queue] { drain(queue); });
}

}  // namespace caretd
