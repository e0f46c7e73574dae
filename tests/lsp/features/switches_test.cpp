#include "lsp/features/switches.h"

#include "tests/helpers/catch.h"

using namespace caretd::lsp;

TEST_CASE("switches lie over the settings") {
  Settings settings;
  settings.disabled_languages = {"markdown", "json"};
  settings.in_comments = false;
  Document json;
  json.uri = "file:///a.json";
  json.language_id = "json";

  Switches switches;
  CHECK(switches.enabled(settings));
  CHECK_FALSE(switches.enabled_for(settings, json));
  CHECK_FALSE(switches.in_comments(settings));

  switches.set(SwitchScope::language, "json", true);
  switches.set(SwitchScope::language, "go", false);
  switches.set(SwitchScope::comments, {}, true);
  CHECK(switches.enabled_for(settings, json));
  CHECK(switches.in_comments(settings));
  CHECK(switches.disabled_languages(settings) == std::vector<std::string>{"go", "markdown"});

  switches.set(SwitchScope::document, json.uri, false);
  CHECK_FALSE(switches.enabled_for(settings, json));
  CHECK(switches.disabled_documents() == std::vector<std::string>{json.uri});
  switches.forget_document(json.uri);
  CHECK(switches.enabled_for(settings, json));

  switches.set(SwitchScope::global, {}, false);
  CHECK_FALSE(switches.enabled_for(settings, json));
}
