#include "engine/scheduler/fair_share.h"

#include <map>

#include "tests/helpers/catch.h"

using caretd::engine::FairShare;

namespace {

/// Serves the session with the smaller tag until both together got `tokens`.
std::map<std::uint64_t, int> serve(FairShare& share, int tokens, int cost_of_1, int cost_of_2) {
  std::map<std::uint64_t, int> served;
  while (served[1] + served[2] < tokens) {
    const std::uint64_t session = share.tag(1) <= share.tag(2) ? 1 : 2;
    const int cost = session == 1 ? cost_of_1 : cost_of_2;
    share.charge(session, cost);
    share.end_step();
    served[session] += cost;
  }
  return served;
}

}  // namespace

TEST_CASE("sessions get equal tokens whatever the size of their requests") {
  FairShare share;
  auto served = serve(share, 10000, 10, 100);
  CHECK(served[1] == Approx(5000).margin(100));
}

TEST_CASE("a session that was idle saves nothing up") {
  FairShare share;
  for (int i = 0; i < 100; ++i) {
    share.charge(1, 100);
    share.end_step();
  }
  auto served = serve(share, 10000, 10, 10);
  CHECK(served[2] == Approx(5000).margin(200));
}

TEST_CASE("what a session got beyond its share in a common step is not forgotten") {
  FairShare share;
  share.charge(1, 1000);
  share.charge(2, 10);
  share.end_step();
  share.charge(2, 10);
  share.end_step();
  CHECK(share.tag(2) < share.tag(1));
}
