#include "daemon/process/startup_pages.h"

#include <cstddef>
#include <cstdint>

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

namespace caretd::daemon {

namespace {

/// A segment that is never written holds what the file holds. Relocated constants lie in segments
/// that are writable until the loader is done, which are left alone.
void release_segment(std::uintptr_t base, const ElfW(Phdr) & segment) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const std::uintptr_t begin = (base + segment.p_vaddr) / page * page;
  const std::uintptr_t end = base + segment.p_vaddr + segment.p_memsz;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

int release_object(dl_phdr_info* object, std::size_t /*size*/, void* /*context*/) {
  for (int index = 0; index < object->dlpi_phnum; ++index) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[index];
    const bool constant = segment.p_type == PT_LOAD && (segment.p_flags & PF_W) == 0;
    if (constant) release_segment(object->dlpi_addr, segment);
  }
  return 0;
}

}  // namespace

void release_startup_pages() {
  dl_iterate_phdr(&release_object, nullptr);
  malloc_trim(0);
}

}  // namespace caretd::daemon
