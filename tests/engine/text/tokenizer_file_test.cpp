#include "engine/text/tokenizer_file.h"

#include <functional>

#include <nlohmann/json.hpp>

#include "engine/text/byte_alphabet.h"
#include "engine/text/tokenizer.h"
#include "tests/engine/text/text_cases.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;
using namespace caretd::engine::test;
using nlohmann::json;

namespace {

/// Loads a tokenizer from a document (and a configuration) as they would lie in a folder.
caretd::Result<std::shared_ptr<const Tokenizer>> load(const json& document,
                                                      const json& config = nullptr) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", document.dump());
  if (!config.is_null()) folder.write("tokenizer_config.json", config.dump());
  return Tokenizer::load(folder.path());
}

/// What the small tokenizer, changed by `change`, is refused with.
std::string refusal(const std::function<void(json&)>& change) {
  json document = small_tokenizer_document();
  change(document);
  const auto loaded = load(document);
  return loaded ? "loaded" : loaded.error().message;
}

std::shared_ptr<const Tokenizer> with_added_token(const json& token) {
  json document = small_tokenizer_document();
  document["added_tokens"].push_back(token);
  return load(document).value();
}

json added(const std::string& content) {
  return {{"id", 400}, {"content", content}, {"special", false}, {"normalized", true}};
}

}  // namespace

TEST_CASE("what would change the ids and is not supported is refused by file and field") {
  REQUIRE(refusal([](json&) {}) == "loaded");
  const std::vector<std::pair<std::string, std::function<void(json&)>>> refused = {
      {"normalizer",
       [](json& d) {
         d["normalizer"] = {{"type", "NFC"}};
       }},
      {"decoder",
       [](json& d) {
         d["decoder"] = {{"type", "Metaspace"}};
       }},
      {"model.type", [](json& d) { d["model"]["type"] = "Unigram"; }},
      {"model.dropout", [](json& d) { d["model"]["dropout"] = 0.1; }},
      {"model.end_of_word_suffix", [](json& d) { d["model"]["end_of_word_suffix"] = "</w>"; }},
      {"model.continuing_subword_prefix",
       [](json& d) { d["model"]["continuing_subword_prefix"] = "##"; }},
      {"model.ignore_merges", [](json& d) { d["model"]["ignore_merges"] = 1; }},
      {"model.vocab", [](json& d) { d["model"].erase("vocab"); }},
      {"model.vocab[\"a\"]", [](json& d) { d["model"]["vocab"]["a"] = -1; }},
      {"model.vocab[\"a\"]", [](json& d) { d["model"]["vocab"]["a"] = 1.5; }},
      {"model.vocab[\"a\"]", [](json& d) { d["model"]["vocab"]["a"] = 1LL << 40; }},
      {"must be an id of its own",
       [](json& d) { d["model"]["vocab"]["a"] = d["model"]["vocab"]["b"]; }},
      {"byte 65", [](json& d) { d["model"]["vocab"].erase("A"); }},
      {"model.merges[0]", [](json& d) { d["model"]["merges"][0] = "a b c"; }},
      {"model.merges[0]", [](json& d) { d["model"]["merges"][0] = "nothing"; }},
      {"model.merges[1]",
       [](json& d) {
         d["model"]["merges"][1] = {"q", "z"};
       }},
      {"model.merges[0]", [](json& d) { d["model"]["merges"][0] = 7; }},
      {"added_tokens[0].content", [](json& d) { d["added_tokens"][0]["content"] = 5; }},
      {"added_tokens[0]", [](json& d) { d["added_tokens"][0]["content"] = ""; }},
      {"added_tokens[0]", [](json& d) { d["added_tokens"][0]["id"] = 3; }},
      {"added_tokens[0].id", [](json& d) { d["added_tokens"][0].erase("id"); }},
      {"added_tokens[1].id", [](json& d) { d["added_tokens"][1]["id"] = 300; }},
      {"added_tokens[0].special", [](json& d) { d["added_tokens"][0]["special"] = "yes"; }},
      {"pre_tokenizer", [](json& d) { d.erase("pre_tokenizer"); }},
      {"pre_tokenizer", [](json& d) { d["pre_tokenizer"]["pretokenizers"].erase(3); }},
      {"pre_tokenizer.pretokenizers[0].type",
       [](json& d) { d["pre_tokenizer"]["pretokenizers"][0]["type"] = "Metaspace"; }},
      {"pre_tokenizer.pretokenizers[0].behavior",
       [](json& d) { d["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }},
      {"pre_tokenizer.pretokenizers[0].pattern",
       [](json& d) { d["pre_tokenizer"]["pretokenizers"][0]["pattern"] = "x"; }},
      {"pre_tokenizer",
       [](json& d) { d["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a"; }},
      {"must be an object", [](json& d) { d = json::array(); }},
  };
  for (const auto& [field, change] : refused) {
    INFO(field);
    const std::string message = refusal(change);
    CHECK(message.find(field) != std::string::npos);
    CHECK(message.find("tokenizer.json") != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
  }
}

TEST_CASE("a missing, truncated or unreadable file is named") {
  const TemporaryFolder folder;
  auto loaded = Tokenizer::load(folder.path());
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().kind == caretd::ErrorKind::not_found);
  CHECK(loaded.error().message.find("tokenizer.json") != std::string::npos);

  const std::string whole = small_tokenizer_document().dump();
  folder.write("tokenizer.json", whole.substr(0, whole.size() / 2));
  loaded = Tokenizer::load(folder.path());
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().message.find("truncated") != std::string::npos);

  folder.write("tokenizer.json", whole);
  folder.write("tokenizer_config.json", "{\"chat_template\": 5}");
  loaded = Tokenizer::load(folder.path());
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().message.find("tokenizer_config.json: chat_template") != std::string::npos);
}

TEST_CASE("a chat template in a file of its own goes before the configuration's") {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", small_tokenizer_document().dump());
  folder.write("chat_template.jinja", "{{ bos_token }}");
  CHECK(Tokenizer::load(folder.path()).value()->chat_template() == "{{ bos_token }}");
  folder.write("tokenizer_config.json", R"({"chat_template": "older"})");
  CHECK(Tokenizer::load(folder.path()).value()->chat_template() == "{{ bos_token }}");
}

TEST_CASE("the configuration names the sentence tokens and the chat template in either spelling") {
  json document = small_tokenizer_document();
  document["added_tokens"].push_back({{"id", 400}, {"content", "<s>"}, {"special", true}});
  const json template_list = {{{"name", "tool_use"}, {"template", "x"}},
                              {{"name", "default"}, {"template", "y"}}};
  const auto loaded = load(document, {{"bos_token", {{"content", "<s>"}}},
                                      {"eos_token", "<｜end▁of▁sentence｜>"},
                                      {"chat_template", template_list}});
  REQUIRE(loaded.has_value());
  CHECK((*loaded)->control(ControlToken::begin_of_sentence) == 400);
  CHECK((*loaded)->control(ControlToken::end_of_sentence) == 300);
  CHECK((*loaded)->chat_template() == "y");
  CHECK(load(document).value()->chat_template().empty());
}

TEST_CASE("both spellings of merges mean the same") {
  json document = small_tokenizer_document();
  const auto ids = load(document).value()->encode("abab abc");
  for (auto& merge : document["model"]["merges"]) {
    const std::string text = merge;
    merge = {text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)};
  }
  CHECK(load(document).value()->encode("abab abc") == ids);
}

TEST_CASE("with ignore_merges a piece that is an entry is taken whole") {
  json document = small_tokenizer_document();
  document["model"]["vocab"]["cba"] = 500;  // no merge makes it
  CHECK(load(document).value()->encode("cba").size() == 3);
  document["model"]["ignore_merges"] = true;
  CHECK(load(document).value()->encode("cba") == std::vector<TokenId>{500});
}

TEST_CASE("added tokens are matched longest first and keep their options") {
  const auto decoded = [](const Tokenizer& tokenizer, const std::string& text) {
    std::vector<std::string> pieces;
    for (const TokenId id : tokenizer.encode(text)) {
      if (id == 400) pieces.emplace_back("TOKEN");
    }
    return pieces.size();
  };
  json token = added("foo");
  CHECK(decoded(*with_added_token(token), "foo foofoo xfoo") == 4);
  token["single_word"] = true;
  const auto alone = with_added_token(token);
  CHECK(decoded(*alone, "foo (foo) foo_ xfoo éfoo foo!") == 3);
  CHECK(alone->decode(alone->encode("foo foo_")) == "foo foo_");

  token = added("foo");
  token["lstrip"] = true;
  const auto left = with_added_token(token);
  CHECK(left->encode("a \t foo b") == std::vector<TokenId>{left->encode("a").front(), 400,
                                                           left->encode(" b")[0],
                                                           left->encode(" b")[1]});
  token["lstrip"] = false;
  token["rstrip"] = true;
  const auto right = with_added_token(token);
  CHECK(right->encode("foo \u3000\nb") == std::vector<TokenId>{400, right->encode("b").front()});
  CHECK_FALSE(right->splits_at_newlines());

  json document = small_tokenizer_document();
  document["added_tokens"].push_back(added("foo"));
  document["added_tokens"].push_back(
      {{"id", 401}, {"content", "foobar"}, {"special", false}, {"normalized", true}});
  document["added_tokens"].push_back(
      {{"id", 402}, {"content", "oba"}, {"special", false}, {"normalized", false}});
  const auto several = load(document).value();
  CHECK(several->encode("foobar").front() == several->encode("f").front());  // 402 goes first
  CHECK(several->encode("foobaz").size() == several->encode("fo").size() + 2);
  CHECK(several->encode("foo") == std::vector<TokenId>{400});
}

TEST_CASE("tokens spelled <｜...｜> are control tokens even where they are marked as ordinary") {
  const auto tokenizer = with_added_token(added("<｜User｜>"));
  CHECK(tokenizer->control(ControlToken::user) == 400);
  CHECK(tokenizer->is_special(400));
  CHECK(tokenizer->encode("<｜User｜>").size() > 1);
  CHECK(tokenizer->encode("<｜User｜>", Tokenizer::ControlStrings::as_tokens) ==
        std::vector<TokenId>{400});
}

TEST_CASE("prefix spaces are added to every stretch of text") {
  json document = small_tokenizer_document();
  document["pre_tokenizer"] = {
      {"type", "ByteLevel"}, {"add_prefix_space", true}, {"use_regex", true}};
  const auto tokenizer = load(document).value();
  CHECK(tokenizer->encode("ab") == tokenizer->encode(" ab"));
  CHECK_FALSE(tokenizer->splits_at_newlines());
}
