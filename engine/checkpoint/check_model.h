// A full reading of a model folder: the library behind `caretd models check`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "support/result.h"

namespace caretd::engine {

/// One thing that is wrong.
struct CheckFinding {
  std::string file;     ///< inside the folder
  std::string tensor;   ///< empty where the finding concerns the whole file
  std::string problem;  ///< one clause: "holds 3 values that are not finite"
};

struct CheckReport {
  std::int64_t tensors = 0;
  std::int64_t values = 0;
  std::int64_t bytes = 0;
  int sums_compared = 0;
  std::vector<CheckFinding> findings;  ///< empty: the model is sound

  [[nodiscard]] bool sound() const { return findings.empty(); }
};

struct CheckOptions {
  std::filesystem::path sums;            ///< file of SHA-256 sums; empty: none are compared
  int threads = 0;                       ///< 0: as many as the machine has cores
  std::function<void(double)> progress;  ///< share done in 0..1; one call at a time, any thread
  std::stop_token stop;
};

/// Reads every byte once (twice with sums). Findings: what opening the model would refuse, values
/// that are NaN or infinite, tensors of zeros only (an interrupted download leaves them), sums
/// that differ and listed files that are missing. An Error means that the folder cannot be read as
/// a model at all, or that the check was stopped. Memory stays small; pages are given back.
[[nodiscard]] Result<CheckReport> check_model(const std::filesystem::path& folder,
                                              const CheckOptions& options);

}  // namespace caretd::engine
