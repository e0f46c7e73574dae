// What this binary was built from and with, for --version, `caretd doctor` and serverInfo.
#pragma once

#include <string>
#include <string_view>

namespace caretd::daemon {

/// The release ("0.1.0"). Relay and daemon of different releases do not talk to each other.
[[nodiscard]] std::string_view version();

/// Several lines: version, commit, compiler, build type, libraries.
[[nodiscard]] std::string build_details();

}  // namespace caretd::daemon
