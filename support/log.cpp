#include "support/log.h"

#include <string>
#include <utility>

#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace caretd {

namespace {

Logger make_logger(spdlog::sink_ptr sink, std::string_view level) {
  auto logger = std::make_shared<spdlog::logger>("caretd", std::move(sink));
  const auto parsed = spdlog::level::from_str(std::string(level));
  // spdlog answers "off" for a word it does not know.
  logger->set_level(parsed == spdlog::level::off && level != "off" ? spdlog::level::info : parsed);
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  return logger;
}

}  // namespace

Logger make_stderr_logger(std::string_view level) {
  return make_logger(std::make_shared<spdlog::sinks::stderr_sink_mt>(), level);
}

Logger make_file_logger(const std::filesystem::path& file, std::string_view level,
                        std::size_t max_bytes, std::size_t files) {
  try {
    auto logger = make_logger(
        std::make_shared<spdlog::sinks::rotating_file_sink_mt>(file.string(), max_bytes, files),
        level);
    logger->flush_on(spdlog::level::info);
    return logger;
  } catch (const spdlog::spdlog_ex& error) {
    auto logger = make_stderr_logger(level);
    logger->warn("logging to stderr: {}", error.what());
    return logger;
  }
}

Logger make_null_logger() {
  return std::make_shared<spdlog::logger>("null", std::make_shared<spdlog::sinks::null_sink_mt>());
}

}  // namespace caretd
