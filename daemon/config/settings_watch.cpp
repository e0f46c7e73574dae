#include "daemon/config/settings_watch.h"

#include <sys/stat.h>

namespace caretd::daemon {

SettingsWatch::Stamp SettingsWatch::stamp_of(const std::filesystem::path& file) {
  constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;
  struct stat status {};
  if (stat(file.c_str(), &status) != 0) return {};
  return {true, status.st_ino, status.st_size,
          status.st_mtim.tv_sec * kNanosecondsPerSecond + status.st_mtim.tv_nsec};
}

SettingsWatch::Handle SettingsWatch::watch(const std::filesystem::path& file) {
  const std::lock_guard lock(mutex_);
  Entry& entry = files_[file];
  if (auto handle = entry.handle.lock()) return handle;
  const Handle handle = std::make_shared<char>();
  entry = {handle, stamp_of(file)};
  return handle;
}

bool SettingsWatch::changed() {
  const std::lock_guard lock(mutex_);
  std::erase_if(files_, [](const auto& file) { return file.second.handle.expired(); });
  bool any = false;
  for (auto& [file, entry] : files_) {
    const Stamp now = stamp_of(file);
    any = any || now != entry.stamp;
    entry.stamp = now;
  }
  return any;
}

}  // namespace caretd::daemon
