#include "engine/cpu/thread_team.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

#include <sched.h>

namespace caretd::engine {

namespace {

// A pause takes some 40 to 140 cycles: long enough to outlast the gaps inside a forward pass,
// short enough not to matter to other processes.
constexpr int kSpinsBeforeSleep = 1500;
constexpr int kSpinsBeforeYield = 2000;
constexpr std::uint64_t kNextLoop = std::uint64_t{1} << 32;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

std::uint32_t items_left(std::uint64_t tickets) {
  return static_cast<std::uint32_t>(tickets);
}

/// Whole processors that a container's quota allows (cgroup v2: "quota period" in microseconds, or
/// "max period"); threads beyond it would be stopped in the middle of their work.
int processor_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0;
  double period = 0;
  if (!(file >> quota >> period) || period <= 0) return std::numeric_limits<int>::max();
  return std::max(1, static_cast<int>(std::ceil(quota / period)));
}

}  // namespace

ThreadTeam::ThreadTeam(int threads) : threads_(std::max(threads, 1)) {
  for (int thread = 1; thread < threads; ++thread) {
    helpers_.emplace_back([this, thread] { help(thread); });
  }
}

ThreadTeam::~ThreadTeam() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_available_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadTeam::run(const Loop& loop) {
  if (helpers_.empty() || loop.count <= 1) {
    for (int item = 0; item < loop.count; ++item) loop.call(loop.context, item, 0);
    return;
  }
  loop_ = loop;
  unfinished_.store(loop.count, std::memory_order_relaxed);
  const std::uint64_t previous = tickets_.load(std::memory_order_relaxed);
  const std::uint64_t next = (previous & ~(kNextLoop - 1)) + kNextLoop;
  // Either a helper that is about to sleep sees the new tickets, or it is seen as a sleeper here:
  // both sides write first and read then, in one total order.
  tickets_.store(next | static_cast<std::uint32_t>(loop.count), std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) {
    const std::lock_guard lock(mutex_);
    work_available_.notify_all();
  }
  while (take_share(0)) {
  }
  for (int spins = 0; unfinished_.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < kSpinsBeforeYield) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

bool ThreadTeam::take_share(int thread) {
  const auto sharers = static_cast<std::uint32_t>(2 * size());
  std::uint64_t tickets = tickets_.load(std::memory_order_acquire);
  std::uint32_t share = 0;
  do {
    const std::uint32_t left = items_left(tickets);
    if (left == 0) return false;
    share = std::max(1U, left / sharers);
  } while (!tickets_.compare_exchange_weak(tickets, tickets - share, std::memory_order_acq_rel,
                                           std::memory_order_acquire));
  // The loop cannot end before this share does, so loop_ stays what it is.
  const int first = loop_.count - static_cast<int>(items_left(tickets));
  for (int item = first; item < first + static_cast<int>(share); ++item) {
    loop_.call(loop_.context, item, thread);
  }
  unfinished_.fetch_sub(static_cast<int>(share), std::memory_order_release);
  return true;
}

void ThreadTeam::help(int thread) {
  int spins = 0;
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (take_share(thread)) {
      spins = 0;
    } else if (++spins < kSpinsBeforeSleep) {
      pause();
    } else {
      sleep_until_work();
      spins = 0;
    }
  }
}

bool ThreadTeam::has_work() const {
  return items_left(tickets_.load(std::memory_order_seq_cst)) > 0 ||
         stopping_.load(std::memory_order_relaxed);
}

void ThreadTeam::sleep_until_work() {
  std::unique_lock lock(mutex_);
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  work_available_.wait(lock, [this] { return has_work(); });
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
}

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int allowed = sched_getaffinity(0, sizeof set, &set) == 0
                          ? CPU_COUNT(&set)
                          : static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(allowed, 1, processor_quota());
}

}  // namespace caretd::engine
