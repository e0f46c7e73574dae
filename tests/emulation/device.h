// A CUDA device in software: runs the kernels of kernels/cuda on the CPU, so that what they compute
// and how their threads wait for one another can be tested without a GPU. Every thread is a fiber,
// the fibers of a block share one thread of the operating system.
//
// It is built to find errors of order. Warps run ahead of one another by chance, different in every
// launch; asynchronous copies arrive late, in any order; memory that nobody has written holds NaN;
// an address outside of shared memory, lanes of a warp that execute different instructions together
// and a block whose threads all wait for something that does not come end the program with a
// sentence.
//
// What it cannot show: speed; the order in which blocks see each other's plain stores (the CPU's is
// stricter); and what a matrix instruction still reads while it is under way.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <source_location>
#include <type_traits>
#include <vector>

#include <boost/context/fiber.hpp>
#include <cuda_runtime_api.h>

namespace caretd::emulation {

inline constexpr int kWarpSize = 32;
inline constexpr int kWarpgroupSize = 128;
/// Of the device, times 100: 900, or one whose copies and shared memory are those of 8.9.
#ifndef CARETD_DEVICE_CAPABILITY
#define CARETD_DEVICE_CAPABILITY 900
#endif
/// What a block may have.
[[nodiscard]] constexpr int max_shared_bytes(int capability) {
  return (capability >= 900 ? 227 : 99) * 1024;
}

/// Threads that execute an instruction together: a warp, or a warpgroup.
struct Group {
  std::array<void*, kWarpgroupSize> arguments = {};
  std::uint32_t instruction = 0;  ///< where in the source, so that no two are mixed up
  int arrived = 0;
  unsigned executed = 0;
};

struct Thread {
  boost::context::fiber rest;  ///< where it goes on
  uint3 index = {};
  int number = 0;  ///< within the block
  bool finished = false;
  const char* waits_for = "nothing";
  /// Whether what it waits for has come, asked before it is resumed; null: nothing.
  bool (*ready)(void*) = nullptr;
  void* ready_argument = nullptr;
  /// Of 16 bytes (cp.async).
  struct Copy {
    std::uint32_t to;
    const void* from;  ///< null: zeros
  };
  std::vector<Copy> uncommitted;
  std::vector<std::vector<Copy>> committed;  ///< in groups

  [[nodiscard]] int lane() const { return number % kWarpSize; }
};

struct Grid {
  dim3 blocks;
  dim3 threads;  ///< of a block, in one dimension
  int shared_bytes = 0;
  bool resident = false;  ///< all blocks run at the same time and may wait for one another
};

class Block {
 public:
  Block(const Grid& grid, uint3 index, const std::function<void()>& kernel);

  /// Runs all threads to their ends.
  void run();

  [[nodiscard]] const Grid& grid() const { return grid_; }
  [[nodiscard]] uint3 index() const { return index_; }

  /// Address 1,024 is the first byte of the dynamic shared memory.
  [[nodiscard]] std::byte* shared() { return shared_; }
  [[nodiscard]] std::uint32_t address_of(const void* pointer) const;
  [[nodiscard]] std::byte* at(std::uint32_t address, std::size_t bytes);

  [[nodiscard]] Group& warp_of(const Thread& thread);
  [[nodiscard]] Group& warpgroup_of(const Thread& thread);

  // Barriers in shared memory (PTX ISA, "mbarrier"): 64 bits hold the phase, the arrivals a phase
  // takes, those that are still missing, and the bytes that are.
  void init_barrier(std::uint32_t barrier, unsigned arrivals);
  void arrive(std::uint32_t barrier, unsigned expected_bytes = 0);
  [[nodiscard]] bool completed(std::uint32_t barrier, unsigned parity);
  /// Starts a bulk copy, which arrives some time later.
  void copy_later(std::uint32_t to, const void* from, std::size_t bytes, std::uint32_t barrier);
  /// Something else that happens some time later.
  void later(std::function<void()> event);

  /// Barriers of threads ("bar"); `threads` of 0 means all that have not left.
  void sync(int id, int threads);
  void arrive_at(int id, int threads);

  /// Something happened that others may wait for.
  void note_progress() { progress_ = true; }

 private:
  struct NamedBarrier {
    int arrived = 0;
    unsigned passed = 0;
  };
  void start_threads();
  Thread& next_to_start();
  void resume(Thread& thread);
  void run_warps();
  void run_due_events();
  void complete_phase_if_due(std::uint64_t& barrier) const;
  [[noreturn]] void report_stall() const;

  Grid grid_;
  uint3 index_;
  const std::function<void()>& kernel_;
  std::byte* shared_ = nullptr;
  std::vector<Thread> threads_;
  std::vector<Group> warps_;
  std::vector<Group> warpgroups_;
  std::array<NamedBarrier, 16> barriers_ = {};
  std::vector<std::function<void()>> events_;
  std::vector<int> order_;     ///< of warps, in the present round
  std::vector<int> laziness_;  ///< of warps: takes one round in so many
  std::minstd_rand random_;
  std::size_t started_ = 0;
  int unfinished_ = 0;
  bool progress_ = false;
};

// The block and the thread that are running.
extern thread_local Block* current_block;
extern thread_local Thread* current_thread;
[[nodiscard]] inline Block& block() {
  return *current_block;
}
[[nodiscard]] inline Thread& thread() {
  return *current_thread;
}

/// Lets other threads of the block run.
void pause();

/// Goes on once ready() says so; the scheduler asks it, without switching to this thread.
template <typename Ready>
void wait_until(const char* what, Ready&& ready) {
  if (ready()) return;
  Thread& own = thread();
  own.waits_for = what;
  own.ready = [](void* argument) {
    return (*static_cast<std::remove_reference_t<Ready>*>(argument))();
  };
  own.ready_argument = &ready;
  pause();
  own.ready = nullptr;
}

/// Ends the program: the kernel did what no device allows.
[[noreturn]] void stop(const char* why);

/// Calls compute(arguments of all, by their place) once all `size` threads of the group have come
/// here, each with its own arguments, into which compute() may write.
template <typename Arguments, typename Compute>
void together(Group& group, int size, int place, Arguments& arguments, Compute&& compute,
              std::source_location where = std::source_location::current()) {
  if (group.arrived == 0) group.instruction = where.line();
  if (group.instruction != where.line()) stop("lanes of a warp execute different instructions");
  group.arguments[static_cast<std::size_t>(place)] = &arguments;
  if (++group.arrived < size) {
    const unsigned before = group.executed;
    wait_until("the other lanes", [&] { return group.executed != before; });
    return;
  }
  compute(reinterpret_cast<Arguments* const*>(group.arguments.data()));
  group.arrived = 0;
  ++group.executed;
}

template <typename Arguments, typename Compute>
void warp_together(Arguments& arguments, Compute&& compute,
                   std::source_location where = std::source_location::current()) {
  Thread& own = thread();
  together(block().warp_of(own), kWarpSize, own.lane(), arguments, compute, where);
}

/// Of the calling thread, as cudaSetDevice() chooses it.
extern thread_local int current_device;

/// What a cudaStream_t points to.
struct Stream {
  int device;
};

/// Whether the calling thread may put something into the stream that runs on its device.
[[nodiscard]] cudaError_t check_stream(cudaStream_t stream);

/// Runs a kernel on all blocks of a grid and returns when it has ended.
void run_grid(const Grid& grid, const std::function<void()>& kernel);

}  // namespace caretd::emulation
