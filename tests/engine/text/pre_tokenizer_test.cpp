#include "engine/text/pre_tokenizer.h"

#include <ctime>

#include <nlohmann/json.hpp>

#include "engine/text/regex.h"
#include "engine/text/utf8.h"
#include "tests/engine/text/text_cases.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;
using namespace caretd::engine::test;

namespace {

using Pieces = std::vector<std::string>;

Pieces split(const std::vector<PreTokenizerStep>& steps, const std::string& text) {
  const auto pre_tokenizer = PreTokenizer::create(steps);
  REQUIRE(pre_tokenizer.has_value());
  PreTokenized out;
  pre_tokenizer->split(text, out);
  Pieces pieces;
  for (const Span& piece : out.pieces) {
    pieces.emplace_back(out.text.substr(piece.begin, piece.end - piece.begin));
  }
  return pieces;
}

SplitStep regex_step(std::string pattern, SplitBehavior behavior = SplitBehavior::isolated,
                     bool invert = false) {
  return {std::move(pattern), true, behavior, invert};
}

std::vector<Span> matches_of(const Pattern& pattern, std::string_view text) {
  std::vector<Span> matches;
  pattern.find_all(text, matches);
  return matches;
}

std::vector<std::string> deepseek_patterns() {
  const auto document = nlohmann::json::parse(read_file("models/tiny/tokenizer.json"));
  std::vector<std::string> patterns;
  for (const auto& step : document["pre_tokenizer"]["pretokenizers"]) {
    if (step["type"] == "Split") patterns.push_back(step["pattern"]["Regex"]);
  }
  return patterns;
}

}  // namespace

TEST_CASE("split behaviours place the match as the reference implementation does") {
  // The example of the reference implementation's documentation.
  const std::string text = "the-final--countdown";
  const auto behave = [&](SplitBehavior behavior, bool invert = false) {
    return split({SplitStep{"-", false, behavior, invert}}, text);
  };
  CHECK(behave(SplitBehavior::isolated) == Pieces{"the", "-", "final", "-", "-", "countdown"});
  CHECK(behave(SplitBehavior::merged_with_previous) == Pieces{"the-", "final-", "-", "countdown"});
  CHECK(behave(SplitBehavior::merged_with_next) == Pieces{"the", "-final", "-", "-countdown"});
  CHECK(behave(SplitBehavior::contiguous) == Pieces{"the", "-", "final", "--", "countdown"});
  CHECK(behave(SplitBehavior::merged_with_previous, true) ==
        Pieces{"the", "-final", "-", "-countdown"});
}

TEST_CASE("digits are numeric characters of any script") {
  CHECK(split({DigitsStep{true}}, "a12٣½b") == Pieces{"a", "1", "2", "٣", "½", "b"});
  CHECK(split({DigitsStep{false}}, "a12٣½b") == Pieces{"a", "12٣½", "b"});
}

TEST_CASE("ByteLevel splits like GPT-2 and adds spaces where it is told to") {
  CHECK(split({ByteLevelStep{false, true}}, "I've  42 x's\n\nok ") ==
        Pieces{"I", "'ve", " ", " 42", " x", "'s", "\n", "\n", "ok", " "});
  CHECK(split({ByteLevelStep{false, false}}, "a b") == Pieces{"a b"});
  CHECK(split({ByteLevelStep{true, true}}, "a b") == Pieces{" a", " b"});
  CHECK(split({DigitsStep{true}, ByteLevelStep{true, false}}, "a1 b") == Pieces{" a", " 1", " b"});
  CHECK(split({ByteLevelStep{true, true}}, "").empty());
}

TEST_CASE("the linear scanner finds what PCRE2 finds") {
  auto patterns = deepseek_patterns();
  REQUIRE(patterns.size() == 5);
  for (const char* more : {"a", "\\n", "[ab]?b", "\\s?[\\s!]+", "[a-c\\-x]+", "\\s", "[\\s]+$"}) {
    patterns.emplace_back(more);
  }
  std::mt19937_64 random(11);
  for (const std::string& pattern : patterns) {
    INFO(pattern);
    const auto scanner = make_scanner(pattern);
    const auto pcre2 = make_pcre2_pattern(pattern);
    REQUIRE(scanner != nullptr);
    REQUIRE(pcre2.has_value());
    for (int i = 0; i < 400; ++i) {
      const std::string text = random_text(random, static_cast<int>(random() % 30));
      REQUIRE(matches_of(*scanner, text) == matches_of(**pcre2, text));
    }
  }
}

TEST_CASE("the linear scanner agrees with PCRE2 on every character") {
  std::string all;
  for (char32_t code = 1; code < 0x110000; ++code) {
    if (code < 0xD800 || code > 0xDFFF) append_utf8(all, code);
  }
  for (const std::string& pattern : deepseek_patterns()) {
    CHECK(matches_of(*make_scanner(pattern), all) ==
          matches_of(*make_pcre2_pattern(pattern).value(), all));
  }
}

TEST_CASE("patterns of other shapes are left to PCRE2") {
  for (const char* pattern : {"", "a|b", "[^a]", "(a)", "a*", "a{2}", "a+b", "\\p{L}+", "[\\d]",
                              "[a", "[a&&b]", "[[a]b]", "^a", "a$", "a??b", "a++", ".", "a?b$"}) {
    INFO(pattern);
    CHECK(make_scanner(pattern) == nullptr);
  }
}

TEST_CASE("Oniguruma's syntax keeps its meaning or is refused") {
  const auto found = [](std::string_view pattern, std::string_view text) {
    const auto made = make_pcre2_pattern(pattern);
    REQUIRE(made.has_value());
    Pieces pieces;
    for (const Span& m : matches_of(**made, text)) {
      pieces.emplace_back(text.substr(m.begin, m.end - m.begin));
    }
    return pieces;
  };
  CHECK(found("\\s", "a\u180Eb\u0085\u3000") == Pieces{"\u0085", "\u3000"});
  CHECK(found("[^\\s]+", "a\u180Eb c") == Pieces{"a\u180Eb", "c"});
  CHECK(found("\\S+", "a\u180Eb c") == Pieces{"a\u180Eb", "c"});
  CHECK(found("a+$", "aa\naab\na") == Pieces{"aa", "a"});
  CHECK(found("^a", "a\nab") == Pieces{"a", "a"});
  CHECK(found("(?i:'RE)|\\p{L}+", "we'Re") == Pieces{"we", "'Re"});
  CHECK(found(" ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s+(?!\\S)|\\s+", "a  !!\n b") ==
        Pieces{" ", " !!\n", " "});
  for (const char* pattern :
       {"\\h", "\\w+", "\\bx", "[\\S]", "[[:alpha:]]", "[a-z&&[aeiou]]", "(?m:.)", "(?<n>a)",
        "a{1,2}+", "\\Ga", "[]a]", "(", "a**", "[b-a]", "a*", "x|", "\\"}) {
    INFO(pattern);
    CHECK_FALSE(make_pcre2_pattern(pattern).has_value());
  }
}

TEST_CASE("only a first step that isolates single newlines makes lines independent") {
  const auto isolates = [](std::vector<PreTokenizerStep> steps) {
    return PreTokenizer::create(steps)->isolates_newlines();
  };
  CHECK(isolates({regex_step("[\\r\\n]"), ByteLevelStep{false, true}}));
  CHECK(isolates({regex_step("\\n")}));
  CHECK(isolates({regex_step("\\s")}));
  CHECK(isolates({SplitStep{"\n", false, SplitBehavior::isolated, false}}));
  CHECK_FALSE(isolates({regex_step("[\\r\\n]+")}));
  CHECK_FALSE(isolates({regex_step("\\s?\\n")}));
  CHECK_FALSE(isolates({regex_step("\\r")}));
  CHECK_FALSE(isolates({regex_step("\\n", SplitBehavior::merged_with_next)}));
  CHECK_FALSE(isolates({regex_step("\\n", SplitBehavior::isolated, true)}));
  CHECK_FALSE(isolates({DigitsStep{true}, regex_step("\\n")}));
  CHECK_FALSE(isolates({ByteLevelStep{false, true}}));
}

TEST_CASE("a megabyte without a place to cut takes linear time") {
#ifdef __SANITIZE_ADDRESS__
  constexpr std::size_t kLength = 1 << 16;  // instrumented code is thirty times slower
#else
  constexpr std::size_t kLength = 1 << 20;
#endif
  const std::clock_t started = std::clock();  // processor time: the machine may be busy
  const std::string spaces(kLength, ' ');
  for (const std::string& text :
       {spaces + "5", spaces + "\x01", std::string(kLength, 'a'), spaces + "\n" + spaces}) {
    for (const Tokenizer* tokenizer : {&tiny_tokenizer(), &deepseek_tokenizer()}) {
      CHECK(tokenizer->decode(tokenizer->encode(text)) == text);
    }
  }
  // It takes seconds; quadratic time would be hours.
  CHECK((std::clock() - started) / CLOCKS_PER_SEC < 60);
}
