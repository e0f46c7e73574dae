#include "daemon/replay/typing_script.h"

#include <algorithm>

#include "lsp/documents/text.h"
#include "tests/helpers/catch.h"

namespace caretd::daemon::replay {
namespace {

std::string source_of(int functions) {
  std::string source = "# Größen\nimport os\n";
  for (int i = 0; i < functions; ++i) {
    const std::string n = std::to_string(i);
    source += "\n\ndef size_" + n + "(path):\n    total = " + n + "\n    for name in path:\n";
    source += "        total += os.stat(name).st_size  # größer\n    return total\n";
  }
  return source;
}

std::string typed_into(const TypedFile& file) {
  lsp::Text text(file.opening);
  for (const Stretch& stretch : file.stretches) {
    std::string typed;
    for (const Stroke& stroke : stretch.strokes) typed += stroke.text;
    text.replace(stretch.offset - stretch.erased, stretch.offset, typed);
  }
  return std::string(text.view());
}

std::vector<std::string> texts_of(const std::vector<Stroke>& strokes) {
  std::vector<std::string> texts;
  for (const Stroke& stroke : strokes) texts.push_back(stroke.text);
  return texts;
}

TEST_CASE("an editor indents: a line break and what indents the next line are one key") {
  CHECK(texts_of(strokes_of("a\n\n  b\r\n\tü")) ==
        std::vector<std::string>{"a", "\n", "\n  ", "b", "\r\n\t", "ü"});
}

TEST_CASE("typing every stretch of a plan gives the file") {
  const std::string source = source_of(20);
  for (const std::size_t characters : {std::size_t{0}, std::size_t{1}, std::size_t{500}}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      const TypedFile file =
          plan_typing("size.py", "python", source, {.seed = seed, .characters = characters});
      REQUIRE(typed_into(file) == source);
      CHECK(characters_of(file) >= std::min(characters, count_characters(source)) / 2);
    }
  }
}

TEST_CASE("a plan depends on the seed alone, a longer one keeps waits and slips") {
  const std::string source = source_of(20);
  const TypingOptions options{.seed = 7, .characters = 400, .slips = 0.2};
  const TypedFile a = plan_typing("size.py", "python", source, options);
  const TypedFile b = plan_typing("size.py", "python", source, options);
  REQUIRE(a.stretches.size() == b.stretches.size());
  std::size_t slips = 0;
  for (std::size_t i = 0; i < a.stretches.size(); ++i) {
    REQUIRE(a.stretches[i].offset == b.stretches[i].offset);
    REQUIRE(a.stretches[i].strokes.size() == b.stretches[i].strokes.size());
    for (std::size_t k = 0; k < a.stretches[i].strokes.size(); ++k) {
      const Stroke& stroke = a.stretches[i].strokes[k];
      CHECK(stroke.slip == b.stretches[i].strokes[k].slip);
      CHECK(stroke.wait == b.stretches[i].strokes[k].wait);
      if (!stroke.slip.empty()) ++slips;
      CHECK((stroke.slip.empty() || stroke.slip.front() != stroke.text.front()));
    }
  }
  CHECK(slips > 10);
  CHECK(keys_without_suggestions(a) > characters_of(a) / 2);
  const TypedFile other = plan_typing("size.py", "python", source, {.seed = 8, .characters = 400});
  CHECK(other.opening != a.opening);
}

TEST_CASE("the rhythm is that of so many words a minute") {
  const TypedFile file = plan_typing("size.py", "python", source_of(60), {.words_per_minute = 120});
  Duration inside{};
  std::size_t count = 0;
  for (const Stretch& stretch : file.stretches) {
    for (std::size_t i = 1; i < stretch.strokes.size(); ++i) {
      if (stretch.strokes[i - 1].text.front() == '\n') continue;  // where pauses are
      inside += stretch.strokes[i].wait;
      ++count;
    }
  }
  CHECK(to_milliseconds(inside) / static_cast<double>(count) == Approx(100).epsilon(0.05));
}

TEST_CASE("some stretches are a part of a line") {
  const TypedFile file = plan_typing("size.py", "python", source_of(60), {.characters = 2000});
  const auto within = std::ranges::count_if(file.stretches, [](const Stretch& stretch) {
    return stretch.strokes.front().text.front() != '\n';
  });
  CHECK(within > 0);
  CHECK(within < static_cast<std::ptrdiff_t>(file.stretches.size()));
}

std::vector<TypedFile> session_of(const std::string& lines) {
  auto files = parse_session(lines);
  INFO((files ? std::string() : files.error().message));
  REQUIRE(files);
  return *files;
}

TEST_CASE("a recorded session is read; what was taken back becomes a slip") {
  const auto files = session_of(R"({"open": "a.py", "text": "x = 1\ny = 2\n"})"
                                "\n"
                                R"({"move": [0, 5], "wait": 1500})"
                                "\n\n"
                                R"({"type": "\n    ", "wait": 100})"
                                "\n"
                                R"({"type": "zü", "wait": 80})"
                                "\n"
                                R"({"erase": 1})"
                                "\n"
                                R"({"type": "a", "wait": 90})"
                                "\n"
                                R"({"move": [1, 5]})"
                                "\n"
                                R"({"erase": 2})"
                                "\n"
                                R"({"type": "b"})");
  REQUIRE(files.size() == 1);
  CHECK(files[0].name == "a.py");
  CHECK(files[0].language == "python");
  REQUIRE(files[0].stretches.size() == 2);
  const Stretch& first = files[0].stretches[0];
  CHECK(first.offset == 5);
  CHECK(to_milliseconds(first.wait) == Approx(1500));
  CHECK(texts_of(first.strokes) == std::vector<std::string>{"\n    ", "z", "a"});
  CHECK(first.strokes[2].slip == "ü");
  CHECK(to_milliseconds(first.strokes[2].wait) == Approx(90));
  CHECK(files[0].stretches[1].erased == 2);
  CHECK(typed_into(files[0]) == "x = 1\n   ba\ny = 2\n");
  CHECK(keys_without_suggestions(files[0]) == 3 + 2 + 1 + 1);
}

std::string error_of(const std::string& lines) {
  const auto files = parse_session(lines);
  REQUIRE_FALSE(files);
  return files.error().message;
}

TEST_CASE("a broken session is refused with line and field") {
  const std::string open = R"({"open": "a.py", "text": "x\n"})"
                           "\n";
  CHECK(error_of(R"({"type": "x"})").find("line 1") != std::string::npos);
  CHECK(error_of(open + "nonsense").find("line 2: the line is not JSON") != std::string::npos);
  CHECK(error_of(open + R"({"move": [7, 0]})").find("\"move\"") != std::string::npos);
  CHECK(error_of(open + R"({"move": [0, -1]})").find("\"move\"") != std::string::npos);
  CHECK(error_of(open + R"({"erase": 5})").find("\"erase\"") != std::string::npos);
  CHECK(error_of(open + R"({"type": "x", "wait": -1})").find("\"wait\"") != std::string::npos);
  CHECK(error_of(open + "[]").find("line 2") != std::string::npos);
  CHECK(error_of(open).find("types nothing") != std::string::npos);
}

}  // namespace
}  // namespace caretd::daemon::replay
