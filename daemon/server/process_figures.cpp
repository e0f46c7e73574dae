#include "daemon/server/process_figures.h"

#include <filesystem>
#include <fstream>

#include <unistd.h>

namespace caretd::daemon {

namespace {

int entries(const char* folder) {
  std::error_code error;
  int count = 0;
  for (auto entry = std::filesystem::directory_iterator(folder, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    ++count;
  }
  return count;
}

}  // namespace

ProcessFigures process_figures() {
  ProcessFigures figures;
  std::int64_t total_pages = 0;
  std::int64_t resident_pages = 0;
  std::ifstream("/proc/self/statm") >> total_pages >> resident_pages;
  figures.resident_bytes = resident_pages * sysconf(_SC_PAGESIZE);
  figures.descriptors = entries("/proc/self/fd");
  figures.threads = entries("/proc/self/task");
  return figures;
}

}  // namespace caretd::daemon
