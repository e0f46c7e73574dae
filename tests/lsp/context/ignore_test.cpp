#include "lsp/context/ignore.h"

#include "tests/helpers/catch.h"

using namespace caretd::lsp;

namespace {

IgnoreRules rules(std::map<std::string, std::string> files) {
  return {"/w", [files = std::move(files)](const std::string& path) -> std::optional<std::string> {
            const auto found = files.find(path);
            if (found == files.end()) return std::nullopt;
            return found->second;
          }};
}

bool ignores(const std::string& gitignore, const std::string& path) {
  return rules({{"/w/.gitignore", gitignore}}).ignores("/w/" + path);
}

}  // namespace

TEST_CASE("globs match as gitignore says") {
  CHECK(matches_glob("*.o", "a.o"));
  CHECK_FALSE(matches_glob("*.o", "a/b.o"));
  CHECK(matches_glob("a/*.o", "a/b.o"));
  CHECK(matches_glob("**/x", "x"));
  CHECK(matches_glob("**/x", "a/b/x"));
  CHECK(matches_glob("a/**/b", "a/b"));
  CHECK(matches_glob("a/**/b", "a/x/y/b"));
  CHECK(matches_glob("a/**", "a/x/y"));
  CHECK_FALSE(matches_glob("a/**", "a/"));
  CHECK(matches_glob("?[a-c][!0-9]", "xbz"));
  CHECK_FALSE(matches_glob("?[a-c][!0-9]", "xb1"));
  CHECK(matches_glob("[]x]", "]"));
  CHECK(matches_glob("\\*", "*"));
  CHECK_FALSE(matches_glob("\\*", "a"));
  CHECK_FALSE(matches_glob("a?b", "a/b"));
  CHECK_FALSE(matches_glob("[a", "a"));
  CHECK_FALSE(matches_glob("*a*a*a*a*a*a*a*a*a*a*a*a*b", std::string(300, 'a')));
}

TEST_CASE("patterns match names anywhere and paths from their folder") {
  CHECK(ignores("*.log\n", "a/b/c.log"));
  CHECK(ignores("build\n", "x/build/y.py"));
  CHECK(ignores("/build\n", "build/y.py"));
  CHECK_FALSE(ignores("/build\n", "x/build/y.py"));
  CHECK(ignores("doc/*.txt\n", "doc/a.txt"));
  CHECK_FALSE(ignores("doc/*.txt\n", "doc/x/a.txt"));
  CHECK_FALSE(ignores("doc/*.txt\n", "x/doc/a.txt"));
  CHECK(ignores("build/\n", "build/y.py"));
  CHECK_FALSE(ignores("build/\n", "build"));
  CHECK(ignores("a b.txt  \r\n", "a b.txt"));
  CHECK_FALSE(ignores("# *.py\n\n", "a.py"));
  CHECK(ignores("\\#a\n", "#a"));
  CHECK_FALSE(ignores("", "a.py"));
}

TEST_CASE("a later rule takes back an earlier one, but not for an ignored folder") {
  CHECK_FALSE(ignores("*.py\n!keep.py\n", "keep.py"));
  CHECK(ignores("*.py\n!keep.py\n", "other.py"));
  CHECK(ignores("!keep.py\n*.py\n", "keep.py"));
  CHECK(ignores("out/\n!out/keep.py\n", "out/keep.py"));
}

TEST_CASE("ignore files of inner folders come first") {
  auto nested = rules({{"/w/.gitignore", "*.gen\n"},
                       {"/w/a/.gitignore", "!b.gen\nlocal.py\n"},
                       {"/w/a/.caretignore", "private/\n"}});
  CHECK(nested.ignores("/w/x.gen"));
  CHECK_FALSE(nested.ignores("/w/a/b.gen"));
  CHECK(nested.ignores("/w/a/c.gen"));
  CHECK(nested.ignores("/w/a/local.py"));
  CHECK_FALSE(nested.ignores("/w/local.py"));
  CHECK(nested.ignores("/w/a/private/x.py"));
  CHECK_FALSE(nested.ignores("/w/private/x.py"));
}

TEST_CASE(".caretignore has the last word over .gitignore") {
  auto both = rules({{"/w/.gitignore", "*.py\n"}, {"/w/.caretignore", "!a.py\n"}});
  CHECK_FALSE(both.ignores("/w/a.py"));
  CHECK(both.ignores("/w/b.py"));
}

TEST_CASE(".caretignore counts where .gitignore is switched off") {
  auto both = rules({{"/w/.gitignore", "*.py\n"}, {"/w/.caretignore", "b.py\nc/\n"}});
  CHECK_FALSE(both.ignores("/w/a.py", false));
  CHECK(both.ignores("/w/b.py", false));
  CHECK(both.ignores("/w/c/d.txt", false));
  CHECK(both.ignores("/w/.env", false));
}

TEST_CASE("secret files are ignored whatever the rules say") {
  CHECK(ignores("!.env\n", ".env"));
  CHECK(rules({}).ignores("/elsewhere/id_rsa"));
  CHECK_FALSE(rules({}).ignores("/elsewhere/a.py"));
  CHECK(rules({}).ignores("/w/.git/config"));
}

TEST_CASE("changed ignore files are read again") {
  std::string text = "*.py\n";
  IgnoreRules changing("/w", [&](const std::string& path) -> std::optional<std::string> {
    return path == "/w/.gitignore" ? std::optional(text) : std::nullopt;
  });
  CHECK(changing.ignores("/w/a.py"));
  text.clear();
  CHECK(changing.ignores("/w/a.py"));
  changing.forget();
  CHECK_FALSE(changing.ignores("/w/a.py"));
}
