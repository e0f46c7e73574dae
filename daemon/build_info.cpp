#include "daemon/build_info.h"

#include <nlohmann/json.hpp>
#include <spdlog/version.h>

#include "daemon/commit.h"

namespace caretd::daemon {

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::string_view kSanitizers = ", AddressSanitizer";
#elif defined(__SANITIZE_THREAD__)
constexpr std::string_view kSanitizers = ", ThreadSanitizer";
#else
constexpr std::string_view kSanitizers;
#endif

std::string library_version(int major, int minor, int patch) {
  return std::to_string(major) + '.' + std::to_string(minor) + '.' + std::to_string(patch);
}

}  // namespace

std::string_view version() {
  return CARETD_VERSION;
}

std::string build_details() {
  std::string text = "caretd " CARETD_VERSION " (" CARETD_COMMIT ")\n";
  text += "built with " CARETD_COMPILER ", " CARETD_BUILD_TYPE;
  text += kSanitizers;
  text += " for " CARETD_PROCESSOR "\nlibraries: nlohmann-json ";
  text += library_version(NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                          NLOHMANN_JSON_VERSION_PATCH);
  text += ", spdlog " + library_version(SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR, SPDLOG_VER_PATCH);
  return text;
}

}  // namespace caretd::daemon
