#include "daemon/relay/daemon_launcher.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>

#include "daemon/build_info.h"

namespace caretd::daemon {

namespace {

constexpr auto kHandshakeTimeout = std::chrono::seconds(5);
constexpr int kStartTimeoutMs = 20'000;

Result<std::unique_ptr<Stream>> greet(std::unique_ptr<Stream> stream, const Hello& hello) {
  auto line = exchange_lines(*stream, write_hello(hello), kHandshakeTimeout);
  if (!line) return pass_on(std::move(line));
  auto welcome = read_welcome(*line);
  if (!welcome) return pass_on(std::move(welcome));
  if (welcome->version != version()) {
    return fail(ErrorKind::unsupported,
                "a daemon of version " + welcome->version + " is running, this is version " +
                    std::string(version()) + "; run: caretd daemon restart");
  }
  if (!welcome->error.empty()) return fail(ErrorKind::unavailable, welcome->error);
  return stream;
}

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail(ErrorKind::io, std::strerror(errno));
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// The daemon writes one line into the pipe once it listens: empty, or why it does not.
Result<void> wait_until_ready(const UniqueFd& ready) {
  std::string line;
  char byte = 0;
  pollfd entry{ready.get(), POLLIN, 0};
  while (poll(&entry, 1, kStartTimeoutMs) > 0) {
    const ssize_t count = read(ready.get(), &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return fail(ErrorKind::unavailable, "the daemon ended while it started");
    if (byte != '\n') {
      line += byte;
    } else if (line.empty()) {
      return {};
    } else {
      return fail(ErrorKind::unavailable, line);
    }
  }
  return fail(ErrorKind::unavailable, "the daemon did not start within 20 seconds");
}

/// As execve() takes them; points into `words`.
std::vector<char*> null_terminated(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// In the child of a child, so that the daemon is nobody's zombie. Only async-signal-safe calls.
[[noreturn]] void become_daemon(char* const* arguments, char* const* environment, int ready,
                                int log) {
  setsid();
  if (fork() != 0) _exit(0);
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(log >= 0 ? log : null, STDOUT_FILENO);
  dup2(log >= 0 ? log : null, STDERR_FILENO);
  // Its own number, so that it survives exec().
  constexpr int kReadyFd = 3;
  if (ready == kReadyFd) {
    fcntl(ready, F_SETFD, 0);
  } else {
    dup2(ready, kReadyFd);
  }
  if (chdir("/") == 0) execve(arguments[0], arguments, environment);
  _exit(127);
}

}  // namespace

Result<std::unique_ptr<Stream>> greet_daemon(const RuntimeFolder& folder, const Hello& hello) {
  auto stream = connect_unix(folder.socket());
  if (!stream) return stream;
  return greet(*std::move(stream), hello);
}

Result<std::unique_ptr<Stream>> greet_remote(const RemoteDaemon& daemon, Hello hello) {
  auto stream = connect_tcp(daemon);
  if (!stream) return stream;
  hello.token = daemon.token;
  return greet(*std::move(stream), hello);
}

Result<void> launch_daemon(const RuntimeFolder& folder, const LaunchOptions& options) {
  std::vector<std::string> words{options.executable.string()};
  words.insert(words.end(), options.arguments.begin(), options.arguments.end());
  for (const char* word : {"daemon", "run", "--ready-fd", "3"}) words.emplace_back(word);
  words.push_back("--runtime-folder=" + folder.path.string());
  if (options.on_demand) words.emplace_back("--on-demand");
  std::vector<std::string> variables = options.environment;
  const auto arguments = null_terminated(words);
  const auto environment = null_terminated(variables);

  auto ready = make_pipe();
  if (!ready) return pass_on(std::move(ready));
  const UniqueFd log(
      open(options.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, S_IRUSR | S_IWUSR));
  const pid_t child = fork();
  if (child < 0) return fail(ErrorKind::io, std::strerror(errno));
  if (child == 0) {
    become_daemon(arguments.data(), environment.data(), ready->write.get(), log.get());
  }
  ready->write.reset();
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return wait_until_ready(ready->read);
}

Result<std::unique_ptr<Stream>> connect_session(const RuntimeFolder& folder,
                                                const LaunchOptions& options, const Hello& hello) {
  auto stream = greet_daemon(folder, hello);
  if (stream || stream.error().kind != ErrorKind::not_found) return stream;
  const auto lock = lock_file(folder.start_lock(), true);
  if (!lock) return fail(lock.error().kind, lock.error().message);
  // Somebody else may have started it while we waited for the lock.
  stream = greet_daemon(folder, hello);
  if (stream || stream.error().kind != ErrorKind::not_found) return stream;
  auto launched = launch_daemon(folder, options);
  if (!launched) return pass_on(std::move(launched));
  return greet_daemon(folder, hello);
}

}  // namespace caretd::daemon
