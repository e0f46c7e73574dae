#include "daemon/eval/infilling.h"

#include <filesystem>
#include <fstream>

#include <zlib.h>

#include "tests/helpers/catch.h"
#include "tests/helpers/temporary_folder.h"
#include "tests/helpers/tiny_tokenizer.h"

namespace caretd::daemon {
namespace {

using test::TemporaryFolder;
using test::tiny_tokenizer;

std::filesystem::path file_with(const TemporaryFolder& folder, const std::string& name,
                                const std::string& text) {
  const auto path = folder.path() / name;
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

std::string error_of(const std::string& name, const std::string& text) {
  const TemporaryFolder folder;
  const auto cases = read_infilling_file(file_with(folder, name, text));
  REQUIRE_FALSE(cases);
  return cases.error().message;
}

const std::string kCase =
    R"({"task_id": "t/0", "prompt": "a = 1\n", "suffix": "c = 3\n", "canonical_solution": "b = 2\n"})";

std::string forced(const InfillingCase& hole, PromptForm form) {
  engine::ModelInfo model;
  model.fill_in_the_middle = true;
  return infilling_prompt(hole, form, {}, model, *tiny_tokenizer()).forced_prefix;
}

TEST_CASE("cases are read from JSON lines, plain or compressed") {
  const TemporaryFolder folder;
  const auto plain = read_infilling_file(file_with(folder, "a.jsonl", kCase + "\n\n" + kCase));
  REQUIRE(plain);
  REQUIRE(plain->size() == 2);
  CHECK(plain->front().id == "t/0");
  CHECK(plain->front().prefix == "a = 1\n");
  CHECK(plain->front().suffix == "c = 3\n");
  CHECK(plain->front().expected == "b = 2\n");

  const auto path = file_with(folder, "b.jsonl.gz", "");
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, kCase.data(), static_cast<unsigned>(kCase.size()));
  gzclose(file);
  const auto compressed = read_infilling_file(path);
  REQUIRE(compressed);
  CHECK(compressed->size() == 1);
}

TEST_CASE("a broken file of cases is refused with file, line and field") {
  CHECK(error_of("c.jsonl", kCase + "\n{\"task_id\": 1}\n")
            .find("c.jsonl:2: the field \"task_id\"") != std::string::npos);
  CHECK(error_of("d.jsonl", "[1]\n").find("d.jsonl:1") != std::string::npos);
  CHECK(error_of("e.jsonl", "{").find("not JSON") != std::string::npos);
  CHECK(error_of("f.jsonl", "\n").find("no cases") != std::string::npos);
  CHECK_FALSE(read_infilling_file("/nowhere/x.jsonl"));
}

TEST_CASE("random holes are reproducible and put together give the file") {
  const std::string source = "def f(a):\n\n    return a + 'é'\nx = f(1)\n";
  const auto holes = random_holes("a.py", source, 10, 3);
  CHECK(holes.size() == 3);
  for (const InfillingCase& hole : holes) {
    CHECK(hole.prefix + hole.expected + hole.suffix == source);
    CHECK_FALSE(hole.expected.empty());
    CHECK(hole.expected.find('\n') == std::string::npos);
    CHECK((static_cast<unsigned char>(hole.expected[0]) & 0xC0) != 0x80);
  }
  CHECK(random_holes("a.py", source, 10, 3)[1].id == holes[1].id);
  CHECK(random_holes("a.py", source, 2, 3).size() == 2);
  CHECK(random_holes("a.py", "", 2, 3).empty());
}

TEST_CASE("an output is judged by its lines and its first wrong byte") {
  CHECK(judge("b = 2\n", "b = 2\n").exact);
  CHECK(judge("b = 2  \nmore", "b = 2\n").exact);
  CHECK_FALSE(judge("b = 3\n", "b = 2\n").exact);
  CHECK(judge("b = 3\n", "b = 2\n").right_prefix == Approx(0.8));
  CHECK(judge("", "b = 2").right_prefix == 0);
  CHECK(judge("x\ny\nz", "x\ny").exact);
  CHECK_FALSE(judge("x\nz", "x\ny").exact);
  CHECK(judge("b = 2 + 1", "b = 2").right_prefix == 1);
  CHECK_FALSE(judge("b = 2 + 1", "b = 2").exact);
}

TEST_CASE("holes are sorted by where they begin") {
  const auto place = [](std::string prefix, std::string expected) {
    return place_of({"", "", std::move(prefix), "", std::move(expected)});
  };
  CHECK(place("x = fo", "o(1)") == HolePlace::inside_word);
  CHECK(place("x = foo", "(1)") == HolePlace::after_text);
  CHECK(place("x = ", "foo(1)") == HolePlace::after_text);
  CHECK(place("a\n    ", "foo(1)") == HolePlace::line_start);
  CHECK(place("", "foo(1)") == HolePlace::line_start);
}

TEST_CASE("the three forms differ in healing and anchoring") {
  const InfillingCase hole{"", "a.py", "import os\nx = os.pa", "\ny = 2\n", "th"};
  CHECK(forced(hole, PromptForm::plain).empty());
  CHECK_FALSE(forced(hole, PromptForm::healed).empty());
  CHECK(forced(hole, PromptForm::anchored) == forced(hole, PromptForm::healed));
  CHECK_FALSE(forced(hole, PromptForm::anchored).empty());
}

}  // namespace
}  // namespace caretd::daemon
