// Measures Tokenizer::encode on one core: tokenizer_speed TOKENIZER_FOLDER... prints MB/s on the
// sources below the working directory and fails below 5 MB/s. Counts the thread's own processor
// time and takes the best of several rounds, so that a busy machine disturbs little.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "engine/text/tokenizer.h"
#include "tests/helpers/enforced_times.h"

namespace {

namespace fs = std::filesystem;

constexpr double kRequiredMegabytesPerSecond = 5.0;
constexpr double kLeastMegabytesPerSecond = 1.0;  // of any machine, whatever else it does
constexpr int kRounds = 12;
constexpr std::size_t kTextLimit = 2U << 20;

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// C++ sources and JSON-free text of this repository, the same in every run.
std::string typical_source() {
  std::vector<fs::path> files;
  for (const char* room : {"support", "kernels", "engine", "lsp", "daemon", "tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(room)) {
      const std::string suffix = entry.path().extension();
      if (suffix == ".cpp" || suffix == ".h" || suffix == ".py") files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::string text;
  for (const fs::path& file : files) {
    if (text.size() > kTextLimit) break;
    std::ifstream stream(file, std::ios::binary);
    text.append(std::istreambuf_iterator<char>(stream), {});
  }
  return text;
}

/// Prints one line and answers whether the speed suffices.
bool measure(const fs::path& folder, const std::string& text) {
  const auto tokenizer = caretd::engine::Tokenizer::load(folder);
  if (!tokenizer) {
    std::fprintf(stderr, "%s\n", tokenizer.error().message.c_str());
    return false;
  }
  double best = std::numeric_limits<double>::max();
  std::size_t tokens = 0;
  for (int round = 0; round < kRounds; ++round) {
    const double started = processor_seconds();
    tokens = (*tokenizer)->encode(text).size();
    best = std::min(best, processor_seconds() - started);
  }
  const double speed = static_cast<double>(text.size()) / best / 1e6;
  std::printf("%s: %zu bytes, %zu tokens, %.1f MB/s\n", folder.c_str(), text.size(), tokens, speed);
  return speed >= (caretd::test::times_are_enforced() ? kRequiredMegabytesPerSecond
                                                      : kLeastMegabytesPerSecond);
}

}  // namespace

int main(int count, char** folders) {
  const std::string text = typical_source();
  bool good = count > 1 && !text.empty();
  for (int i = 1; i < count; ++i) good = measure(folders[i], text) && good;
  return good ? 0 : 1;
}
