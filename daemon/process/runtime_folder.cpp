#include "daemon/process/runtime_folder.h"

#include <cerrno>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

namespace caretd::daemon {

namespace {

constexpr auto kLockPoll = std::chrono::milliseconds(10);

Result<void> require_private(const std::filesystem::path& path) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) {
    return fail(ErrorKind::io, path.string() + ": " + std::strerror(errno));
  }
  if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid()) {
    return fail(ErrorKind::io,
                path.string() + " is not a folder of this user; remove it or set XDG_RUNTIME_DIR");
  }
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return fail(ErrorKind::io, path.string() + " is open to other users; run chmod 700 on it");
  }
  return {};
}

}  // namespace

Result<RuntimeFolder> open_runtime_folder(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (mkdir(path.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    return fail(ErrorKind::io, path.string() + ": " + std::strerror(errno));
  }
  auto checked = require_private(path);
  if (!checked) return pass_on(std::move(checked));
  return RuntimeFolder{path};
}

Result<UniqueFd> lock_file(const std::filesystem::path& file, bool wait) {
  UniqueFd fd(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
  if (!fd.valid()) return fail(ErrorKind::io, file.string() + ": " + std::strerror(errno));
  int outcome = 0;
  do {
    outcome = flock(fd.get(), LOCK_EX | (wait ? 0 : LOCK_NB));
  } while (outcome != 0 && errno == EINTR);
  if (outcome != 0) {
    return fail(errno == EWOULDBLOCK ? ErrorKind::unavailable : ErrorKind::io,
                file.string() + ": " + std::strerror(errno));
  }
  return fd;
}

Result<UniqueFd> lock_file_within(const std::filesystem::path& file,
                                  std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    auto lock = lock_file(file, false);
    const bool held = !lock && lock.error().kind == ErrorKind::unavailable;
    if (!held || std::chrono::steady_clock::now() >= deadline) return lock;
    std::this_thread::sleep_for(kLockPoll);
  }
}

}  // namespace caretd::daemon
