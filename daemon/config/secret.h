// Keys that are written down in a setting or, better, in a file of their own.
#pragma once

#include <string>

#include "support/result.h"

namespace caretd::daemon {

/// `value`, or the first line of `file` where that is set; empty if neither is. `name` is the
/// configuration key of the file, for the message.
[[nodiscard]] Result<std::string> read_secret(const std::string& value, const std::string& file,
                                              const std::string& name);

}  // namespace caretd::daemon
