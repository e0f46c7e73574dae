// Reading of TOML settings files, the user's and a project's (which is untrusted).
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <spdlog/fmt/fmt.h>
#include <toml++/toml.h>

#include "daemon/config/configuration.h"

namespace caretd::daemon {

namespace {

constexpr size_t kMaxBytes = 1 << 20;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

Result<std::string> read_all(int fd) {
  std::string text;
  std::array<char, 16384> buffer{};
  while (true) {
    const ssize_t count = read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(ErrorKind::io, std::strerror(errno));
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(count));
    if (text.size() > kMaxBytes) {
      return fail(ErrorKind::invalid_input, "is larger than 1 MiB; it is not read");
    }
  }
}

/// Nothing where there is no file. A project's file that is a symbolic link, a pipe or a device is
/// refused: it could point at anything or block for ever.
Result<std::optional<std::string>> read_regular_file(const std::filesystem::path& file,
                                                     bool follow_links) {
  const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow_links ? 0 : O_NOFOLLOW);
  const Descriptor descriptor(open(file.c_str(), flags));
  if (descriptor.get() < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    if (errno == ELOOP) return fail(ErrorKind::invalid_input, "is a symbolic link; it is not read");
    return fail(ErrorKind::io, std::strerror(errno));
  }
  struct stat status {};
  if (fstat(descriptor.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(ErrorKind::invalid_input, "is not a regular file; it is not read");
  }
  auto text = read_all(descriptor.get());
  if (!text) return pass_on(std::move(text));
  return *std::move(text);
}

std::optional<SettingValue> list_value(const toml::array& array) {
  if (array.empty() || array.is_homogeneous<std::string>()) {
    std::vector<std::string> items;
    for (const auto& item : array) items.push_back(**item.as_string());
    return SettingValue(std::move(items));
  }
  if (array.is_homogeneous<std::int64_t>()) {
    std::vector<std::int64_t> items;
    for (const auto& item : array) items.push_back(**item.as_integer());
    return SettingValue(std::move(items));
  }
  return std::nullopt;
}

std::optional<SettingValue> scalar_or_list(const toml::node& node) {
  if (const auto* value = node.as_boolean()) return SettingValue(**value);
  if (const auto* value = node.as_integer()) return SettingValue(**value);
  if (const auto* value = node.as_floating_point()) return SettingValue(**value);
  if (const auto* value = node.as_string()) return SettingValue(**value);
  if (const auto* value = node.as_array()) return list_value(*value);
  return std::nullopt;
}

void collect(const toml::table& table, const std::string& prefix, const std::string& file,
             SettingsLayer& into) {
  for (const auto& [name, node] : table) {
    const std::string key =
        prefix.empty() ? std::string(name.str()) : prefix + '.' + std::string(name.str());
    const std::string where = fmt::format("{}:{}", file, name.source().begin.line);
    if (const toml::table* section = node.as_table()) {
      collect(*section, key, file, into);
    } else if (auto value = scalar_or_list(node)) {
      into.assignments.push_back({key, *std::move(value), where});
    } else {
      const Key* known = find_key(key);
      into.problems.push_back(
          fmt::format("{}: {} must be {}", where, key,
                      known != nullptr ? expectation(*known) : "a setting that caretd knows"));
    }
  }
}

}  // namespace

SettingsLayer parse_settings(Layer layer, std::string_view toml, const std::string& file_name) {
  SettingsLayer result{layer, {}, {}};
  const toml::parse_result parsed = toml::parse(toml);
  if (!parsed) {
    // The library's own description may quote the file.
    const auto position = parsed.error().source().begin;
    result.problems.push_back(fmt::format("{}:{}: not valid TOML at column {}", file_name,
                                          position.line, position.column));
    return result;
  }
  collect(parsed.table(), "", file_name, result);
  return result;
}

SettingsLayer read_settings_file(Layer layer, const std::filesystem::path& file) {
  auto text = read_regular_file(file, layer != Layer::project_file);
  if (!text) {
    return {layer, {}, {fmt::format("{}: {}", file.string(), text.error().message)}};
  }
  if (!*text) return {layer, {}, {}};
  return parse_settings(layer, **text, file.string());
}

}  // namespace caretd::daemon
