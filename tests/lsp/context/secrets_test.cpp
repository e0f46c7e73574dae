#include "lsp/context/secrets.h"

#include <string>

#include "support/thread_clock.h"
#include "tests/helpers/catch.h"

using namespace caretd;
using namespace caretd::lsp;

namespace {

// Built at run time, so that this file holds nothing that looks like a key to a scanner.
std::string random_looking(std::size_t length) {
  const std::string characters = "aB3dE6gH9jK2mN5pQ8sT1vW4xY7zRfUc";
  std::string result;
  for (std::size_t i = 0; i < length; ++i) result += characters[(i * 7) % characters.size()];
  return result;
}

}  // namespace

TEST_CASE("tokens with a known form are cut") {
  const std::string body = random_looking(36);
  for (const std::string prefix : {"ghp_", "xoxb-", "sk-", "AIza", "npm_", "hf_", "glpat-"}) {
    INFO(prefix);
    CHECK(redact("x = \"" + prefix + body + "\"\n") == "x = \"REDACTED\"\n");
    CHECK(redact("send(" + prefix + body + ")") == "send(REDACTED)");
  }
  CHECK(redact("AKIA" + std::string("QJ4R7TNW2KZLH5XM")) == "REDACTED");
}

TEST_CASE("values that look random are cut behind a telling name") {
  const std::string value = random_looking(24);
  CHECK(redact("API_KEY = \"" + value + "\"") == "API_KEY = \"REDACTED\"");
  CHECK(redact("const apiKey: string = '" + value + "';") == "const apiKey: string = 'REDACTED';");
  CHECK(redact("  \"client_secret\": \"" + value + "\",") == "  \"client_secret\": \"REDACTED\",");
  CHECK(redact("config['auth_token'] = '" + value + "'") == "config['auth_token'] = 'REDACTED'");
  CHECK(redact(":secret => \"" + value + "\"") == ":secret => \"REDACTED\"");
  CHECK(redact("token := \"" + value + "\"") == "token := \"REDACTED\"");
  CHECK(redact("SECRET_KEY=" + value) == "SECRET_KEY=REDACTED");
  CHECK(redact("db_password = \"s3cr!tPw\"") == "db_password = \"REDACTED\"");
  CHECK(redact("password: 'hunter2!x'") == "password: 'REDACTED'");
  CHECK(redact("api_key = \"" + value) == "api_key = \"REDACTED");
}

TEST_CASE("passwords in URLs and headers are cut") {
  CHECK(redact("postgres://app:s3cret@db:5432/x") == "postgres://app:REDACTED@db:5432/x");
  CHECK(redact("'Authorization': 'Bearer " + random_looking(30) + "'") ==
        "'Authorization': 'Bearer REDACTED'");
}

TEST_CASE("private key blocks lose their body and keep their lines") {
  const std::string head = "-----BEGIN RSA PRIVATE" + std::string(" KEY-----");
  const std::string tail = "-----END RSA PRIVATE" + std::string(" KEY-----");
  CHECK(redact("k = \"\"\"\n" + head + "\nMIIEabc\n  def+/=\n" + tail + "\n\"\"\"\nx = 1\n") ==
        "k = \"\"\"\n" + head + "\nREDACTED\n  REDACTED\n" + tail + "\n\"\"\"\nx = 1\n");
  CHECK(redact("k = '" + head + "\\nMIIE\\n" + tail + "'") ==
        "k = '" + head + "REDACTED" + tail + "'");
  CHECK(redact("-----BEGIN PUBLIC KEY-----\nMIIE\n").find("MIIE") != std::string::npos);
}

TEST_CASE("the state of a private key block is known anywhere") {
  const std::string head = "-----BEGIN PRIVATE" + std::string(" KEY-----\n");
  const std::string text = "a\n" + head + "MIIE\n-----END PRIVATE KEY-----\n-----BEGIN X-----\nb\n";
  RedactionState state;
  std::size_t begin = 0;
  while (begin < text.size()) {
    CHECK(redaction_state_at(text, begin) == state);
    const std::size_t end = text.find('\n', begin);
    static_cast<void>(find_secrets(std::string_view(text).substr(begin, end - begin), state));
    begin = end + 1;
  }
}

TEST_CASE("ordinary code is not cut") {
  for (const std::string code : {
           "token = tokenizer.encode(text)",
           "password: str",
           "def login(self, password: str = \"\") -> bool:",
           "api_key = os.environ[\"MY_SERVICE_API_KEY_2\"]",
           "password = getpass.getpass(\"Password: \")",
           "const token = await getAccessTokenSilently({ audience: 'https://api2.example' });",
           "PASSWORD_HASHER = \"pbkdf2_sha256\"",
           "secret = \"change-me\"",
           "password = \"password\"",
           "next_token = tokens[index + 1]",
           "commit = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b\"",
           "url = \"https://user@example.com:8080/path\"",
           "url = f\"https://{user}:{password}@{host}/\"",
           "<input type=\"password\" name=\"password\" id=\"password1\">",
           "task-management-system-with-a-long-name-2020",
           "import { sk } from './sk-helpers-for-the-2d-canvas-module'",
           "if (token == Token::kIdentifier42) return parse(token);",
           "std::uint64_t secret = 0x9E3779B97F4A7C15;",
           "uuid = \"123e4567-e89b-12d3-a456-426614174000\"",
           "    return hmac.new(secret_key, message, hashlib.sha256).hexdigest()",
           "tokens: Vec<TokenId>",
           "case 'token': return this.token;",
           "secretKey: process.env.SECRET_KEY_BASE_64,",
           "password: ${{ secrets.DB_PASSWORD_2 }}",
       }) {
    CHECK(redact(code) == code);
  }
}

TEST_CASE("long values are cut whole, behind long types and in long lines") {
  const std::string value = random_looking(5000);
  CHECK(redact("token: " + value) == "token: REDACTED");
  CHECK(redact("f(eyJ" + value + ")") == "f(REDACTED)");
  CHECK(redact("const token: Promise<Map<string, Array<Record<string, unknown>>>> = \"" + value +
               "\"") ==
        "const token: Promise<Map<string, Array<Record<string, unknown>>>> = \"REDACTED\"");
  CHECK(redact("\"password\"" + std::string(80, ' ') + ": \"s3cr!tPw\"").ends_with("\"REDACTED\""));
}

TEST_CASE("a line of a megabyte is searched in time that its length explains") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr std::chrono::seconds kBound{30};
#else
  constexpr std::chrono::seconds kBound{2};
#endif
  const std::string secret = "password='s3cr!tPw9'";
  const ThreadClock clock;
  for (const std::string part : {"a=b,", "token=", "sk-", "a=", "token:=", "x: ", "://a:", "eyJ.",
                                 "token='", "aaaa", "= ", "Bearer ", "====", "    "}) {
    INFO(part);
    std::string line;
    while (line.size() < 1'000'000) line += part;
    const TimePoint begin = clock.now();
    CHECK(redact(line + " " + secret).ends_with("password='REDACTED'"));
    CHECK(clock.now() - begin < kBound);
  }
}

TEST_CASE("files of secrets are known by name") {
  for (const std::string path :
       {".env", "/a/.env.production", "/u/.ssh/config", "id_rsa", "/x/server.pem", "tls.key",
        "/u/.aws/credentials", "prod.tfvars", "SECRETS.yaml", "app.env"}) {
    INFO(path);
    CHECK(is_secret_file(path));
  }
  for (const std::string path :
       {".env.example", "/a/environment.py", "keys.py", "/src/credentials.ts", "monkey.go",
        "/ssh/config.c", "token.rs", "key.h"}) {
    INFO(path);
    CHECK_FALSE(is_secret_file(path));
  }
}

TEST_CASE("lines stay lines, whatever the text is") {
  const std::string text = "a\r\nb\rc\n\npassword='\n-----BEGIN PRIVATE KEY-----\n\n\xff\xfe=:";
  const auto lines = [](std::string_view t) {
    return std::count_if(t.begin(), t.end(), [](char c) { return c == '\n' || c == '\r'; });
  };
  for (std::size_t i = 0; i <= text.size(); ++i) {
    CHECK(lines(redact(text.substr(i))) == lines(text.substr(i)));
  }
}
