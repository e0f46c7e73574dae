#include "support/executor.h"

#include <utility>

namespace caretd {

namespace {

/// Tasks of a strand that run before another strand has its turn.
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

struct Strand::Queue {
  explicit Queue(Executor& executor) : beneath(executor) {}
  Executor& beneath;
  std::mutex mutex;
  std::deque<Task> tasks;
  bool draining = false;
};

Strand::Strand(Executor& beneath) : queue_(std::make_shared<Queue>(beneath)) {}

void Strand::post(Task task) {
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->tasks.push_back(std::move(task));
    if (queue_->draining) return;
    queue_->draining = true;
  }
  queue_->beneath.post([queue = queue_] { drain(queue); });
}

void Strand::drain(const std::shared_ptr<Queue>& queue) {
  for (int done = 0; done < kTasksInARow; ++done) {
    Task task;
    {
      const std::lock_guard lock(queue->mutex);
      if (queue->tasks.empty()) {
        queue->draining = false;
        return;
      }
      task = std::move(queue->tasks.front());
      queue->tasks.pop_front();
    }
    task();
  }
  // To the back of the line: a strand that is flooded must not keep a thread from the others.
  queue->beneath.post([queue] { drain(queue); });
}

}  // namespace caretd
