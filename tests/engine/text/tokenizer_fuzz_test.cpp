// Hostile tokenizer.json files: each ends in an Error or in a tokenizer that works.
#include <nlohmann/json.hpp>

#include "engine/text/tokenizer.h"
#include "tests/engine/text/text_cases.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;
using namespace caretd::engine::test;
using nlohmann::json;

namespace {

/// Loads what `content` says and, if that works, uses it. Answers whether it worked.
bool survive(const TemporaryFolder& folder, std::string_view content, std::mt19937_64& random) {
  folder.write("tokenizer.json", content);
  const auto tokenizer = Tokenizer::load(folder.path());
  if (!tokenizer) {
    CHECK_FALSE(tokenizer.error().message.empty());
    return false;
  }
  const std::string text = random_bytes(random, 40);
  for (const auto mode :
       {Tokenizer::ControlStrings::as_text, Tokenizer::ControlStrings::as_tokens}) {
    for (const TokenId id : (*tokenizer)->encode(text, mode)) {
      CHECK((id >= 0 && id < (*tokenizer)->size()));
    }
  }
  (void)(*tokenizer)->agreeing_with(text.substr(0, 2));
  return true;
}

/// A random value inside `value`, which may be `value` itself.
json& random_inside(json& value, std::mt19937_64& random) {
  if (!value.is_structured() || value.empty() || random() % 4 == 0) return value;
  auto at = value.begin();
  std::advance(at, static_cast<long>(random() % value.size()));
  return random_inside(*at, random);
}

json random_value(std::mt19937_64& random) {
  static const std::vector<json> values = {nullptr,
                                           true,
                                           -1,
                                           0,
                                           3,
                                           1e300,
                                           9223372036854775807LL,
                                           "",
                                           "a",
                                           "Ġ",
                                           "a b",
                                           "\\s+$",
                                           "(((((a",
                                           json::array(),
                                           json::object(),
                                           "Sequence",
                                           "ByteLevel",
                                           "Removed",
                                           "[\\n]",
                                           json::array({"a", "b"})};
  return values[random() % values.size()];
}

}  // namespace

TEST_CASE("a tokenizer file cut off anywhere is refused") {
  const TemporaryFolder folder;
  std::mt19937_64 random(1);
  const std::string whole = small_tokenizer_document().dump();
  REQUIRE(survive(folder, whole, random));
  for (std::size_t length = 0; length < whole.size(); length += 1 + random() % 40) {
    CHECK_FALSE(survive(folder, whole.substr(0, length), random));
  }
}

TEST_CASE("tokenizer files with bytes changed end in an error or work") {
  const TemporaryFolder folder;
  std::mt19937_64 random(2);
  const std::string whole = small_tokenizer_document().dump();
  for (int i = 0; i < 700; ++i) {
    std::string content = whole;
    for (std::uint64_t changes = 1 + random() % 3; changes > 0; --changes) {
      // Most of the file is vocabulary; aim at the rest as often.
      const std::size_t at = random() % 2 == 0 ? random() % 1200 : random() % content.size();
      content[std::min(at, content.size() - 1)] = static_cast<char>(random() % 256);
    }
    survive(folder, content, random);
  }
}

TEST_CASE("tokenizer files with values exchanged end in an error or work") {
  const TemporaryFolder folder;
  std::mt19937_64 random(3);
  int loaded = 0;
  for (int i = 0; i < 1200; ++i) {
    json document = small_tokenizer_document();
    for (std::uint64_t changes = 1 + random() % 2; changes > 0; --changes) {
      random_inside(document, random) = random_value(random);
    }
    loaded += survive(folder, document.dump(), random) ? 1 : 0;
  }
  CHECK(loaded > 20);  // else the loop tests little more than the JSON parser
}

TEST_CASE("deeply nested JSON is no problem") {
  const TemporaryFolder folder;
  std::mt19937_64 random(4);
  CHECK_FALSE(survive(folder, std::string(200000, '['), random));
  CHECK_FALSE(survive(folder, std::string(200000, '[') + std::string(200000, ']'), random));
  std::string nested = "{\"pre_tokenizer\":";
  for (int i = 0; i < 5000; ++i) nested += "{\"type\":\"Sequence\",\"pretokenizers\":[";
  for (int i = 0; i < 5000; ++i) nested += "]}";
  CHECK_FALSE(survive(folder, nested + "}", random));
}
