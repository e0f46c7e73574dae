#include "engine/bench/memory_bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "engine/cpu/memory.h"
#include "engine/cpu/thread_team.h"
#include "kernels/cpu/kernels.h"

namespace caretd::engine {

namespace {

constexpr std::size_t kBytes = 256ULL << 20;  // several times any second- or third-level cache
constexpr std::size_t kPiece = 1ULL << 20;

}  // namespace

Result<double> measure_read_bandwidth(int threads, Duration duration, const Clock& clock) {
  auto memory = MappedMemory::allocate(kBytes, true);
  if (!memory) return pass_on(std::move(memory));
  ThreadTeam team(threads > 0 ? threads : available_processors());
  const kernels::cpu::Kernels& kernels = *kernels::cpu::find_kernels("");
  constexpr int kPieces = static_cast<int>(kBytes / kPiece);
  const auto piece = [&](int item) {
    return memory->bytes().subspan(static_cast<std::size_t>(item) * kPiece, kPiece);
  };
  team.for_each(kPieces, [&](int item, int) { std::ranges::fill(piece(item), std::byte{1}); });

  std::atomic<std::uint64_t> checksum{0};  // keeps the reads from being optimised away
  Duration best = Duration::max();
  const TimePoint end = clock.now() + duration;
  do {
    const TimePoint start = clock.now();
    team.for_each(kPieces, [&](int item, int) {
      checksum += kernels.read_stream(piece(item).data(), kPiece);
    });
    best = std::min(best, clock.now() - start);
  } while (clock.now() < end);
  return static_cast<double>(kBytes) / std::chrono::duration<double>(best).count();
}

}  // namespace caretd::engine
