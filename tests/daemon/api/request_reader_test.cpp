// Requests out of bytes: the same however they are cut, and nothing but a refusal for what is none.
#include "daemon/http/request_reader.h"

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/helpers/catch.h"

namespace caretd::daemon {
namespace {

using Step = RequestReader::Step;

HttpLimits small_limits() {
  HttpLimits limits;
  limits.max_header_bytes = 500;
  limits.max_body_bytes = 100;
  return limits;
}

struct Outcome {
  std::vector<std::string> bodies;  ///< of the requests that were complete
  int refused = 0;                  ///< the status; 0: nothing was
};

/// Reads until nothing is left to be read. Headers must be told once for each request.
void read_on(RequestReader& reader, Outcome& outcome, bool& in_body) {
  for (;;) {
    switch (reader.next()) {
      case Step::need_more:
        return;
      case Step::header:
        REQUIRE_FALSE(in_body);
        in_body = true;
        break;
      case Step::complete:
        REQUIRE(in_body);
        in_body = false;
        outcome.bodies.push_back(reader.release().body());
        if (reader.unread() == 0) return;
        break;
      case Step::refused:
        outcome.refused = reader.refusal().status;
        return;
    }
  }
}

Outcome read_in_pieces(std::string_view bytes, const std::vector<std::size_t>& cuts) {
  const HttpLimits limits = small_limits();
  RequestReader reader(limits);
  Outcome outcome;
  bool in_body = false;
  std::size_t begin = 0;
  for (const std::size_t cut : cuts) {
    reader.take(bytes.substr(begin, cut - begin));
    begin = cut;
    read_on(reader, outcome, in_body);
    if (outcome.refused != 0) return outcome;
  }
  reader.take(bytes.substr(begin));
  read_on(reader, outcome, in_body);
  return outcome;
}

const std::string kChunked =
    "POST /infill HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n";
const std::string kWithLength =
    "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody";
const std::string kNoBody = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

TEST_CASE("Requests are the same wherever their bytes are cut", "[http]") {
  const std::string all = kChunked + kWithLength + kNoBody;
  const std::vector<std::string> expected = {"abcdefg", "body", ""};
  for (std::size_t cut = 0; cut <= all.size(); ++cut) {
    CAPTURE(cut);
    const Outcome outcome = read_in_pieces(all, {cut});
    REQUIRE(outcome.refused == 0);
    REQUIRE(outcome.bodies == expected);
  }
}

TEST_CASE("Mutated requests are read or refused", "[http][fuzz]") {
  const std::vector<std::string> seeds = {kChunked, kWithLength, kNoBody + kWithLength};
  const std::string alphabet = "\r\n :;,0123456789abcfxzGPOST/\t\x01\xff";
  const std::set<int> refusals = {0, 400, 413, 431};
  std::mt19937 random(1);
  const auto below = [&random](std::size_t bound) { return random() % bound; };
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = seeds[below(seeds.size())];
    for (std::size_t i = 0; i <= below(4); ++i) {
      bytes[below(bytes.size())] = alphabet[below(alphabet.size())];
    }
    if (below(8) == 0) bytes.insert(below(bytes.size()), std::string(600, 'h'));
    std::vector<std::size_t> cuts = {below(bytes.size()), below(bytes.size())};
    std::ranges::sort(cuts);
    CAPTURE(round);
    const Outcome outcome = read_in_pieces(bytes, cuts);
    REQUIRE(refusals.contains(outcome.refused));
    for (const std::string& body : outcome.bodies) REQUIRE(body.size() <= 100);
  }
}

}  // namespace
}  // namespace caretd::daemon
