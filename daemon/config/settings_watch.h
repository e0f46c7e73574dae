// Notices that a settings file was written, replaced, created or removed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>

namespace caretd::daemon {

/// Compares the files' stamps whenever it is asked, rather than being told by the kernel: that also
/// sees files behind symbolic links, in folders that do not exist yet and on network file systems.
/// Thread-safe.
class SettingsWatch {
 public:
  /// Keeps a file watched for as long as it lives; copies share the watch.
  using Handle = std::shared_ptr<const void>;

  /// Changes count from now on, or from the first call where others watch the file already.
  [[nodiscard]] Handle watch(const std::filesystem::path& file);

  /// Whether any file changed since the last call. Looks at the disk.
  [[nodiscard]] bool changed();

 private:
  struct Stamp {
    bool exists = false;
    std::uint64_t inode = 0;
    std::int64_t bytes = 0;
    std::int64_t modified_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  struct Entry {
    std::weak_ptr<const void> handle;
    Stamp stamp;
  };
  [[nodiscard]] static Stamp stamp_of(const std::filesystem::path& file);

  std::mutex mutex_;
  std::map<std::filesystem::path, Entry> files_;
};

}  // namespace caretd::daemon
