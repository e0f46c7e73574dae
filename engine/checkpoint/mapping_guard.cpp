#include "engine/checkpoint/mapping_guard.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

namespace caretd::engine {
namespace {

/// `end` is 0 while the slot is free or being filled. Lock-free, since a signal handler reads it.
struct GuardedRange {
  std::atomic<bool> taken{false};
  std::atomic<bool> lost{false};
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::uintptr_t> end{0};
};
static_assert(std::atomic<std::uintptr_t>::is_always_lock_free);

constinit std::array<GuardedRange, 1024> ranges;
constinit struct sigaction previous_action {};
constinit std::uintptr_t page_bytes = 0;

/// Puts zeros where the file has nothing any more: from the page of `address` to the end, so that
/// the rest of a file that lost gigabytes costs one signal. mmap() is a plain system call here.
bool replace_lost_pages(std::uintptr_t address) {
  for (GuardedRange& range : ranges) {
    const std::uintptr_t end = range.end;
    if (end == 0 || address < range.begin || address >= end) continue;
    const std::uintptr_t first = address / page_bytes * page_bytes;
    range.lost = true;
    return mmap(reinterpret_cast<void*>(first), end - first, PROT_READ,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
  }
  return false;
}

void on_bus_error(int /*signal*/, siginfo_t* info, void* /*context*/) {
  const int saved_errno = errno;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  // The instruction runs again: into the zeros, or into what was to happen without us.
  if (!replace_lost_pages(address)) sigaction(SIGBUS, &previous_action, nullptr);
  errno = saved_errno;
}

void install_handler() {
  static std::once_flag installed;
  std::call_once(installed, [] {
    page_bytes = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    struct sigaction action {};
    action.sa_sigaction = &on_bus_error;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previous_action);
  });
}

}  // namespace

MappingGuard::MappingGuard(std::span<const std::byte> mapping) {
  install_handler();
  for (std::size_t slot = 0; slot < ranges.size(); ++slot) {
    GuardedRange& range = ranges[slot];
    if (range.taken.exchange(true)) continue;
    range.lost = false;
    range.begin = reinterpret_cast<std::uintptr_t>(mapping.data());
    range.end = range.begin + mapping.size();
    slot_ = slot;
    return;
  }
}

MappingGuard::MappingGuard(MappingGuard&& other) noexcept
    : slot_(std::exchange(other.slot_, kNone)) {}

MappingGuard& MappingGuard::operator=(MappingGuard&& other) noexcept {
  std::swap(slot_, other.slot_);
  return *this;
}

MappingGuard::~MappingGuard() {
  if (slot_ == kNone) return;
  ranges[slot_].end = 0;
  ranges[slot_].taken = false;
}

bool MappingGuard::intact() const {
  return slot_ == kNone || !ranges[slot_].lost;
}

}  // namespace caretd::engine
