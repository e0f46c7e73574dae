// Figures of a replay for people and for programs.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "daemon/replay/exactness.h"
#include "daemon/replay/figures.h"

namespace caretd::daemon::replay {

/// One pass over all files.
struct RunReport {
  std::string name;  ///< "gate 0.5", "gate and stops off"
  double gate = 0;
  bool stops = true;
  Figures all;
  std::map<std::string, Figures> languages;
  std::optional<ExactnessReport> exactness;
};

[[nodiscard]] RunReport report_of(const std::vector<TypedFileRecord>& files);

[[nodiscard]] nlohmann::json to_json(const RunReport& run);
[[nodiscard]] std::string to_text(const RunReport& run);
/// Wrong characters and saved keys of every run by language, as a Markdown table.
[[nodiscard]] std::string comparison(const std::vector<RunReport>& runs);

}  // namespace caretd::daemon::replay
