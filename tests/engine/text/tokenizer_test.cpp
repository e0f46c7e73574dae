#include "engine/text/tokenizer.h"

#include <sstream>

#include <nlohmann/json.hpp>

#include "tests/engine/text/text_cases.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;
using namespace caretd::engine::test;

namespace {

/// Texts of a vectors.inp file: each is followed by a line that says so.
std::vector<std::string> split_vectors(const std::string& content) {
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> texts;
  std::size_t at = 0;
  for (std::size_t end = content.find(separator); end != std::string::npos;
       end = content.find(separator, at)) {
    texts.push_back(content.substr(at, end - at));
    at = end + separator.size();
  }
  return texts;
}

std::vector<TokenId> parse_ids(const std::string& line) {
  std::istringstream stream(line);
  return {std::istream_iterator<TokenId>(stream), {}};
}

const Tokenizer& both(bool published) {
  return published ? deepseek_tokenizer() : tiny_tokenizer();
}

}  // namespace

TEST_CASE("the published tokenizer gives the ids of all 46 published vectors") {
  const auto texts = split_vectors(read_file("tests/cases/deepseek-v2/vectors.inp"));
  std::istringstream lines(read_file("tests/cases/deepseek-v2/vectors.out"));
  REQUIRE(texts.size() == 46);
  std::string line;
  for (const std::string& text : texts) {
    REQUIRE(std::getline(lines, line));
    INFO(text);
    CHECK(deepseek_tokenizer().encode(text) == parse_ids(line));
  }
  CHECK_FALSE(std::getline(lines, line));
}

TEST_CASE("the embedded tokenizer gives the ids of the golden cases") {
  const auto golden = nlohmann::json::parse(read_file("models/tiny/golden.json"));
  REQUIRE(golden["cases"].size() == 12);
  for (const auto& entry : golden["cases"]) {
    INFO(entry["name"]);
    CHECK(tiny_tokenizer().encode(entry["prompt"].get<std::string>(),
                                  Tokenizer::ControlStrings::as_tokens) ==
          entry["input_ids"].get<std::vector<TokenId>>());
    CHECK(tiny_tokenizer().decode(entry["greedy_ids"].get<std::vector<TokenId>>()) ==
          entry["greedy_text"].get<std::string>());
  }
}

TEST_CASE("both tokenizers give the ids of the reference implementation") {
  const auto cases = nlohmann::json::parse(read_file("tests/cases/tokenizer/encodings.json"));
  REQUIRE(cases["texts"].size() > 150);
  for (std::size_t i = 0; i < cases["texts"].size(); ++i) {
    const std::string text = cases["texts"][i];
    INFO(text);
    for (const bool published : {false, true}) {
      const auto& expected = cases["ids"][published ? "published" : "embedded"][i];
      CHECK(both(published).encode(text, Tokenizer::ControlStrings::as_tokens) ==
            expected.get<std::vector<TokenId>>());
    }
  }
}

TEST_CASE("any bytes survive encoding and decoding") {
  const Tokenizer& tokenizer = both(GENERATE(false, true));
  for (int byte = 0; byte < 256; ++byte) {
    const std::string one(1, static_cast<char>(byte));
    CHECK(tokenizer.decode(tokenizer.encode(one)) == one);
  }
  std::mt19937_64 random(1);
  for (int i = 0; i < 3000; ++i) {
    const std::string text = random_bytes(random, static_cast<int>(random() % 24));
    REQUIRE(tokenizer.decode(tokenizer.encode(text)) == text);
  }
}

TEST_CASE("control strings are plain text unless the caller says otherwise") {
  const Tokenizer& tokenizer = both(GENERATE(false, true));
  const std::string text = "a <｜fim▁hole｜> b<｜end▁of▁sentence｜>";
  const auto plain = tokenizer.encode(text);
  CHECK(tokenizer.decode(plain) == text);
  for (const TokenId id : plain) CHECK_FALSE(tokenizer.is_special(id));

  const auto parsed = tokenizer.encode(text, Tokenizer::ControlStrings::as_tokens);
  CHECK(std::count(parsed.begin(), parsed.end(), *tokenizer.control(ControlToken::fim_hole)) == 1);
  CHECK(parsed.back() == *tokenizer.control(ControlToken::end_of_sentence));
  CHECK(tokenizer.decode(parsed) == "a  b");
}

TEST_CASE("ordinary added tokens match in documents and decode to their text") {
  CHECK(deepseek_tokenizer().encode("ü") == std::vector<TokenId>{100014});
  CHECK(deepseek_tokenizer().encode("xÿ<｜fim▁hole｜>").at(1) == 100005);
  CHECK(deepseek_tokenizer().bytes(100005) == "ÿ");
  CHECK_FALSE(deepseek_tokenizer().is_special(100005));
}

TEST_CASE("control tokens have ids and texts but no bytes") {
  const Tokenizer& tokenizer = deepseek_tokenizer();
  CHECK(tokenizer.control(ControlToken::begin_of_sentence) == 100000);
  CHECK(tokenizer.control(ControlToken::end_of_sentence) == 100001);
  CHECK(tokenizer.control(ControlToken::fim_hole) == 100002);
  CHECK(tokenizer.control(ControlToken::fim_begin) == 100003);
  CHECK(tokenizer.control(ControlToken::fim_end) == 100004);
  CHECK(tokenizer.control_text(ControlToken::fim_hole) == "<｜fim▁hole｜>");
  CHECK_FALSE(tokenizer.control(ControlToken::user));
  CHECK(tokenizer.control_text(ControlToken::assistant).empty());
  CHECK(tokenizer.bytes(100002).empty());
  CHECK(tokenizer.is_special(100002));
}

TEST_CASE("ids that name no token have no bytes") {
  const Tokenizer& tokenizer = deepseek_tokenizer();
  CHECK(tokenizer.size() == 100015);
  CHECK(tiny_tokenizer().size() == 12285);
  for (const TokenId id : {-1, tokenizer.size(), 102399, 2147483647}) {
    CHECK(tokenizer.bytes(id).empty());
    CHECK_FALSE(tokenizer.is_special(id));
  }
  CHECK(tokenizer.decode(std::vector<TokenId>{-5, 37, 102399}) == tokenizer.bytes(37));
}

TEST_CASE("lines may be encoded one by one where the tokenizer says so") {
  for (const Tokenizer* tokenizer : {&tiny_tokenizer(), &deepseek_tokenizer()}) {
    REQUIRE(tokenizer->splits_at_newlines());
    std::mt19937_64 random(17);
    for (int i = 0; i < 1500; ++i) {
      const std::string text = i % 2 == 0 ? random_text(random, 40) : random_bytes(random, 60);
      std::vector<TokenId> by_line;
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
        const auto ids = tokenizer->encode(std::string_view(text).substr(at, end - at));
        by_line.insert(by_line.end(), ids.begin(), ids.end());
        at = end;
      }
      REQUIRE(by_line == tokenizer->encode(text));
    }
  }
}

TEST_CASE("agreeing ids are those whose bytes and the prefix begin alike") {
  for (const Tokenizer* tokenizer : {&tiny_tokenizer(), &deepseek_tokenizer()}) {
    for (const std::string prefix :
         {"", " ", "e", " ret", "    ", "\n", "self.na", "ü", "\xC3", "\xE6\x95", "\xFF",
          "zzzzzzzz",
          "                                                                                   x"}) {
      std::vector<TokenId> expected;
      for (TokenId id = 0; id < tokenizer->size(); ++id) {
        const std::string_view bytes = tokenizer->bytes(id);
        if (!bytes.empty() && (bytes.starts_with(prefix) || prefix.starts_with(bytes))) {
          expected.push_back(id);
        }
      }
      INFO(prefix);
      CHECK(tokenizer->agreeing_with(prefix) == expected);
    }
  }
}
