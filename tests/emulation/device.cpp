#include "tests/emulation/device.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numeric>
#include <thread>

#include <sys/mman.h>

namespace caretd::emulation {
namespace {

constexpr std::uint32_t kSharedBase = 1024;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kStackBytes = std::size_t{128} << 10;
constexpr std::chrono::seconds kPatience{60};

/// Where a fiber goes when it pauses.
thread_local boost::context::fiber scheduler;

/// Memory that a block needs while it runs, between two pages that may not be touched. It is kept
/// for the next block: fresh pages cost more than what most blocks compute.
class Pool {
 public:
  explicit Pool(std::size_t bytes) : bytes_(bytes) {}

  std::byte* take() {
    {
      const std::scoped_lock lock(mutex_);
      if (!free_.empty()) {
        std::byte* piece = free_.back();
        free_.pop_back();
        return piece;
      }
    }
    void* memory = mmap(nullptr, bytes_ + 2 * kPage, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) stop("no memory left for another thread");
    std::byte* piece = static_cast<std::byte*>(memory) + kPage;
    if (mprotect(piece, bytes_, PROT_READ | PROT_WRITE) != 0) stop("no more mappings allowed");
    return piece;
  }
  void give_back(std::byte* piece) {
    const std::scoped_lock lock(mutex_);
    free_.push_back(piece);
  }

 private:
  std::size_t bytes_;
  std::mutex mutex_;
  std::vector<std::byte*> free_;
};

Pool stacks(kStackBytes);
Pool shared_memories((max_shared_bytes(900) + kPage - 1) / kPage * kPage);

struct StackAllocator {
  boost::context::stack_context allocate() {
    boost::context::stack_context stack;
    stack.size = kStackBytes;
    stack.sp = stacks.take() + kStackBytes;
    return stack;
  }
  void deallocate(boost::context::stack_context& stack) noexcept {
    stacks.give_back(static_cast<std::byte*>(stack.sp) - kStackBytes);
  }
};

std::atomic<unsigned> launches = 0;

/// Fields of a barrier in shared memory.
struct PhaseBarrier {
  std::uint64_t phase : 1;
  std::uint64_t arrivals : 15;
  std::uint64_t missing : 16;
  std::int64_t missing_bytes : 32;
};
static_assert(sizeof(PhaseBarrier) == sizeof(std::uint64_t));

PhaseBarrier& as_barrier(std::uint64_t& word) {
  return reinterpret_cast<PhaseBarrier&>(word);
}

}  // namespace

thread_local Block* current_block = nullptr;
thread_local Thread* current_thread = nullptr;
thread_local int current_device = 0;

cudaError_t check_stream(cudaStream_t stream) {
  const auto* own = reinterpret_cast<const Stream*>(stream);
  return own == nullptr || own->device == current_device ? cudaSuccess
                                                         : cudaErrorInvalidResourceHandle;
}

void pause() {
  Thread* const own = current_thread;
  scheduler = std::move(scheduler).resume();
  current_thread = own;
}

void stop(const char* why) {
  std::fprintf(stderr, "emulated device: %s", why);
  if (current_thread != nullptr) {
    const uint3 index = current_block->index();
    std::fprintf(stderr, " (block %u, %u, thread %d)", index.x, index.y, current_thread->number);
  }
  std::fputc('\n', stderr);
  std::abort();
}

Block::Block(const Grid& grid, uint3 index, const std::function<void()>& kernel)
    : grid_(grid), index_(index), kernel_(kernel) {
  const unsigned count = grid.threads.x;
  if (count % kWarpSize != 0) stop("a block does not consist of whole warps");
  threads_.resize(count);
  for (unsigned i = 0; i < count; ++i) {
    threads_[i].number = static_cast<int>(i);
    threads_[i].index = {i, 0, 0};
  }
  const std::size_t warps = count / kWarpSize;
  warps_.resize(warps);
  warpgroups_.resize((count + kWarpgroupSize - 1) / kWarpgroupSize);
  random_.seed(launches.load() * 7919U + index.x * 31U + index.y + 1U);
  order_.resize(warps);
  std::iota(order_.begin(), order_.end(), 0);
  laziness_.assign(warps, 1);
  unfinished_ = static_cast<int>(count);
}

void Block::run() {
  if (grid_.shared_bytes > max_shared_bytes(900)) stop("a block asks for too much shared memory");
  shared_ = shared_memories.take();
  std::memset(shared_, 0xFF, static_cast<std::size_t>(grid_.shared_bytes));
  current_block = this;
  start_threads();
  auto last_progress = std::chrono::steady_clock::now();
  int idle_rounds = 0;
  for (unsigned round = 0; unfinished_ > 0; ++round) {
    progress_ = false;
    if (round % 64 == 0) {
      for (int& lazy : laziness_) {
        lazy = random_() % 3 == 0 ? 1 + static_cast<int>(random_() % 8) : 1;
      }
    }
    run_due_events();
    run_warps();
    if (progress_) {
      last_progress = std::chrono::steady_clock::now();
      idle_rounds = 0;
    } else if (++idle_rounds > 4) {
      // What the block waits for comes from others: the more there are, the more they need the
      // processor.
      const int longest = 6 * static_cast<int>(grid_.blocks.x);
      std::this_thread::sleep_for(std::chrono::microseconds(std::min(10 * idle_rounds, longest)));
      if (std::chrono::steady_clock::now() - last_progress > kPatience) report_stall();
    }
  }
  current_block = nullptr;
  current_thread = nullptr;
  shared_memories.give_back(shared_);
}

/// Warps start in any order.
Thread& Block::next_to_start() {
  if (started_ == 0) std::ranges::shuffle(order_, random_);
  const auto warp = static_cast<std::size_t>(order_[started_ / kWarpSize]);
  return threads_[warp * kWarpSize + started_++ % kWarpSize];
}

/// A fiber runs one thread after the other until one of them has to wait; then it belongs to that
/// one, and the next fiber takes over.
void Block::start_threads() {
  while (started_ < threads_.size()) {
    boost::context::fiber fiber(std::allocator_arg, StackAllocator(),
                                [this](boost::context::fiber&& back) {
                                  scheduler = std::move(back);
                                  while (started_ < threads_.size()) {
                                    Thread& own = next_to_start();
                                    current_thread = &own;
                                    kernel_();
                                    own.finished = true;
                                    --unfinished_;
                                    progress_ = true;
                                  }
                                  return std::move(scheduler);
                                });
    fiber = std::move(fiber).resume();
    if (fiber) current_thread->rest = std::move(fiber);
  }
}

void Block::resume(Thread& thread) {
  current_thread = &thread;
  thread.rest = std::move(thread.rest).resume();
}

void Block::run_warps() {
  std::ranges::shuffle(order_, random_);
  for (const int warp : order_) {
    const auto w = static_cast<std::size_t>(warp);
    if (laziness_[w] > 1 && random_() % static_cast<unsigned>(laziness_[w]) != 0) continue;
    for (std::size_t i = w * kWarpSize; i < (w + 1) * kWarpSize; ++i) {
      Thread& thread = threads_[i];
      if (thread.finished) continue;
      if (thread.ready == nullptr || thread.ready(thread.ready_argument)) resume(thread);
    }
  }
}

void Block::run_due_events() {
  for (std::size_t i = 0; i < events_.size();) {
    if (random_() % 2 == 0) {
      ++i;
      continue;
    }
    const auto event = std::move(events_[i]);
    events_[i] = std::move(events_.back());
    events_.pop_back();
    event();
    progress_ = true;
  }
}

void Block::report_stall() const {
  std::fprintf(stderr, "emulated device: nothing moves in block %u any more; its warps wait for\n",
               index_.x);
  for (const Thread& thread : threads_) {
    if (thread.lane() != 0 || thread.finished) continue;
    std::fprintf(stderr, "  warp %d: %s\n", thread.number / kWarpSize, thread.waits_for);
  }
  std::abort();
}

std::uint32_t Block::address_of(const void* pointer) const {
  const auto offset = static_cast<const std::byte*>(pointer) - shared_;
  if (offset < 0 || offset > grid_.shared_bytes) stop("an address is not of shared memory");
  return kSharedBase + static_cast<std::uint32_t>(offset);
}

std::byte* Block::at(std::uint32_t address, std::size_t bytes) {
  if (address < kSharedBase ||
      address - kSharedBase + bytes > static_cast<std::size_t>(grid_.shared_bytes)) {
    stop("an access outside of shared memory");
  }
  return shared_ + (address - kSharedBase);
}

Group& Block::warp_of(const Thread& thread) {
  return warps_[static_cast<std::size_t>(thread.number / kWarpSize)];
}
Group& Block::warpgroup_of(const Thread& thread) {
  return warpgroups_[static_cast<std::size_t>(thread.number / kWarpgroupSize)];
}

void Block::init_barrier(std::uint32_t barrier, unsigned arrivals) {
  as_barrier(*reinterpret_cast<std::uint64_t*>(at(barrier, 8))) = {0, arrivals, arrivals, 0};
}

void Block::arrive(std::uint32_t barrier, unsigned expected_bytes) {
  auto& word = *reinterpret_cast<std::uint64_t*>(at(barrier, 8));
  if (as_barrier(word).missing == 0) stop("an arrival that a barrier's phase does not take");
  as_barrier(word).missing_bytes += expected_bytes;
  as_barrier(word).missing -= 1;
  complete_phase_if_due(word);
  progress_ = true;
}

void Block::complete_phase_if_due(std::uint64_t& barrier) const {
  PhaseBarrier& state = as_barrier(barrier);
  if (state.missing != 0 || state.missing_bytes != 0) return;
  state.phase ^= 1U;
  state.missing = state.arrivals;
}

bool Block::completed(std::uint32_t barrier, unsigned parity) {
  return as_barrier(*reinterpret_cast<std::uint64_t*>(at(barrier, 8))).phase != parity;
}

void Block::copy_later(std::uint32_t to, const void* from, std::size_t bytes,
                       std::uint32_t barrier) {
  if (bytes % 16 != 0 || to % 16 != 0 || reinterpret_cast<std::uintptr_t>(from) % 16 != 0) {
    stop("a bulk copy that is not of whole 16 bytes");
  }
  later([=, this] {
    std::memcpy(at(to, bytes), from, bytes);
    auto& word = *reinterpret_cast<std::uint64_t*>(at(barrier, 8));
    as_barrier(word).missing_bytes -= static_cast<std::int64_t>(bytes);
    complete_phase_if_due(word);
  });
}

void Block::later(std::function<void()> event) {
  events_.push_back(std::move(event));
}

void Block::sync(int id, int threads) {
  NamedBarrier& barrier = barriers_[static_cast<std::size_t>(id)];
  const unsigned before = barrier.passed;
  ++barrier.arrived;
  wait_until(id == 0 ? "all threads of the block" : "a barrier of several warps", [&] {
    if (barrier.passed != before) return true;
    if (barrier.arrived < (threads > 0 ? threads : unfinished_)) return false;
    barrier.arrived = 0;
    ++barrier.passed;
    return true;
  });
  progress_ = true;
}

void Block::arrive_at(int id, int threads) {
  NamedBarrier& barrier = barriers_[static_cast<std::size_t>(id)];
  if (++barrier.arrived == threads) {
    barrier.arrived = 0;
    ++barrier.passed;
  }
  progress_ = true;
}

void run_grid(const Grid& grid, const std::function<void()>& kernel) {
  launches.fetch_add(1);
  const unsigned count = grid.blocks.x * grid.blocks.y * grid.blocks.z;
  const unsigned workers =
      grid.resident ? count : std::min(count, std::max(1U, std::thread::hardware_concurrency()));
  std::atomic<unsigned> next = 0;
  const auto work = [&] {
    for (unsigned i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
      Block(
          grid,
          {i % grid.blocks.x, i / grid.blocks.x % grid.blocks.y, i / grid.blocks.x / grid.blocks.y},
          kernel)
          .run();
    }
  };
  if (workers == 1) return work();
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < workers; ++i) threads.emplace_back(work);
}

}  // namespace caretd::emulation
