// The embedded model behind the real server: counts, not times.
#include "daemon/replay/replay.h"

#include <condition_variable>
#include <fstream>
#include <iterator>
#include <mutex>

#include "daemon/engines/model_loading.h"
#include "daemon/replay/exactness.h"
#include "daemon/replay/source_files.h"
#include "engine/local_engine.h"
#include "tests/helpers/catch.h"
#include "tests/helpers/temporary_folder.h"

namespace caretd::daemon::replay {
namespace {

TEST_CASE("a word of a suggestion is what editors accept as one") {
  CHECK(first_word("self.path") == 4);
  CHECK(first_word(".path") == 1);
  CHECK(first_word("  größe = 1") == 9);
  CHECK(first_word("):\n") == 2);
  CHECK(first_word("\n    ") == 5);
  CHECK(first_word("") == 0);
}

TEST_CASE("a suggestion matches as far as it is typed next") {
  CHECK(match("abc", "", "abcd").all_right);
  CHECK(match("abc", "", "abcd").right == 3);
  CHECK(match("abX", "", "abcd").right == 2);
  CHECK_FALSE(match("abcde", "", "abcd").all_right);
  CHECK(match("abcde", "", "abcd").right == 4);
  // Half a character is no right one.
  CHECK(match("ä", "", "ö").right == 0);
  // A closer behind the cursor that the suggestion brings itself.
  CHECK(match("x)", ")", "x").all_right);
  CHECK_FALSE(match("x)", ")", "xy").all_right);
  CHECK_FALSE(match("x", ")", "x").all_right);
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The embedded model on the CPU, ready.
std::unique_ptr<engine::Engine> embedded_engine(const Clock& clock, const Logger& log) {
  engine::ModelLoader loader = [log](const engine::Progress& progress, std::stop_token stop) {
    ModelSettings settings;
    settings.path = "models/tiny";
    settings.device = "cpu";
    return load_model(settings, {}, log, progress, std::move(stop));
  };
  auto engine = engine::make_local_engine(std::move(loader), {}, clock, log);
  std::mutex mutex;
  std::condition_variable changed;
  const auto subscription = engine->on_status([&](const engine::EngineStatus&) {
    const std::lock_guard lock(mutex);
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  const bool loaded = changed.wait_for(lock, std::chrono::seconds(60), [&] {
    return engine->status().state != engine::EngineState::starting;
  });
  REQUIRE(loaded);
  REQUIRE(engine->status().state == engine::EngineState::ready);
  return engine;
}

void check_same_counts(const Figures& a, const Figures& b) {
  CHECK(a.keys == b.keys);
  CHECK(a.ghosts.count == b.ghosts.count);
  CHECK(a.right.count == b.right.count);
  CHECK(a.wrong_characters.count == b.wrong_characters.count);
  CHECK(a.next_ghost_ready.count == b.next_ghost_ready.count);
  CHECK(a.cached_tokens.of == b.cached_tokens.of);
  CHECK(a.cached_tokens.count == b.cached_tokens.count);
  CHECK(a.background_tokens == b.background_tokens);
}

TEST_CASE("a replay types the file, counts the same every time and changes no text") {
  const std::string source = read_file("tests/e2e/language_client.py");
  REQUIRE_FALSE(source.empty());
  const SteadyClock clock;
  const Logger log = make_stderr_logger("warn");
  const auto engine = embedded_engine(clock, log);
  const std::vector<TypedFile> files = {
      plan_typing("client.py", "python", source, {.seed = 2, .characters = 40, .slips = 0.05})};
  ReplayOptions options;
  options.settings.gate.automatic = 0;
  options.keep_generations = true;
  const auto run = [&] { return replay(*engine, files, options, clock, log, [](double) {}); };

  ReplayResult first = run();
  REQUIRE(first.files.size() == 1);
  CHECK(first.files[0].text == source);
  const Figures f = figures_of(first.files);
  CHECK(f.keys > 20);
  CHECK(f.keys <= f.keys_without_suggestions);
  CHECK(f.late.count == 0);
  CHECK(f.ghosts.count > 0);
  CHECK(f.right.count <= f.ghosts.count);
  CHECK(f.cached_tokens.count > f.cached_tokens.of * 8 / 10);
  CHECK(f.computed_inside_line.p50 <= 3);
  CHECK(f.typed_as_suggested_cached.count == f.typed_as_suggested_cached.of);

  check_same_counts(f, figures_of(run().files));

  REQUIRE(first.generations.size() > 10);
  first.generations.resize(10);
  const auto exactness = check_exactness(*engine, first.generations, 0.1, [](double) {});
  REQUIRE(exactness);
  CHECK(exactness->requests == 10);
  CHECK(exactness->tokens > 0);
  CHECK(exactness->different == 0);

  // Another text is noticed.
  std::vector<GenerationRecord> changed(first.generations.begin(), first.generations.begin() + 1);
  changed[0].tokens.back() += 1;
  const auto noticed = check_exactness(*engine, changed, 0.0, [](double) {});
  REQUIRE(noticed);
  CHECK(noticed->different == 1);
}

TEST_CASE("source files are fetched once and checked by their sums") {
  const caretd::test::TemporaryFolder folder;
  const std::string text = "print(1)\n";
  const std::string sum = sha256_of(text);
  CHECK(sha256_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::vector<SourceFile> files = {{"@a/b@1.0.0", "src/a.py", "python", sum}};
  std::vector<std::string> programs;
  const RunProgram run = [&](const std::vector<std::string>& arguments) -> Result<int> {
    programs.push_back(arguments.front());
    const std::filesystem::path package = folder.path() / "@a+b@1.0.0";
    if (arguments.front() == "npm") {
      CHECK(arguments.back() == "@a/b@1.0.0");
      std::ofstream(package / "a-b-1.0.0.tgz") << "archive";
    } else {
      std::filesystem::create_directories(package / "package/src");
      std::ofstream(package / "package/src/a.py") << text;
    }
    return 0;
  };
  const auto fetched = fetch(files, folder.path(), run);
  REQUIRE(fetched);
  CHECK(fetched->front().text == text);
  CHECK(fetched->front().name == "@a+b@1.0.0/src/a.py");
  CHECK(programs == std::vector<std::string>{"npm", "tar"});
  REQUIRE(fetch(files, folder.path(), run));
  CHECK(programs.size() == 2);

  const std::vector<SourceFile> other = {{"@a/b@1.0.0", "src/a.py", "python", "00"}};
  const auto refused = fetch(other, folder.path(), run);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("src/a.py of @a/b@1.0.0") != std::string::npos);
  const auto broken = fetch(other, folder.path(), [](const auto&) -> Result<int> { return 1; });
  REQUIRE_FALSE(broken);
  CHECK(broken.error().message.find("npm pack") != std::string::npos);
}

TEST_CASE("the standard files are enough for the goals") {
  std::vector<std::string_view> languages;
  for (const SourceFile& file : standard_files()) {
    CHECK(file.sha256.size() == 64);
    languages.push_back(file.language);
  }
  CHECK(languages.size() >= 12);
  std::ranges::sort(languages);
  languages.erase(std::unique(languages.begin(), languages.end()), languages.end());
  CHECK(languages.size() >= 5);
}

}  // namespace
}  // namespace caretd::daemon::replay
