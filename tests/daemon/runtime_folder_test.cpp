#include "daemon/process/runtime_folder.h"

#include <filesystem>

#include <sys/stat.h>

#include "daemon/process/handshake.h"
#include "daemon/relay/stream.h"
#include "tests/helpers/catch.h"

namespace caretd::daemon {
namespace {

namespace fs = std::filesystem;

fs::path fresh_folder() {
  std::string name = (fs::temp_directory_path() / "caretd-run-XXXXXX").string();
  return mkdtemp(name.data());
}

TEST_CASE("the runtime folder is made private, and one that is not is refused") {
  const fs::path base = fresh_folder();
  const auto folder = open_runtime_folder(base / "caretd");
  REQUIRE(folder.has_value());
  struct stat status {};
  REQUIRE(stat(folder->path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0700);
  CHECK(open_runtime_folder(base / "caretd").has_value());

  fs::permissions(folder->path, fs::perms(0755));
  CHECK_FALSE(open_runtime_folder(base / "caretd").has_value());

  // Somebody who may write to the parent plants a link to a folder of his own.
  fs::create_directory(base / "theirs");
  fs::create_directory_symlink(base / "theirs", base / "link");
  CHECK_FALSE(open_runtime_folder(base / "link").has_value());
  fs::remove_all(base);
}

TEST_CASE("a lock has one holder and goes with its descriptor") {
  const fs::path base = fresh_folder();
  {
    const auto held = lock_file(base / "lock", false);
    REQUIRE(held.has_value());
    const auto second = lock_file(base / "lock", false);
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().kind == ErrorKind::unavailable);
  }
  CHECK(lock_file(base / "lock", false).has_value());
  fs::create_symlink(base / "elsewhere", base / "trap");
  CHECK_FALSE(lock_file(base / "trap", false).has_value());
  fs::remove_all(base);
}

TEST_CASE("handshake lines survive the way and junk does not") {
  const auto hello =
      read_hello(write_hello({"0.1.0", Purpose::stop, "secret", {"a=b"}, {{"X", "y"}}}));
  REQUIRE(hello.has_value());
  CHECK(hello->purpose == Purpose::stop);
  CHECK(hello->token == "secret");
  CHECK(hello->overrides == std::vector<std::string>{"a=b"});
  CHECK(hello->environment.at("X") == "y");
  CHECK(read_welcome(write_welcome({"0.1.0", 12, {}}))->pid == 12);
  CHECK(read_welcome(write_welcome({"0.1.0", 0, "no"}))->error == "no");
  for (const char* junk : {"", "{", "[]", "{}", R"({"caretd":1})", R"({"caretd":"1"})",
                           R"({"caretd":"1","for":"fun"})", "GET / HTTP/1.1"}) {
    CHECK_FALSE(read_hello(junk).has_value());
  }
  CHECK(equal_secrets("abc", "abc"));
  CHECK_FALSE(equal_secrets("abc", "abd"));
  CHECK_FALSE(equal_secrets("abc", "ab"));
}

TEST_CASE("addresses of remote daemons") {
  CHECK(parse_remote_daemon("box:7070")->host == "box");
  CHECK(parse_remote_daemon("[::1]:7070")->host == "::1");
  CHECK(parse_remote_daemon("[::1]:7070")->port == "7070");
  for (const char* bad : {"", "box", ":1", "box:"}) CHECK_FALSE(parse_remote_daemon(bad));
}

TEST_CASE("a missing socket is absence, a path too long is an error with a remedy") {
  const fs::path base = fresh_folder();
  const auto absent = connect_unix(base / "daemon.sock");
  fs::remove_all(base);
  REQUIRE_FALSE(absent.has_value());
  CHECK(absent.error().kind == ErrorKind::not_found);
  const auto long_path = connect_unix(fs::path("/" + std::string(200, 'x')));
  REQUIRE_FALSE(long_path.has_value());
  CHECK(long_path.error().kind == ErrorKind::invalid_input);
}

}  // namespace
}  // namespace caretd::daemon
