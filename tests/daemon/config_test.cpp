#include <filesystem>
#include <fstream>
#include <random>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config/configuration.h"
#include "daemon/engines/model_loading.h"
#include "daemon/session_settings.h"
#include "tests/helpers/catch.h"
#include "tests/helpers/temporary_folder.h"

namespace caretd::daemon {
namespace {

namespace fs = std::filesystem;

using test::TemporaryFolder;

Configuration resolved(std::vector<SettingsLayer> layers) {
  return resolve(layers);
}

bool mentions(const std::vector<std::string>& problems, const std::string& text) {
  return std::any_of(problems.begin(), problems.end(), [&](const std::string& problem) {
    return problem.find(text) != std::string::npos;
  });
}

TEST_CASE("a later layer overrides an earlier one and says so") {
  const auto user = parse_settings(Layer::user_file,
                                   "[completion]\nmax_tokens = 10\nprompt_tokens = 100\n"
                                   "min_probability = 0.1\ntime_budget_ms = 100\n[model]\n"
                                   "threads = 3\n",
                                   "user.toml");
  const auto project = parse_settings(Layer::project_file,
                                      "[completion]\nmax_tokens = 20\nprompt_tokens = 200\n"
                                      "min_probability = 0.2\n",
                                      "project.toml");
  const auto environment = read_environment({{"CARETD_COMPLETION_MAX_TOKENS", "30"},
                                             {"CARETD_COMPLETION_PROMPT_TOKENS", "300"},
                                             {"PATH", "/bin"}});
  const auto client = read_json_settings(
      Layer::initialization_options, nlohmann::json::parse(R"({"completion":{"maxTokens":40}})"),
      "initializationOptions");
  const auto line = read_overrides({"completion.max_tokens=50"});

  const auto all = resolved({line, client, environment, project, user});
  CHECK(all.problems.empty());
  CHECK(all.settings.completion.max_tokens == 50);
  CHECK(all.origin("completion.max_tokens") == "--set");
  CHECK(all.settings.completion.prompt_tokens == 300);
  CHECK(all.origin("completion.prompt_tokens") == "CARETD_COMPLETION_PROMPT_TOKENS");
  CHECK(all.settings.completion.min_probability == 0.2);
  CHECK(all.origin("completion.min_probability") == "project.toml:4");
  CHECK(all.settings.completion.time_budget_ms == 100);
  CHECK(all.origin("completion.time_budget_ms") == "user.toml:5");
  CHECK(all.settings.model.threads == 3);
  CHECK(all.origin("model.kv_mebibytes") == "default");
  CHECK(resolved({client, user}).settings.completion.max_tokens == 40);
}

TEST_CASE("a mistake is reported with file, line and the nearest valid name") {
  const auto layer = parse_settings(Layer::user_file,
                                    "[completion]\nmax_token = 10\nenabled = \"yes\"\n"
                                    "time_budget_ms = 90000\n[model]\ndevice = \"gpu\"\n",
                                    "c.toml");
  const auto result = resolved({layer});
  REQUIRE(result.problems.size() == 4);
  CHECK(mentions(result.problems,
                 "c.toml:2: there is no setting 'completion.max_token'; did you mean "
                 "completion.max_tokens?"));
  CHECK(
      mentions(result.problems, "c.toml:3: completion.enabled must be true or false, not \"yes\""));
  CHECK(mentions(
      result.problems,
      "c.toml:4: completion.time_budget_ms must be a whole number from 10 to 60000, not 90000"));
  CHECK(mentions(result.problems, "c.toml:6: model.device must be one of auto, cpu, cuda"));
  CHECK(result.settings.completion.max_tokens == Settings{}.completion.max_tokens);
}

TEST_CASE("filling in the middle is automatic, on or off") {
  CHECK(fim_use(resolved({}).settings.model) == engine::FimUse::where_trained);
  const auto use = [](const std::string& value) {
    const auto result = resolved({read_overrides({"model.fim=" + value})});
    CHECK(result.problems.empty());
    return fim_use(result.settings.model);
  };
  CHECK(use("auto") == engine::FimUse::where_trained);
  CHECK(use("on") == engine::FimUse::always);
  CHECK(use("off") == engine::FimUse::never);
  const auto wrong = resolved({read_overrides({"model.fim=yes"})});
  CHECK(mentions(wrong.problems, "model.fim must be one of auto, on, off"));
  CHECK(fim_use(wrong.settings.model) == engine::FimUse::where_trained);
}

TEST_CASE("an empty list where a section belongs sets nothing, as Lua writes an empty table") {
  for (const char* text : {"null", "{}", "[]", R"({"completion":[]})", R"({"caretd":[]})"}) {
    const auto layer = read_json_settings(Layer::initialization_options,
                                          nlohmann::json::parse(text), "initializationOptions");
    INFO(text);
    CHECK(layer.problems.empty());
    CHECK(resolved({layer}).problems.empty());
  }
  for (const char* text : {"[1]", "3", R"({"completion":[1]})", R"({"no_such_section":[]})"}) {
    const auto layer = read_json_settings(Layer::initialization_options,
                                          nlohmann::json::parse(text), "initializationOptions");
    INFO(text);
    CHECK(layer.problems.size() + resolved({layer}).problems.size() > 0);
  }
}

TEST_CASE("each language may have a gate of its own") {
  CHECK(to_session_settings(Settings{}).gate.threshold("go", true) == 0.5);
  CHECK(to_session_settings(Settings{}).gate.threshold("go", false) == 0.0);
  const auto result = resolved(
      {read_overrides({"completion.min_probability=0.4"}),
       read_json_settings(
           Layer::workspace_settings,
           nlohmann::json::parse(R"({"completion":{"languageMinProbability":["go=0.75","c=0"]}})"),
           "the editor's settings")});
  CHECK(result.problems.empty());
  const lsp::GatePolicy gate = to_session_settings(result.settings).gate;
  CHECK(gate.threshold("go", true) == 0.75);
  CHECK(gate.threshold("go", false) == 0.0);
  CHECK(gate.threshold("c", true) == 0.0);
  CHECK(gate.threshold("python", true) == 0.4);
  for (const std::string wrong : {"go", "=0.5", "go=", "go=1.5", "go=nan", "go=half"}) {
    const auto refused =
        resolved({read_overrides({"completion.language_min_probability=" + wrong})});
    INFO(wrong);
    CHECK(mentions(refused.problems, "must be a list of LANGUAGE=PROBABILITY"));
  }
}

TEST_CASE("two models share the KV budget; one model has it alone") {
  Settings settings;
  settings.model.path = "/models/base";
  settings.model.kv_mebibytes = 101;
  settings.remote.url = "http://box";
  CHECK_FALSE(has_chat_model(settings));
  CHECK(chat_engine_settings(settings).model == completion_engine_settings(settings).model);
  settings.chat.model = "/models/base";
  CHECK(has_chat_model(settings));  // a remote one completes
  settings.remote.url.clear();
  CHECK_FALSE(has_chat_model(settings));
  settings.remote.url = "http://box";
  settings.chat.model = "/models/instruct";
  // The remote model has no KV here.
  CHECK(completion_engine_settings(settings).remote.url == "http://box");
  CHECK(chat_engine_settings(settings).model.path == "/models/instruct");
  CHECK(chat_engine_settings(settings).remote.url.empty());
  CHECK(chat_engine_settings(settings).model.kv_mebibytes == 101);
  settings.remote.url.clear();
  settings.model.host_kv_mebibytes = 33;
  const ModelSettings completes = completion_engine_settings(settings).model;
  const ModelSettings chats = chat_engine_settings(settings).model;
  CHECK(completes.path == "/models/base");
  CHECK(chats.path == "/models/instruct");
  CHECK(completes.kv_mebibytes + chats.kv_mebibytes == 101);
  CHECK(completes.host_kv_mebibytes + chats.host_kv_mebibytes == 33);
}

TEST_CASE("broken TOML names the line and does not repeat the text") {
  const auto layer =
      parse_settings(Layer::user_file, "[model]\npath = secret-of-the-user\n", "c.toml");
  REQUIRE(layer.problems.size() == 1);
  CHECK(layer.problems[0].find("c.toml:2") == 0);
  CHECK(layer.problems[0].find("secret") == std::string::npos);
}

TEST_CASE("a project may set languages, ignore rules and budgets and nothing else") {
  for (const Key& key : all_keys()) {
    Configuration defaults;
    const Assignment assignment{std::string(key.name), key.get(defaults.settings), "p.toml:1"};
    for (const Layer layer : {Layer::project_file, Layer::workspace_settings}) {
      const auto result = resolved({SettingsLayer{layer, {assignment}, {}}});
      INFO(key.name);
      CHECK(result.problems.empty() == (key.scope == KeyScope::project));
    }
    const bool names_a_resource =
        key.name.starts_with("model.") || key.name.starts_with("remote.") ||
        key.name.starts_with("listen.") || key.name.starts_with("http.") ||
        key.name.starts_with("log.") || key.name.starts_with("daemon.") || key.name == "chat.model";
    INFO(key.name);
    CHECK(names_a_resource == (key.scope == KeyScope::machine));
  }
}

TEST_CASE("a hostile project file is not followed, waited for or swallowed") {
  const TemporaryFolder folder;
  const auto secret = folder.path() / "secret";
  std::ofstream(secret) << "[completion]\nmax_tokens = 9\n";
  const auto file = folder.path() / ".caretd.toml";

  SECTION("a link to another file") {
    fs::create_symlink(secret, file);
    const auto layer = read_settings_file(Layer::project_file, file);
    CHECK(layer.assignments.empty());
    CHECK(mentions(layer.problems, "symbolic link"));
  }
  SECTION("a pipe, which would block") {
    REQUIRE(mkfifo(file.c_str(), 0600) == 0);
    CHECK(mentions(read_settings_file(Layer::project_file, file).problems, "not a regular file"));
  }
  SECTION("a folder") {
    fs::create_directory(file);
    CHECK(mentions(read_settings_file(Layer::project_file, file).problems, "not a regular file"));
  }
  SECTION("a file without end") {
    std::ofstream(file) << std::string((1 << 20) + 1, '#');
    CHECK(mentions(read_settings_file(Layer::project_file, file).problems, "larger than"));
  }
  SECTION("no file at all is not a problem") {
    const auto layer = read_settings_file(Layer::project_file, file);
    CHECK(layer.assignments.empty());
    CHECK(layer.problems.empty());
  }
}

TEST_CASE("a user's own file may be a link") {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "real.toml") << "[model]\nthreads = 2\n";
  fs::create_symlink(folder.path() / "real.toml", folder.path() / "config.toml");
  CHECK(read_settings_file(Layer::user_file, folder.path() / "config.toml").assignments.size() ==
        1);
}

TEST_CASE("relative paths are looked up beside the file, or where the command was given") {
  const TemporaryFolder folder;
  const auto file = folder.path() / "config.toml";
  std::ofstream(file) << "[model]\npath = \"models/a\"\n[http]\nkey = \"/b\"\naddress = \"c:1\"\n";
  const Settings read = resolved({read_settings_file(Layer::user_file, file)}).settings;
  CHECK(read.model.path == folder.path() / "models/a");
  CHECK(read.http.key == "/b");
  CHECK(read.http.address == "c:1");

  std::vector<std::string> words{"model.path=../a", "chat.model=", "http.key=/b", "remote.model=c",
                                 "nonsense"};
  Environment environment{{"CARETD_MODEL_PATH", "./d"}, {"CARETD_REMOTE_MODEL", "e"}};
  make_paths_absolute(words, environment, "/x/y");
  CHECK(words == std::vector<std::string>{"model.path=/x/a", "chat.model=", "http.key=/b",
                                          "remote.model=c", "nonsense"});
  CHECK(environment == Environment{{"CARETD_MODEL_PATH", "/x/y/d"}, {"CARETD_REMOTE_MODEL", "e"}});
}

TEST_CASE("what concerns the process stays as the daemon's own file has it") {
  const auto shared =
      parse_settings(Layer::user_file, "[daemon]\nmax_sessions = 3\n[completion]\nmax_tokens = 5\n",
                     "config.toml");
  const auto own = parse_settings(
      Layer::user_file, "[log]\nlevel = \"debug\"\n[context]\nrelated_code = false\n", "own.toml");
  const auto both = resolved({session_file(shared, own)});
  CHECK(both.settings.daemon.max_sessions == 3);
  CHECK(both.settings.completion.max_tokens == Settings{}.completion.max_tokens);
  CHECK(both.settings.log.level == Settings{}.log.level);
  CHECK_FALSE(both.settings.context.related_code);
  REQUIRE(both.problems.size() == 1);
  CHECK(both.problems.front().starts_with("log.level in this window's --config file"));
}

TEST_CASE("every key survives its way through TOML, the environment and JSON") {
  for (const Key& key : all_keys()) {
    INFO(key.name);
    const SettingValue value = key.get(Settings{});
    const size_t dot = key.name.find('.');
    const auto toml = fmt::format("[{}]\n{} = {}\n", key.name.substr(0, dot),
                                  key.name.substr(dot + 1), to_toml(value));
    const auto from_toml = resolved({parse_settings(Layer::user_file, toml, "c")});
    CHECK(from_toml.problems.empty());
    CHECK(key.get(from_toml.settings) == value);
    CHECK(from_toml.origin(key.name) == "c:2");

    Configuration from_json = resolved({read_json_settings(
        Layer::initialization_options,
        {{std::string(key.name), nlohmann::json::parse(to_toml(value))}}, "client")});
    CHECK(from_json.problems.empty());
    CHECK(key.get(from_json.settings) == value);
    CHECK(key.description.ends_with('.'));
  }
}

TEST_CASE("environment variables and overrides are checked like the file") {
  const auto environment = resolved({read_environment({{"CARETD_MODEL_THREADS", "many"},
                                                       {"CARETD_MODLE_PATH", "x"},
                                                       {"CARETD_MODEL_GPUS", "0,1"}})});
  CHECK(environment.problems.size() == 2);
  CHECK(environment.settings.model.gpus == std::vector<std::int64_t>{0, 1});
  const auto line =
      resolved({read_overrides({"model.threads", "model.thread=1", "model.threads=-1"})});
  CHECK(line.problems.size() == 3);
  CHECK(mentions(line.problems, "did you mean model.threads?"));
}

TEST_CASE("client settings of any shape are reported, never fatal") {
  const auto read = [](const char* text) {
    return resolved(
        {read_json_settings(Layer::initialization_options, nlohmann::json::parse(text), "client")});
  };
  CHECK(read("null").problems.empty());
  CHECK(read("[1]").problems.size() == 1);
  CHECK(read(R"({"completion":[1]})").problems.size() == 1);
  CHECK(read(R"({"completion":{"enabled":{"a":{"b":{"c":{"d":1}}}}}})").problems.size() == 1);
  CHECK(read(R"({"caretd":{"completion":{"enabled":false}}})").settings.completion.enabled ==
        false);
  CHECK(read(R"({"model":{"gpus":[0,"a"]}})").problems.size() == 1);
  CHECK(read(R"({"model":{"gpus":null}})").problems.empty());
}

TEST_CASE("the documentation lists every key as it is") {
  std::ifstream file("docs/configuration.md");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  INFO("run: caretd config keys");
  CHECK(text.find(keys_table()) != std::string::npos);
}

TEST_CASE("random bytes never break the reader") {
  std::mt19937 random(20240607);
  const std::string alphabet = "[]={}\"'\n\t #.,_-abcmodel0123456789\xc3\xa9\xff\x01";
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    const size_t length = random() % 80;
    for (size_t i = 0; i < length; ++i) text += alphabet[random() % alphabet.size()];
    const auto result = resolved({parse_settings(Layer::project_file, text, "fuzz")});
    CHECK(result.settings.model == ModelSettings{});
  }
}

}  // namespace
}  // namespace caretd::daemon
