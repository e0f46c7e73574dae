#include "daemon/statistics_file.h"

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "daemon/process/runtime_folder.h"
#include "lsp/protocol/caretd_types.h"
#include "lsp/protocol/json_reader.h"

namespace caretd::daemon {
namespace {

namespace fs = std::filesystem;

/// A full file has some 30 KB.
constexpr std::uintmax_t kLargestStatisticsFile = std::uintmax_t{4} << 20;

fs::path with_ending(const fs::path& file, std::string_view ending) {
  return file.string() + std::string(ending);
}

Result<void> io_failure(const fs::path& file, std::string_view what) {
  return fail(ErrorKind::io,
              file.string() + " cannot be " + std::string(what) + ": " + std::strerror(errno));
}

Result<void> write_all(int fd, std::string_view text, const fs::path& file) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return io_failure(file, "written");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

/// Readers see the old file or the new one, also after a crash.
Result<void> replace_file(const fs::path& file, std::string_view text) {
  const fs::path fresh = with_ending(file, ".new");
  const UniqueFd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (fd.get() < 0) return io_failure(fresh, "written");
  if (auto written = write_all(fd.get(), text, fresh); !written) return written;
  if (::fsync(fd.get()) != 0) return io_failure(fresh, "written");
  if (::rename(fresh.c_str(), file.c_str()) != 0) return io_failure(file, "replaced");
  return {};
}

/// The owner of the counters; its thread writes them down.
class KeptStatistics {
 public:
  KeptStatistics(fs::path file, Logger log, std::chrono::milliseconds interval)
      : file_(std::move(file)), log_(std::move(log)) {
    if (const auto record = read_statistics(file_)) {
      statistics.restore(*record);
    } else {
      tell(record.error());
    }
    writer_ = std::jthread([this, interval](const std::stop_token& stop) {
      std::unique_lock lock(mutex_);
      do {
        wake_.wait_for(lock, stop, interval, [] { return false; });
        write();
      } while (!stop.stop_requested());
    });
  }

  lsp::Statistics statistics;

 private:
  void write() {
    const auto more = statistics.unwritten();
    if (more.empty()) return;
    if (const auto added = add_statistics(file_, more)) {
      statistics.written();
    } else {
      tell(added.error());
    }
  }

  void tell(const Error& error) {
    if (!std::exchange(told_, true)) log_->warn("statistics are not kept: {}", error.message);
  }

  const fs::path file_;
  const Logger log_;
  bool told_ = false;  // the constructor's, then the writer's
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread writer_;  // last: it ends first
};

}  // namespace

Result<lsp::StatisticsRecord> read_statistics(const fs::path& file) {
  std::error_code error;
  if (!fs::exists(file, error)) return lsp::StatisticsRecord{};
  if (!fs::is_regular_file(file, error) || fs::file_size(file, error) > kLargestStatisticsFile) {
    return fail(ErrorKind::invalid_input, file.string() + " is no file of statistics");
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return fail(ErrorKind::io, file.string() + " cannot be read");
  const auto json = lsp::parse_json(std::string(std::istreambuf_iterator<char>(stream), {}));
  if (!json) return fail(ErrorKind::invalid_input, file.string() + ": " + json.error().message);
  auto record = lsp::read_json<lsp::StatisticsRecord>(*json);
  if (!record) return pass_on(std::move(record), file.string());
  return record;
}

Result<void> add_statistics(const fs::path& file, const lsp::StatisticsRecord& more) {
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (error) return fail(ErrorKind::io, file.parent_path().string() + ": " + error.message());
  const auto lock = lock_file(with_ending(file, ".lock"), true);
  if (!lock) return fail(lock.error().kind, lock.error().message);
  auto record = read_statistics(file);
  if (!record && record.error().kind == ErrorKind::invalid_input) {
    fs::rename(file, with_ending(file, ".broken"), error);
    record = lsp::StatisticsRecord{};
  }
  if (!record) return pass_on(std::move(record));
  *record += more;
  return replace_file(file, lsp::to_string(lsp::Json(*record)) + "\n");
}

std::shared_ptr<lsp::Statistics> keep_statistics(const fs::path& file, Logger log,
                                                 std::chrono::milliseconds interval) {
  const auto kept = std::make_shared<KeptStatistics>(file, std::move(log), interval);
  return {kept, &kept->statistics};
}

}  // namespace caretd::daemon
