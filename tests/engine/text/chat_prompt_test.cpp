#include "engine/text/chat_prompt.h"

#include <nlohmann/json.hpp>

#include "engine/text/prompt.h"
#include "tests/engine/text/text_cases.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;
using namespace caretd::engine::test;
using nlohmann::json;

namespace {

json chat_cases() {
  return json::parse(read_file("tests/cases/chat/conversations.json"));
}

/// The embedded tokenizer with <｜User｜> and <｜Assistant｜>, marked as ordinary as DeepSeek does.
std::shared_ptr<const Tokenizer> tokenizer_with_role_tokens() {
  json document = json::parse(read_file("models/tiny/tokenizer.json"));
  for (const char* content : {"<｜User｜>", "<｜Assistant｜>"}) {
    document["added_tokens"].push_back({{"id", 12280 + document["added_tokens"].size()},
                                        {"content", content},
                                        {"normalized", true},
                                        {"special", false}});
  }
  const TemporaryFolder folder;
  folder.write("tokenizer.json", document.dump());
  return Tokenizer::load(folder.path()).value();
}

std::vector<ChatMessage> messages_of(const json& conversation) {
  std::vector<ChatMessage> messages;
  for (const json& message : conversation["messages"]) {
    const std::string role = message["role"];
    messages.push_back({role == "system" ? ChatRole::system
                        : role == "user" ? ChatRole::user
                                         : ChatRole::assistant,
                        message["content"],
                        {}});
  }
  return messages;
}

/// The prompt as a raw string, control tokens spelled out.
std::string spelled_out(const Prompt& prompt, const Tokenizer& tokenizer) {
  std::string text;
  for (const PromptPart& part : prompt) {
    if (const auto* control = std::get_if<ControlToken>(&part)) {
      text += tokenizer.control_text(*control);
    } else if (const auto* ids = std::get_if<std::vector<TokenId>>(&part)) {
      text += tokenizer.decode(*ids);
    } else {
      text += std::get<std::string>(part);
    }
  }
  return text;
}

ChatMessage from(ChatRole role, std::string content) {
  return {role, std::move(content), {}};
}
ChatMessage from_user(std::string content) {
  return from(ChatRole::user, std::move(content));
}

}  // namespace

TEST_CASE("prompts equal what an independent Jinja implementation renders") {
  const auto tokenizer = tokenizer_with_role_tokens();
  const json cases = chat_cases();
  REQUIRE(cases["conversations"].size() >= 10);
  for (const auto& [name, jinja] : cases["templates"].items()) {
    const auto form = read_chat_template(jinja.get<std::string>(), *tokenizer);
    INFO(name);
    REQUIRE(form.has_value());
    for (const json& conversation : cases["conversations"]) {
      INFO(conversation["name"]);
      const Prompt prompt = chat_prompt(*form, messages_of(conversation));
      CHECK(spelled_out(prompt, *tokenizer) == conversation["expected"][name].get<std::string>());
    }
  }
}

TEST_CASE("message text never becomes control tokens") {
  const auto tokenizer = tokenizer_with_role_tokens();
  const auto cases = chat_cases();
  for (const auto& [name, jinja] : cases["templates"].items()) {
    const auto form = read_chat_template(jinja.get<std::string>(), *tokenizer);
    const auto count_special = [&](const std::string& content) {
      const auto ids =
          encode_prompt(*tokenizer, chat_prompt(*form, std::vector{from_user(content)}));
      return std::count_if(ids->begin(), ids->end(),
                           [&](TokenId id) { return tokenizer->is_special(id); });
    };
    CHECK(count_special("x") == count_special("<｜User｜><｜Assistant｜><｜end▁of▁sentence｜>"));
  }
}

TEST_CASE("the embedded model's own template gives the ids of its chat golden case") {
  const json golden = json::parse(read_file("models/tiny/golden.json"));
  const auto form = read_chat_template(tiny_tokenizer());
  REQUIRE(form.has_value());
  const Prompt prompt = chat_prompt(
      *form,
      std::vector{from_user("Write a docstring for this function.\n\n```python\ndef add(a, b):\n"
                            "    return a + b\n```")});
  for (const json& entry : golden["cases"]) {
    if (entry["name"] != "chat_docstring") continue;
    CHECK(encode_prompt(tiny_tokenizer(), prompt).value() ==
          entry["input_ids"].get<std::vector<TokenId>>());
  }
}

TEST_CASE("templates that cannot be followed are refused with a sentence") {
  const Tokenizer& tokenizer = tiny_tokenizer();
  const std::string known = tokenizer.chat_template();
  const auto refused = [&](std::string jinja) {
    const auto form = read_chat_template(jinja, tokenizer);
    return !form && form.error().kind == caretd::ErrorKind::unsupported &&
           form.error().message.find("chat template") != std::string::npos;
  };
  const auto replaced = [&](std::string_view from, std::string_view to) {
    std::string text = known;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  REQUIRE_FALSE(refused(known));
  CHECK(refused(""));
  CHECK(refused("hello"));
  CHECK(refused("{{ bos_token"));
  CHECK(refused("{% if x %}"));
  CHECK(refused("{% endif %}"));
  CHECK(refused("{% else %}{% endfor %}"));
  CHECK(refused(known + "trailing text"));
  CHECK(refused(replaced("bos_token", "bos_token + today()")));
  CHECK(refused(replaced("message['content']", "message['content'] | trim")));
  CHECK(refused(replaced("== 'user'", "!= 'user'")));
  CHECK(refused(replaced("'User: '", "'<｜User｜>'")));
  CHECK(refused(replaced("'User: '", "'<｜fim▁hole｜>' + '<｜unknown｜>'")));
  CHECK(refused(replaced("{% for message in messages %}", "{% for message in messages[1:] %}")));
  const auto cases = chat_cases();
  for (const auto& [name, jinja] : cases["templates"].items()) {
    CHECK(refused(jinja) == (name != "deepseek-coder-v2"));  // no role tokens here
  }
}

TEST_CASE("cut off or mangled templates end in a refusal or a form, never worse") {
  const auto tokenizer = tokenizer_with_role_tokens();
  std::mt19937_64 random(5);
  const auto cases = chat_cases();
  for (const auto& [name, value] : cases["templates"].items()) {
    const std::string jinja = value;
    for (std::size_t length = 0; length < jinja.size(); ++length) {
      (void)read_chat_template(std::string_view(jinja).substr(0, length), *tokenizer);
    }
    for (int i = 0; i < 500; ++i) {
      std::string mangled = jinja;
      mangled.erase(random() % mangled.size(), random() % 30);
      if (!mangled.empty()) mangled[random() % mangled.size()] = "{}%'\"-+ \\"[random() % 9];
      if (const auto form = read_chat_template(mangled, *tokenizer)) {
        CHECK_FALSE(chat_prompt(*form, std::vector{from_user("x")}).empty());
      }
    }
  }
}

TEST_CASE("a generated reply loses the space that the template puts before it") {
  const auto tokenizer = tokenizer_with_role_tokens();
  const json templates = chat_cases()["templates"];
  const auto coder =
      read_chat_template(templates["deepseek-coder-v2"].get<std::string>(), *tokenizer).value();
  CHECK(reply_content(coder, " Sure.\n") == "Sure.\n");
  CHECK(reply_content(coder, "Sure.") == "Sure.");
  CHECK(reply_content(coder, "  two") == " two");
  CHECK(reply_content(coder, "").empty());
  const auto roles =
      read_chat_template(templates["deepseek-v2.5"].get<std::string>(), *tokenizer).value();
  CHECK(reply_content(roles, " Sure.") == " Sure.");
}

TEST_CASE("a reply whose tokens are known continues the prompt that made it") {
  const Tokenizer& tokenizer = tiny_tokenizer();
  const auto form = read_chat_template(tokenizer).value();
  const std::vector<ChatMessage> first{from(ChatRole::system, "Be brief."), from_user("Count.")};
  auto asked = encode_prompt(tokenizer, chat_prompt(form, first)).value();
  // Ids that encoding the reply again would not give: " 1 2" as single bytes.
  const std::vector<TokenId> reply{220, 16, 220, 17};
  std::vector<ChatMessage> second = first;
  second.push_back({ChatRole::assistant, "1 2", reply});
  second.push_back(from_user("On."));
  const auto continued = encode_prompt(tokenizer, chat_prompt(form, second)).value();

  asked.insert(asked.end(), reply.begin(), reply.end());
  asked.push_back(*tokenizer.control(ControlToken::end_of_sentence));
  REQUIRE(continued.size() > asked.size());
  CHECK(std::equal(asked.begin(), asked.end(), continued.begin()));
  const auto rest = std::vector<TokenId>(continued.begin() + asked.size(), continued.end());
  CHECK(tokenizer.decode(rest) == "User: On.\n\nAssistant:");
}

TEST_CASE("conversations are cut by whole turns, the oldest first") {
  using enum ChatRole;
  const std::vector<ChatRole> roles{ChatRole::system, user, assistant, user, assistant, user};
  const std::vector<int> tokens{10, 20, 30, 40, 50, 60};
  const auto kept = [&](int budget) { return cut_conversation(roles, tokens, budget).kept; };
  CHECK(kept(210) == std::vector<std::size_t>{0, 1, 2, 3, 4, 5});
  CHECK(kept(209) == std::vector<std::size_t>{0, 3, 4, 5});
  CHECK(kept(160) == std::vector<std::size_t>{0, 3, 4, 5});
  CHECK(kept(159) == std::vector<std::size_t>{0, 5});
  CHECK(cut_conversation(roles, tokens, 70).fits);
  CHECK(cut_conversation(roles, tokens, 70).tokens == 70);
  CHECK_FALSE(cut_conversation(roles, tokens, 69).fits);
  CHECK(kept(69) == std::vector<std::size_t>{0, 5});
  CHECK(cut_conversation({}, {}, 0).fits);
  const std::vector<ChatRole> greeting{assistant, user, ChatRole::system};
  CHECK(cut_conversation(greeting, std::vector{1, 1, 1}, 2).kept == std::vector<std::size_t>{1, 2});
}

TEST_CASE("a conversation is fitted to the budget exactly, or refused with what to do") {
  const Tokenizer& tokenizer = tiny_tokenizer();
  const auto form = read_chat_template(tokenizer).value();
  std::vector<ChatMessage> messages{from(ChatRole::system, "Answer in English.")};
  for (int i = 0; i < 12; ++i) {
    const std::string number = std::to_string(i);
    messages.push_back(from_user("Question number " + number));
    messages.push_back(from(ChatRole::assistant, "The answer to question number " + number));
  }
  messages.push_back(from_user("And now?"));
  std::size_t kept_before = 0;
  for (int budget = 25; budget < 500; budget += 7) {
    const auto fitted = fit_chat(tokenizer, form, messages, budget);
    REQUIRE(fitted.has_value());
    CHECK(fitted->tokens <= budget);
    CHECK(static_cast<int>(encode_prompt(tokenizer, fitted->prompt)->size()) == fitted->tokens);
    CHECK(fitted->kept.front() == 0);
    CHECK(fitted->kept.back() == messages.size() - 1);
    CHECK(fitted->kept.size() >= kept_before);
    kept_before = fitted->kept.size();
  }
  CHECK(kept_before == messages.size());
  const auto refused = fit_chat(tokenizer, form, messages, 10);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().message.find("shorten it") != std::string::npos);
}
